//! What `/metrics` tells of the Lease.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Numbers of the Lease; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    leading: Gauge,
    changes: Counter,
    failures: Counter,
}

impl Numbers {
    /// Shows them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("portico_leader", "Whether this replica holds the Lease", self.leading.clone());
        let help = "Times this replica began or ceased to lead";
        registry.register("portico_leader_changes", help, self.changes.clone());
        let help = "Requests about the Lease that failed";
        registry.register("portico_lease_failures", help, self.failures.clone());
    }

    pub(super) fn leading(&self, leads: bool) {
        self.leading.set(leads.into());
        self.changes.inc();
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
    }
}
