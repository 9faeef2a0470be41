//! What the workers serve from: a table with the keys and transports that were prepared for it.

use std::collections::HashMap;
use std::sync::Arc;

use portico_shared::ir::Upstream;
use portico_shared::table::{RoutingTable, UpstreamCell};
use tokio_rustls::TlsAcceptor;

use crate::config::Config;
use crate::upstream::Transport;

/// A published table. Everything that takes time was done before it was published.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) table: Arc<RoutingTable>,
    /// Of upstreams with TLS, by [`UpstreamCell::id`].
    transports: HashMap<u64, Transport>,
}

impl Serving {
    /// Prepares a table; transports of upstreams that `previous` had are kept.
    pub(crate) fn prepare(table: Arc<RoutingTable>, previous: &Self, roots: &Roots) -> Self {
        let transports = table
            .upstreams()
            .filter(|cell| cell.upstream.tls.is_some())
            .map(|cell| {
                let kept = previous.transports.get(&cell.id).cloned();
                (cell.id, kept.unwrap_or_else(|| roots.transport(&cell.upstream)))
            })
            .collect();
        Self { table, transports }
    }

    /// The serving state before the first table.
    pub(crate) fn empty() -> Self {
        Self { table: Arc::new(RoutingTable::empty()), transports: HashMap::new() }
    }

    /// How an upstream of the table is reached.
    pub(crate) fn transport(&self, cell: &UpstreamCell) -> Transport {
        let clear = || Transport::Clear(cell.upstream.protocol);
        self.transports.get(&cell.id).cloned().unwrap_or_else(clear)
    }
}

#[derive(Debug)]
pub(crate) struct Roots;
impl Roots {
    pub(crate) fn new(_: Option<&str>) -> Self {
        Self
    }
    fn transport(&self, _: &Upstream) -> Transport {
        Transport::Broken
    }
}
#[derive(Debug)]
pub(crate) struct Acceptors;
impl Acceptors {
    pub(crate) fn new(_: &Config) -> Result<Self, String> {
        Ok(Self)
    }
    pub(crate) fn of(&self, _: &str) -> Option<&TlsAcceptor> {
        None
    }
    pub(crate) fn prepare(&self, _: &Arc<RoutingTable>) -> Vec<String> {
        Vec::new()
    }
}
