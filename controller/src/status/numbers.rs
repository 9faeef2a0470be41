//! What `/metrics` tells of statuses.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Numbers of statuses; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    writes: Family<Labels, Counter>,
    /// Ingresses that wait to be written.
    pub(super) pending: Gauge,
    /// Addresses that are written.
    pub(super) addresses: Gauge,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Written,
    Withdrawn,
    /// Others had changed what was to be taken away.
    Changed,
    Conflict,
    /// 4xx.
    Refused,
    Failed,
}

impl Numbers {
    /// Shows them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("portico_status_writes", "Statuses written, by how it ended", self.writes.clone());
        registry.register("portico_status_pending", "Statuses that wait to be written", self.pending.clone());
        registry.register("portico_status_addresses", "Addresses that statuses get", self.addresses.clone());
    }

    pub(super) fn count(&self, outcome: Outcome) {
        let result = match outcome {
            Outcome::Written => "written",
            Outcome::Withdrawn => "withdrawn",
            Outcome::Changed => "changed",
            Outcome::Conflict => "conflict",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        };
        self.writes.get_or_create(&Labels { result }).inc();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: &'static str,
}
