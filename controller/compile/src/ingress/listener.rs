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

/// Builds the one listener of all Ingresses; also returns those with at least one usable rule, oldest first. What is
/// equal to a part of the listener before is that part.
pub(crate) fn build<'a>(
    draft: Draft<'a>,
    before: Option<&Listener>,
    options: &'a Options,
    upstreams: &mut Upstreams<'a>,
    report: &mut Reporter,
) -> (Listener, Vec<ObjectRef>) {
    let Draft { ours, hosts, fallback, tls_names, covering, default_certificate } = draft;
    let mut routes = Routes::new(&ours, options, upstreams, report);
    // Sorted by what is small.
    let mut hosts: Vec<_> = hosts.into_iter().map(|(pattern, host)| (pattern, Box::new(host))).collect();
    hosts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    // Both are sorted by pattern.
    let mut before = before.map_or(&[][..], |listener| &listener.virtual_hosts).iter().peekable();
    let hosts = hosts.into_iter().map(|(pattern, host)| {
        while before.next_if(|other| other.pattern < pattern).is_some() {}
        let before = before.next_if(|other| other.pattern == pattern);
        virtual_host(&mut routes, pattern, *host, before)
    });
    let mut virtual_hosts = hosts.collect();
    let fallback = match fallback {
        Some(fallback) => Some(routes.listener_fallback(fallback)),
        None => routes.operator_fallback(),
    };
    let certificates = place_names(tls_names, covering, &mut virtual_hosts);
    let listener = Listener {
        name: INGRESS_LISTENER.into(),
        virtual_hosts,
        fallback: fallback.map(Arc::new),
        default_certificate,
        certificates,
    };
    (listener, routes.served())
}

fn virtual_host<'a>(
    routes: &mut Routes<'_, 'a>,
    pattern: HostPattern,
    mut host: Host<'a>,
    before: Option<&Arc<VirtualHost>>,
) -> Arc<VirtualHost> {
    let fallback = host.fallback.map(|fallback| Arc::new(routes.host_fallback(&pattern, fallback, host.tls)));
    // Of two claims with equal paths Prefix goes first; beyond that the older.
    host.claims.sort_by_key(|claim| claim.key.kind == PathType::ImplementationSpecific);
    let old = before.map_or(&[][..], |before| &before.routes);
    let claims = host.claims.iter().enumerate();
    let routes = claims.map(|(at, claim)| routes.path(&pattern, claim, host.tls, old.get(at))).collect();
    let made = VirtualHost { pattern, routes, fallback, certificate: host.certificate.map(|(name, _)| name) };
    match before {
        Some(before) if **before == made => before.clone(),
        _ => Arc::new(made),
    }
}

/// Places the certificates of names without a rule and returns those that serve whatever they cover.
///
/// That is enough for such a name, unless a wildcard host would answer it with another certificate: an exact name goes
/// before a wildcard. It then becomes a virtual host with the wildcard's own routes.
fn place_names(
    names: BTreeMap<HostPattern, (CertificateName, usize)>,
    covering: Vec<CertificateName>,
    virtual_hosts: &mut Vec<Arc<VirtualHost>>,
) -> Vec<CertificateName> {
    let (mut listed, mut made) = (Vec::new(), Vec::new());
    let find = |pattern: HostPattern| {
        let at = virtual_hosts.binary_search_by(|host| host.pattern.cmp(&pattern)).ok()?;
        Some(&*virtual_hosts[at])
    };
    for (pattern, (certificate, place)) in names {
        let wildcard = host::wildcard_above(&pattern).and_then(find);
        match wildcard.filter(|host| host.certificate.as_ref().is_some_and(|other| *other != certificate)) {
            Some(wildcard) => {
                made.push(Arc::new(VirtualHost { pattern, certificate: Some(certificate), ..wildcard.clone() }));
            }
            None => listed.push((place, certificate)),
        }
    }
    if !made.is_empty() {
        virtual_hosts.extend(made);
        virtual_hosts.sort_unstable_by(|a, b| a.pattern.cmp(&b.pattern));
    }
    listed.sort();
    let mut seen = BTreeSet::new();
    let all = listed.into_iter().map(|(_, certificate)| certificate).chain(covering);
    all.filter(|certificate| seen.insert(certificate.clone())).collect()
}
