//! One route's numbers on one worker, and the labels they are shown under.

use std::sync::Arc;
use std::time::Duration;

use portico_shared::ir::{Action, Route, UpstreamName};
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};

use super::cell::{Counter, Histogram, HistogramTotals};
use super::render::label;

/// What one worker counts for one route.
///
/// Only that worker's thread writes it; it is allocated there too, which keeps it off other workers' cache lines.
#[derive(Debug, Default)]
pub struct RouteMetrics {
    statuses: [Counter; STATUSES.len()],
    duration: Histogram,
    received: Counter,
    sent: Counter,
    retries: Counter,
}

impl RouteMetrics {
    /// Counts a finished request: status sent (anything outside 100 to 599 counts as none), time from its first octet
    /// to the end of the response, octets of the bodies received from and sent to the client.
    pub fn record(&self, status: u16, total: Duration, bytes_in: u64, bytes_out: u64) {
        let class = usize::from(status / 100);
        self.statuses[if class < STATUSES.len() { class } else { 0 }].inc();
        self.duration.record(total);
        self.received.add(bytes_in);
        self.sent.add(bytes_out);
    }

    /// Counts a further try of a request.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// Adds what was counted so far to `totals`.
    pub(super) fn add_to(&self, totals: &mut RouteTotals) {
        for (total, status) in totals.statuses.iter_mut().zip(&self.statuses) {
            *total += status.get();
        }
        self.duration.add_to(&mut totals.duration);
        totals.received += self.received.get();
        totals.sent += self.sent.get();
        totals.retries += self.retries.get();
    }
}

/// One route's numbers of all workers.
#[derive(Debug, Default)]
pub(super) struct RouteTotals {
    pub(super) statuses: [u64; STATUSES.len()],
    pub(super) duration: HistogramTotals,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) retries: u64,
}

/// What identifies a route's series; only values of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RouteLabels {
    route: Arc<str>,
    namespace: Arc<str>,
    ingress: Arc<str>,
    upstream: Option<UpstreamName>,
}

impl RouteLabels {
    /// The labels of a route: its name, the object it was written in, its first backend's upstream.
    pub(super) fn of(route: &Route) -> Self {
        let upstream = match &route.action {
            Action::Forward(backends) => backends.first().map(|backend| backend.upstream.clone()),
            Action::Unavailable(_) => None,
        };
        let object = &route.origin.object;
        Self {
            route: route.name.0.clone(),
            namespace: object.namespace.clone(),
            ingress: object.name.clone(),
            upstream,
        }
    }

    /// The labels of requests without a route.
    pub(super) fn unmatched() -> Self {
        Self { route: NONE.into(), namespace: "".into(), ingress: NONE.into(), upstream: None }
    }
}

impl EncodeLabelSet for RouteLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        label(encoder, "route", format_args!("{}", self.route))?;
        match &*self.namespace {
            "" => label(encoder, "ingress", format_args!("{}", self.ingress))?,
            namespace => label(encoder, "ingress", format_args!("{namespace}/{}", self.ingress))?,
        }
        match &self.upstream {
            Some(upstream) => label(encoder, "upstream", format_args!("{upstream}")),
            None => label(encoder, "upstream", format_args!("{NONE}")),
        }
    }
}

/// Classes of status by their first digit; the first stands for requests that ended without one.
pub(super) const STATUSES: [&str; 6] = [NONE, "1xx", "2xx", "3xx", "4xx", "5xx"];
/// The value of a label that does not apply.
const NONE: &str = "_";
