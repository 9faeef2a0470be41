//! From an IR to a table, sharing with the table before what is equal.
//!
//! Lists of an IR that came after another mostly hold the same values as that: what is one value is stepped over, and only
//! the rest is looked at.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::certificate::CertificateIndex;
use super::host::HostIndex;
use super::path::PathIndex;
use super::shards::Shards;
use super::{HostTable, ListenerTable, RouteEntry, RoutingTable, UpstreamCell};
use crate::endpoint::{Changed, EndpointSet};
use crate::ir::{Action, Certificate, Ir, Listener, Route, UpstreamName, VirtualHost};
use crate::publish::Published;

impl RoutingTable {
    /// The table before the first compile: no listener, so nothing is served from it.
    #[must_use]
    pub fn empty() -> Self {
        Self { generation: 0, ir: Arc::default(), listeners: Vec::new(), upstreams: Shards::default() }
    }

    /// Indexes `ir` as the generation after `previous`.
    ///
    /// `endpoints` gives the first endpoint set of an upstream that `previous` did not have; upstreams equal by value
    /// keep their cell, whose endpoints the caller swaps on its own. What is equal to a part of the IR before is kept
    /// once: the table's IR has the part of the one before in its place.
    #[must_use]
    pub fn build(
        mut ir: Arc<Ir>,
        previous: &Self,
        mut endpoints: impl FnMut(&UpstreamName) -> Option<Arc<EndpointSet>>,
    ) -> Self {
        let mut upstreams = previous.upstreams.clone();
        let mut gone = HashSet::new();
        let changed = Changes::between(&previous.ir.upstreams, &ir.upstreams, |upstream| &upstream.name);
        let renewed: HashSet<_> = changed.new.iter().map(|(_, upstream)| upstream.name.clone()).collect();
        for (at, upstream) in changed.new {
            if let Some(cell) = previous.upstreams.get(&upstream.name) {
                if *cell.upstream == *upstream {
                    Arc::make_mut(&mut ir).upstreams[at] = cell.upstream.clone();
                    continue;
                }
                gone.insert(cell.id);
            }
            let (name, changed) = (upstream.name.clone(), Changed::default());
            let cell = UpstreamCell { id: next_id(), upstream, endpoints: Published::default(), changed };
            if let Some(set) = endpoints(&name) {
                cell.endpoints.store(set);
            }
            upstreams.insert(name, Arc::new(cell));
        }
        for upstream in changed.old.iter().filter(|upstream| !renewed.contains(&upstream.name)) {
            gone.extend(upstreams.get(&upstream.name).map(|cell| cell.id));
            upstreams.remove(&upstream.name);
        }
        let builder = Builder { upstreams: &upstreams, gone };
        let listeners = (0..ir.listeners.len())
            .map(|at| {
                let before = previous.ir.listeners.iter().find(|listener| listener.name == ir.listeners[at].name);
                let before = before.and_then(|listener| Some((listener, previous.listener(&listener.name)?)));
                builder.listener(&mut ir, at, before, &previous.ir.certificates)
            })
            .collect();
        Self { generation: previous.generation + 1, ir, listeners, upstreams }
    }
}

/// How one sorted list differs from another; what both hold as one value is in neither.
struct Changes<T> {
    old: Vec<Arc<T>>,
    /// With the place in the new list.
    new: Vec<(usize, Arc<T>)>,
}

impl<T> Changes<T> {
    fn between<K: Ord + ?Sized>(before: &[Arc<T>], after: &[Arc<T>], key: impl Fn(&T) -> &K) -> Self {
        let mut changes = Self { old: Vec::new(), new: Vec::new() };
        let (mut old, mut new) = (before.iter().peekable(), after.iter().enumerate().peekable());
        while let (Some(a), Some((_, b))) = (old.peek(), new.peek()) {
            if Arc::ptr_eq(a, b) {
                old.next();
                new.next();
                continue;
            }
            let order = key(a).cmp(key(b));
            if order.is_le() {
                changes.old.extend(old.next().cloned());
            }
            if order.is_ge() {
                changes.new.extend(new.next().map(|(at, item)| (at, item.clone())));
            }
        }
        changes.old.extend(old.cloned());
        changes.new.extend(new.map(|(at, item)| (at, item.clone())));
        changes
    }
}

struct Builder<'a> {
    upstreams: &'a Shards<UpstreamName, Arc<UpstreamCell>>,
    /// Cells of the table before that are not in this one.
    gone: HashSet<u64>,
}

