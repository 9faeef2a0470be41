//! Counters of the data plane: one shard per worker, added up when read.
//!
//! A shard has a single writer, so counting is a plain load and store and never a locked instruction. Knows nothing of
//! how requests are served. Invariant: every label value comes from the routing table or from a fixed list here, never
//! from a request, so the number of series is bounded by the table.

mod cell;
mod convergence;
mod limit;
mod render;
mod route;
mod table;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use portico_shared::ir::{Ir, Route};
use portico_shared::table::RoutingTable;

use super::access_log::AccessLog;
use crate::overload::{Overload, Slots};

pub use cell::{Counter, Gauge, Histogram};
pub use convergence::Convergence;
pub use limit::Limit;
pub use route::RouteMetrics;
pub use table::TableMetrics;
pub use worker::WorkerMetrics;

use route::RouteLabels;

/// Everything the data plane counts, process-wide.
///
/// Built once at start; each worker writes its own shard, the publisher writes [`TableMetrics`], and whoever renders
/// reads all of them. It is a [`prometheus_client::collector::Collector`] whose names already begin with `portico_`.
#[derive(Debug)]
pub struct Metrics {
    workers: Box<[Arc<WorkerMetrics>]>,
    table: TableMetrics,
    access_log: OnceLock<AccessLog>,
    budgets: OnceLock<(Arc<Overload>, Arc<Slots>)>,
}

impl Metrics {
    /// Metrics of that many workers, all zero.
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            table: TableMetrics::default(),
            access_log: OnceLock::new(),
            budgets: OnceLock::new(),
        })
    }

    /// The shard of the worker of that number, counted from 0. Panics when there is no such worker.
    #[must_use]
    pub fn worker(&self, number: usize) -> &Arc<WorkerMetrics> {
        &self.workers[number]
    }

    /// All shards in the order of the workers.
    pub fn workers(&self) -> impl Iterator<Item = &Arc<WorkerMetrics>> {
        self.workers.iter()
    }

    /// What the publisher counts.
    #[must_use]
    pub fn table(&self) -> &TableMetrics {
        &self.table
    }

    /// Shows the lines that this access log dropped. Only the first log given counts.
    pub fn watch(&self, log: &AccessLog) {
        drop(self.access_log.set(log.clone()));
    }

    /// Shows the budgets of the process. Only the first ones given count.
    pub(crate) fn show(&self, overload: &Arc<Overload>, slots: &Arc<Slots>) {
        drop(self.budgets.set((overload.clone(), slots.clone())));
    }

    /// Requests being served now, over all workers.
    #[must_use]
    pub fn requests_in_flight(&self) -> u64 {
        self.workers.iter().map(|worker| worker.requests_in_flight.get()).sum()
    }

    /// Forgets the routes that are not in `table` and that no worker holds any more; called after each publish.
    ///
    /// A route that is rebuilt under the same name, Ingress and first upstream keeps its numbers: they are filed by
    /// labels and not by [`portico_shared::table::RouteEntry::id`], so what is shown for a series never falls.
    pub fn retain(&self, table: &RoutingTable) {
        let live: HashSet<RouteLabels> = routes(table.ir()).map(|route| RouteLabels::of(route)).collect();
        for worker in &self.workers {
            worker.retain(&live);
        }
    }
}

fn routes(ir: &Ir) -> impl Iterator<Item = &Arc<Route>> {
    ir.listeners.iter().flat_map(|listener| {
        let of_hosts = listener.virtual_hosts.iter().flat_map(|host| host.routes.iter().chain(&host.fallback));
        of_hosts.chain(&listener.fallback)
    })
}
