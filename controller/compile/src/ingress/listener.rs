//! The listener: virtual hosts out of settled claims.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use portico_shared::ir::{CertificateName, HostPattern, Route, VirtualHost};

use super::path::PathType;
use super::route::{Common, Routes};
use super::{Draft, Fallback, Host, Ours};
use crate::report::{Reporter, Subject};
use crate::snapshot::Options;
use crate::upstream::{Upstreams, Uses};

/// A virtual host, or the route of all misses, with what it came of.
#[derive(Debug)]
pub(crate) struct Made<T> {
    pub(crate) value: T,
    /// Places of Ingresses that have a route here which requests can reach.
    pub(crate) served: BTreeSet<usize>,
    pub(crate) uses: Uses,
}

/// Builds the hosts of a draft, sorted by pattern. What is equal to a host before, which come sorted too, is that host.
pub(crate) fn hosts<'a>(
    draft: &mut Draft<'a>,
    before: &[Arc<VirtualHost>],
    options: &'a Options,
    common: &mut Common,
    upstreams: &mut Upstreams<'a>,
    report: &mut Reporter,
) -> Vec<Made<Arc<VirtualHost>>> {
    let mut routes = Routes::new(&draft.ours, options, common, upstreams, report);
    let hosts: HashMap<HostPattern, Host<'a>> = std::mem::take(&mut draft.hosts);
    // Sorted by what is small.
    let mut hosts: Vec<_> = hosts.into_iter().map(|(pattern, host)| (pattern, Box::new(host))).collect();
    hosts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut before = before;
    hosts
        .into_iter()
        .map(|(pattern, host)| {
            before = &before[skip(before, |other| other.pattern < pattern)..];
            let equal = before.first().filter(|other| other.pattern == pattern);
            routes.turn_to(Subject::Host(pattern.clone()));
            let value = virtual_host(&mut routes, pattern, *host, equal);
            Made { value, served: routes.served(), uses: routes.upstreams.uses() }
        })
        .collect()
}

/// Builds the route of all misses: of an Ingress, else the operator's.
pub(crate) fn misses<'a>(
    ours: &[Ours<'a>],
    fallback: Option<Fallback<'a>>,
    options: &'a Options,
    common: &mut Common,
    upstreams: &mut Upstreams<'a>,
    report: &mut Reporter,
) -> Made<Option<Arc<Route>>> {
    let mut routes = Routes::new(ours, options, common, upstreams, report);
    routes.turn_to(Subject::Rest);
    let route = match fallback {
        Some(fallback) => Some(routes.listener_fallback(fallback)),
        None => routes.operator_fallback(),
    };
    Made { value: route.map(Arc::new), served: routes.served(), uses: routes.upstreams.uses() }
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
    equal_or(before, made)
}

/// The virtual host of a name that no rule names, below a wildcard host with another certificate: an exact name goes
/// before a wildcard, so it has the wildcard's own routes.
pub(crate) fn named(
    pattern: HostPattern,
    certificate: CertificateName,
    wildcard: &VirtualHost,
    before: Option<&Arc<VirtualHost>>,
) -> Arc<VirtualHost> {
    equal_or(before, VirtualHost { pattern, certificate: Some(certificate), ..wildcard.clone() })
}

fn equal_or(before: Option<&Arc<VirtualHost>>, made: VirtualHost) -> Arc<VirtualHost> {
    match before {
        Some(before) if **before == made => before.clone(),
        _ => Arc::new(made),
    }
}

/// Number of leading items of a sorted slice that are `less`. Near ones are found in few steps, far ones in not many.
pub(crate) fn skip<T>(items: &[T], less: impl Fn(&T) -> bool) -> usize {
    let mut reach = 1;
    while items.get(reach - 1).is_some_and(&less) {
        reach *= 2;
    }
    let from = reach / 2;
    from + items[from..items.len().min(reach)].partition_point(less)
}
