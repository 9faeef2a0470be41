//! The listener: virtual hosts out of settled claims.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portico_shared::ObjectRef;
use portico_shared::ir::{CertificateName, HostPattern, INGRESS_LISTENER, Listener, VirtualHost};

use super::path::PathType;
use super::route::Routes;
use super::{Draft, Host, host};
use crate::report::Reporter;
use crate::snapshot::Options;
use crate::upstream::Upstreams;

/// Builds the one listener of all Ingresses; also returns those with at least one usable rule, oldest first.
pub(crate) fn build(
    draft: Draft<'_>,
    options: &Options,
    upstreams: &mut Upstreams<'_>,
    report: &mut Reporter,
) -> (Listener, Vec<ObjectRef>) {
    let Draft { ours, hosts, fallback, tls_names, covering, default_certificate } = draft;
    let mut routes = Routes::new(&ours, options, upstreams, report);
    let mut virtual_hosts = BTreeMap::new();
    for (pattern, host) in hosts {
        let virtual_host = virtual_host(&mut routes, &pattern, host);
        virtual_hosts.insert(pattern, virtual_host);
    }
    let fallback = match fallback {
        Some(fallback) => Some(routes.listener_fallback(fallback)),
        None => routes.operator_fallback(),
    };
    let certificates = place_names(tls_names, covering, &mut virtual_hosts);
    let listener = Listener {
        name: INGRESS_LISTENER.into(),
        virtual_hosts: virtual_hosts.into_values().map(Arc::new).collect(),
        fallback: fallback.map(Arc::new),
        default_certificate,
        certificates,
    };
    (listener, routes.served())
}

fn virtual_host(routes: &mut Routes<'_, '_, '_>, pattern: &HostPattern, host: Host<'_>) -> VirtualHost {
    let fallback = host.fallback.map(|fallback| Arc::new(routes.host_fallback(pattern, fallback, host.tls)));
    // Of two claims with equal paths Prefix goes first; beyond that the older.
    let (second, first): (Vec<_>, Vec<_>) =
        host.claims.iter().partition(|claim| claim.key.kind == PathType::ImplementationSpecific);
    let claims = first.into_iter().chain(second);
    VirtualHost {
        pattern: pattern.clone(),
        routes: claims.map(|claim| Arc::new(routes.path(pattern, claim, host.tls))).collect(),
        fallback,
        certificate: host.certificate.map(|(name, _)| name),
    }
}

/// Places the certificates of names without a rule and returns those that serve whatever they cover.
///
/// That is enough for such a name, unless a wildcard host would answer it with another certificate: an exact name goes
/// before a wildcard. It then becomes a virtual host with the wildcard's own routes.
fn place_names(
    names: BTreeMap<HostPattern, (CertificateName, usize)>,
    covering: Vec<CertificateName>,
    virtual_hosts: &mut BTreeMap<HostPattern, VirtualHost>,
) -> Vec<CertificateName> {
    let mut listed = Vec::new();
    for (pattern, (certificate, place)) in names {
        let wildcard = host::wildcard_above(&pattern).and_then(|wildcard| virtual_hosts.get(&wildcard));
        match wildcard.filter(|host| host.certificate.as_ref().is_some_and(|other| *other != certificate)) {
            Some(wildcard) => {
                let host = VirtualHost { pattern: pattern.clone(), certificate: Some(certificate), ..wildcard.clone() };
                virtual_hosts.insert(pattern, host);
            }
            None => listed.push((place, certificate)),
        }
    }
    listed.sort();
    let mut seen = BTreeSet::new();
    let all = listed.into_iter().map(|(_, certificate)| certificate).chain(covering);
    all.filter(|certificate| seen.insert(certificate.clone())).collect()
}