impl Builder<'_> {
    /// The listener at this place of the IR.
    fn listener(
        &self,
        ir: &mut Arc<Ir>,
        at: usize,
        before: Option<(&Listener, &ListenerTable)>,
        certificates_before: &[Arc<Certificate>],
    ) -> ListenerTable {
        let (before, previous) = before.unzip();
        let mut hosts = previous.map_or_else(HostIndex::default, |previous| previous.hosts.clone());
        let old = before.map_or(&[][..], |before| &before.virtual_hosts);
        let changed = Changes::between(old, &ir.listeners[at].virtual_hosts, |host| &host.pattern);
        let mut named = certificates_of(&changed.old) == certificates_of(changed.new.iter().map(|(_, host)| host));
        named &= before.is_some_and(|before| {
            before.default_certificate == ir.listeners[at].default_certificate
                && before.certificates == ir.listeners[at].certificates
        });
        let one = |(a, b): (&Arc<Certificate>, &Arc<Certificate>)| Arc::ptr_eq(a, b);
        let same = named
            && certificates_before.len() == ir.certificates.len()
            && certificates_before.iter().zip(&ir.certificates).all(one);
        changed.old.iter().for_each(|host| hosts.remove(&host.pattern));
        for (place, host) in changed.new {
            let before = previous.and_then(|table| table.hosts.get(&host.pattern));
            let equal = before.filter(|table| *table.virtual_host == *host);
            if let Some(table) = equal {
                Arc::make_mut(ir).listeners[at].virtual_hosts[place] = table.virtual_host.clone();
            }
            let kept = equal.filter(|table| self.current(table)).cloned();
            hosts.insert(&host.pattern, kept.unwrap_or_else(|| Arc::new(self.host(&host))));
        }
        if !self.gone.is_empty() {
            let stale: Vec<_> = hosts.tables().filter(|table| !self.current(table)).cloned().collect();
            for table in stale {
                hosts.insert(&table.virtual_host.pattern, Arc::new(self.host(&table.virtual_host)));
            }
        }
        let listener = &ir.listeners[at];
        let fallback = listener.fallback.as_ref().map(|route| {
            let kept = previous.and_then(|table| table.fallback.as_ref());
            kept.filter(|entry| entry.route == *route && self.entry_current(entry))
                .cloned()
                .unwrap_or_else(|| self.entry(route))
        });
        let certificates = previous.filter(|_| same).map(|previous| previous.certificates.clone());
        let certificates =
            certificates.unwrap_or_else(|| Arc::new(CertificateIndex::build(&ir.certificates, listener)));
        ListenerTable { name: listener.name.clone(), hosts, fallback, certificates }
    }

    fn host(&self, virtual_host: &Arc<VirtualHost>) -> HostTable {
        HostTable {
            virtual_host: virtual_host.clone(),
            paths: PathIndex::build(virtual_host.routes.iter().map(|route| self.entry(route)).collect()),
            fallback: virtual_host.fallback.as_ref().map(|route| self.entry(route)),
        }
    }

    fn entry(&self, route: &Arc<Route>) -> Arc<RouteEntry> {
        let backends = match &route.action {
            Action::Forward(backends) => backends
                .iter()
                .filter_map(|backend| Some((self.upstreams.get(&backend.upstream)?.clone(), backend.weight)))
                .collect(),
            Action::Unavailable(_) => Box::default(),
        };
        Arc::new(RouteEntry { id: next_id(), route: route.clone(), backends })
    }

    /// Whether every cell that the table holds is in this table.
    fn current(&self, table: &HostTable) -> bool {
        self.gone.is_empty()
            || table.paths.entries().iter().chain(&table.fallback).all(|entry| self.entry_current(entry))
    }

    fn entry_current(&self, entry: &RouteEntry) -> bool {
        entry.backends.iter().all(|(cell, _)| !self.gone.contains(&cell.id))
    }
}

/// Which of these hosts name a certificate, and which.
fn certificates_of<'h>(
    hosts: impl IntoIterator<Item = &'h Arc<VirtualHost>>,
) -> Vec<(&'h crate::ir::HostPattern, &'h crate::ir::CertificateName)> {
    hosts.into_iter().filter_map(|host| Some((&host.pattern, host.certificate.as_ref()?))).collect()
}

/// Numbers for cells and entries; they never come again, so what is filed under one is never taken for another.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
