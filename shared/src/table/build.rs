//! From an IR to a table, sharing with the table before what is equal.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::certificate::CertificateIndex;
use super::host::HostIndex;
use super::path::PathIndex;
use super::{HostTable, ListenerTable, RouteEntry, RoutingTable, UpstreamCell};
use crate::endpoint::{Changed, EndpointSet};
use crate::ir::{Action, Ir, Listener, Route, UpstreamName, VirtualHost};
use crate::publish::Published;

impl RoutingTable {
    /// The table before the first compile: no listener, so nothing is served from it.
    #[must_use]
    pub fn empty() -> Self {
        Self { generation: 0, ir: Arc::default(), listeners: Vec::new(), upstreams: HashMap::new() }
    }

    /// Indexes `ir` as the generation after `previous`.
    ///
    /// `endpoints` gives the first endpoint set of an upstream that `previous` did not have; upstreams equal by value
    /// keep their cell, whose endpoints the caller swaps on its own.
    #[must_use]
    pub fn build(
        ir: Arc<Ir>,
        previous: &Self,
        mut endpoints: impl FnMut(&UpstreamName) -> Option<Arc<EndpointSet>>,
    ) -> Self {
        let upstreams = ir
            .upstreams
            .iter()
            .map(|upstream| {
                let kept = previous.upstreams.get(&upstream.name).filter(|cell| *cell.upstream == **upstream);
                let cell = kept.cloned().unwrap_or_else(|| {
                    let (upstream, changed) = (upstream.clone(), Changed::default());
                    let cell = UpstreamCell { id: next_id(), upstream, endpoints: Published::default(), changed };
                    if let Some(set) = endpoints(&cell.upstream.name) {
                        cell.endpoints.store(set);
                    }
                    Arc::new(cell)
                });
                (upstream.name.clone(), cell)
            })
            .collect();
        let builder = Builder { upstreams: &upstreams };
        let listeners = ir
            .listeners
            .iter()
            .map(|listener| builder.listener(&ir, listener, previous.listener(&listener.name)))
            .collect();
        Self { generation: previous.generation + 1, ir, listeners, upstreams }
    }
}

struct Builder<'a> {
    upstreams: &'a HashMap<UpstreamName, Arc<UpstreamCell>>,
}

impl Builder<'_> {
    fn listener(&self, ir: &Ir, listener: &Listener, previous: Option<&ListenerTable>) -> ListenerTable {
        let mut hosts = HostIndex::default();
        for virtual_host in &listener.virtual_hosts {
            let kept = previous
                .and_then(|table| table.hosts.get(&virtual_host.pattern))
                .filter(|table| *table.virtual_host == **virtual_host && self.current(table));
            let table = kept.cloned().unwrap_or_else(|| Arc::new(self.host(virtual_host)));
            hosts.insert(&virtual_host.pattern, table);
        }
        let fallback = listener.fallback.as_ref().map(|route| {
            let kept = previous.and_then(|table| table.fallback.as_ref());
            kept.filter(|entry| entry.route == *route && self.entry_current(entry))
                .cloned()
                .unwrap_or_else(|| self.entry(route))
        });
        ListenerTable {
            name: listener.name.clone(),
            hosts,
            fallback,
            certificates: CertificateIndex::build(ir, listener),
        }
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

    /// Whether every cell that the table holds is still the one of its name.
    fn current(&self, table: &HostTable) -> bool {
        table.paths.entries().iter().chain(&table.fallback).all(|entry| self.entry_current(entry))
    }

    fn entry_current(&self, entry: &RouteEntry) -> bool {
        entry
            .backends
            .iter()
            .all(|(cell, _)| self.upstreams.get(&cell.upstream.name).is_some_and(|current| Arc::ptr_eq(current, cell)))
    }
}

/// Numbers for cells and entries; they never come again, so what is filed under one is never taken for another.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
