//! What the publisher counts about tables.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use portico_shared::table::RoutingTable;

use super::cell::{Histogram, HistogramTotals};
use super::convergence::Convergence;

/// Numbers of the routing table's swaps. Not per worker: written by whoever publishes, a few times a second at most.
#[derive(Debug, Default)]
pub struct TableMetrics {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    certificate_errors: u64,
    swap: Histogram,
    endpoints: Convergence,
    /// Every table that was published and may still be held by somebody.
    tables: Vec<Weak<RoutingTable>>,
}

impl TableMetrics {
    /// Counts a swap to this table, the time it took (keys included) and the certificates that could
    /// not be used.
    pub fn published(&self, table: &Arc<RoutingTable>, swap: Duration, certificate_errors: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.generation = table.generation();
        state.tables.retain(|table| table.strong_count() > 0);
        state.tables.push(Arc::downgrade(table));
        state.certificate_errors = certificate_errors as u64;
        state.swap.record(swap);
    }

    /// Counts endpoints that came into effect because of a change at that moment.
    pub fn endpoints_changed(&self, changed: SystemTime) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).endpoints.record(changed);
    }

    /// Published tables that are still in memory.
    pub(super) fn live(&self) -> u64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tables.iter().filter(|table| table.strong_count() > 0).count() as u64
    }

    /// From changes of endpoints to their being swapped in.
    pub(super) fn convergence(&self) -> HistogramTotals {
        let mut totals = HistogramTotals::default();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).endpoints.add_to(&mut totals);
        totals
    }

    /// Generation, unusable certificates of it, and the swaps so far.
    pub(super) fn totals(&self) -> (u64, u64, HistogramTotals) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut swap = HistogramTotals::default();
        state.swap.add_to(&mut swap);
        (state.generation, state.certificate_errors, swap)
    }
}
