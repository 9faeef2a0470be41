//! What `/metrics` tells of Events.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Numbers of Events; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    events: Family<Labels, Counter>,
    /// Events that wait to be sent.
    pub(super) pending: Gauge,
}

/// What became of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A new one.
    Sent,
    /// One more of a series.
    Repeated,
    /// Counted, to be told with the next of its series; or told by another leader before.
    Held,
    /// Too many at once.
    Dropped,
    /// Refused by the API server, or given up.
    Failed,
}

impl Numbers {
    /// Shows them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("portico_events", "Kubernetes Events, by what became of them", self.events.clone());
        registry.register("portico_events_pending", "Kubernetes Events that wait to be sent", self.pending.clone());
    }

    pub(super) fn count(&self, fate: Fate) {
        let result = match fate {
            Fate::Sent => "sent",
            Fate::Repeated => "repeated",
            Fate::Held => "held",
            Fate::Dropped => "dropped",
            Fate::Failed => "failed",
        };
        self.events.get_or_create(&Labels { result }).inc();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: &'static str,
}
