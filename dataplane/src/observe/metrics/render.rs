//! From shards to OpenMetrics text.
//!
//! Families are written one after the other, as the format asks (OpenMetrics 1.0, "Overall Structure"), each over all
//! workers; a worker's map of routes is locked once a scrape and only while it is listed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::Metrics;
use super::cell::{Counter, Gauge, HistogramTotals};
use super::limit::Limit;
use super::route::{RouteLabels, RouteTotals, STATUSES};
use super::worker::WorkerMetrics;

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.labelled(&mut encoder)?;
        self.budgets(&mut encoder)?;
        for (name, help, cell) in COUNTERS {
            counters(&mut encoder, name, help, None)?.plain(self.sum(cell))?;
        }
        for (name, help, cell) in GAUGES {
            let value: u64 = self.workers.iter().map(|worker| cell(worker).get()).sum();
            gauge(&mut encoder, name, help, value)?;
        }
        self.routes(&mut encoder)?;
        self.convergence(&mut encoder)?;
        self.swaps(&mut encoder)
    }
}

/// Picks one cell of a shard.
type Cell<T> = fn(&WorkerMetrics) -> &T;

/// Counters without labels: name, help, cell.
const COUNTERS: [(&str, &str, Cell<Counter>); 13] = [
    ("portico_connections_handed_over", "Connections given to a less loaded worker", |w| &w.connections_handed_over),
    ("portico_tls_handshake_failures", "TLS handshakes failed", |w| &w.tls_failures),
    ("portico_proxy_protocol_errors", "PROXY protocol headers missing or refused", |w| &w.proxy_protocol_errors),
    ("portico_panics", "Panics caught, each of which ended one connection", |w| &w.panics),
    ("portico_upstream_connections_reused", "Requests sent on an idle upstream connection", |w| &w.pool_reused),
    ("portico_upstream_connections_opened", "Upstream connections opened", |w| &w.pool_opened),
    ("portico_upstream_connections_discarded", "Upstream connections dropped while open", |w| &w.pool_discarded),
    ("portico_upstream_connect_failures", "Upstream connections that could not be opened", |w| &w.connect_failures),
    ("portico_upstream_retries", "Further tries of requests", |w| &w.retries),
    ("portico_upstream_retry_budget_exhausted", "Further tries that the budget did not allow", |w| {
        &w.retry_budget_exhausted
    }),
    ("portico_upstream_ejections", "Endpoints ejected for a while", |w| &w.ejections),
    ("portico_upstream_answers_broken", "Answers that ended before their end", |w| &w.answers_broken),
    ("portico_upstream_interim_dropped", "Informational responses not passed on", |w| &w.interim_dropped),
];

/// Gauges without labels: name, help, cell.
const GAUGES: [(&str, &str, Cell<Gauge>); 4] = [
    ("portico_tls_handshakes_active", "TLS handshakes begun and not ended", |w| &w.tls_handshakes_active),
    ("portico_requests_in_flight", "Requests being served now", |w| &w.requests_in_flight),
    ("portico_upgrades_active", "Upgraded connections now", |w| &w.upgrades_active),
    ("portico_upstream_connections_idle", "Idle upstream connections now", |w| &w.pool_idle),
];

impl Metrics {
    /// Families whose labels are fixed lists.
    fn labelled(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = counters(encoder, "portico_connections", "Downstream connections accepted", None)?;
        family.counter(&[("binding", "http")], self.sum(|worker| &worker.connections_accepted_http))?;
        family.counter(&[("binding", "https")], self.sum(|worker| &worker.connections_accepted_https))?;

        let mut family = counters(encoder, "portico_tls_handshakes", "TLS handshakes completed", None)?;
        for (at, version) in ["1.2", "1.3"].into_iter().enumerate() {
            for (of, resumed) in ["false", "true"].into_iter().enumerate() {
                let count = self.sum(|worker| &worker.tls_handshakes[at][of]);
                family.counter(&[("version", version), ("resumed", resumed)], count)?;
            }
        }

        let mut family = counters(encoder, "portico_limit_breaches", "What a cap, size or timer stopped", None)?;
        for limit in Limit::ALL {
            let count = self.sum(|worker| &worker.limits[limit.index()]);
            family.counter(&[("limit", limit.label())], count)?;
        }

        for (name, help, value) in CONNECTIONS {
            let mut family = Family(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?);
            for (number, worker) in self.workers.iter().enumerate() {
                let labels = [("worker", number.to_string())];
                family.0.encode_family(&labels)?.encode_gauge(&value(worker).get())?;
            }
        }

        let dropped = self.access_log.get().map_or(0, |log| log.dropped());
        counters(encoder, "portico_access_log_dropped", "Access log lines not written", None)?.plain(dropped)
    }

    /// What there is of memory, descriptors and time.
    fn budgets(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("portico_worker_lateness", "How late a worker was at its last look");
        let mut family = Family(encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?);
        for (number, worker) in self.workers.iter().enumerate() {
            let labels = [("worker", number.to_string())];
            let late = Duration::from_micros(worker.lateness.get()).as_secs_f64();
            family.0.encode_family(&labels)?.encode_gauge(&late)?;
        }
        let Some((overload, slots)) = self.budgets.get() else { return Ok(()) };
        let help = "How scarce memory is: 0 not, 1 no keep-alive, 2 requests refused, 3 nobody accepted";
        gauge(encoder, "portico_memory_level", help, overload.level() as u64)?;
        let (used, limit) = overload.memory();
        let bytes = Some(&Unit::Bytes);
        for (name, help, value) in [
            ("portico_memory_used", "Memory held against the limit; 0 when nothing is watched", used),
            ("portico_memory_limit", "Memory that may be used; 0 when nothing is watched", limit),
        ] {
            encoder.encode_descriptor(name, help, bytes, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        let help = "Upstream connections now";
        gauge(encoder, "portico_upstream_connections_active", help, slots.taken() as u64)
    }

    fn routes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let routes = self.route_totals();
        let mut family = counters(encoder, "portico_requests", "Requests by route and class of status", None)?;
        for (labels, totals) in &routes {
            for (class, count) in STATUSES.into_iter().zip(totals.statuses).filter(|(_, count)| *count > 0) {
                family.counter(&StatusLabels(labels, class), count)?;
            }
        }
        let (name, help) = ("portico_request_duration", "From a request's first octet to the end of its response");
        let mut family = Family(encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?);
        for (labels, totals) in &routes {
            encode_histogram(family.0.encode_family(labels)?, &totals.duration)?;
        }
        for (name, help, unit, value) in &ROUTE_COUNTERS {
            let mut family = counters(encoder, name, help, unit.as_ref())?;
            for (labels, totals) in &routes {
                family.counter(labels, value(totals))?;
            }
        }
        Ok(())
    }

    fn convergence(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut first_request = HistogramTotals::default();
        self.workers.iter().for_each(|worker| worker.first_requests.add_to(&mut first_request));
        let (name, help) = ("portico_endpoint_convergence", CONVERGENCE);
        let mut family = Family(encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?);
        for (until, totals) in [("swap", self.table.convergence()), ("first_request", first_request)] {
            encode_histogram(family.0.encode_family(&[("until", until)])?, &totals)?;
        }
        Ok(())
    }

    fn swaps(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (generation, certificate_errors, swap) = self.table.totals();
        gauge(encoder, "portico_tables_live", "Routing tables in memory", self.table.live())?;
        gauge(encoder, "portico_table_generation", "Generation of the routing table served", generation)?;
        let help = "Certificates of the table that the TLS provider refused";
        gauge(encoder, "portico_table_certificate_errors", help, certificate_errors)?;
        counters(encoder, "portico_table_publishes", "Routing tables published", None)?.plain(swap.count())?;
        let (name, help) = ("portico_table_swap", "Time to publish a routing table");
        encode_histogram(encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?, &swap)
    }

    /// Every route with its numbers over all workers, in the order of the labels.
    fn route_totals(&self) -> BTreeMap<RouteLabels, RouteTotals> {
        let mut totals: BTreeMap<RouteLabels, RouteTotals> = BTreeMap::new();
        for (labels, route) in self.workers.iter().flat_map(|worker| worker.routes()) {
            route.add_to(totals.entry(labels).or_default());
        }
        totals
    }

    fn sum(&self, cell: impl Fn(&WorkerMetrics) -> &Counter) -> u64 {
        self.workers.iter().map(|worker| cell(worker).get()).sum()
    }
}

/// What the convergence of endpoints means.
const CONVERGENCE: &str = "From the change that endpoints came of, as its source dates it, to their being swapped in and \
                           to the first request sent by them; two clocks are compared, and what lies in the future or \
                           over 10 minutes back is left out";

/// Picks one gauge of a worker.
type WorkerGauge = fn(&WorkerMetrics) -> &Gauge;

/// Gauges of connections: name, help, value.
const CONNECTIONS: [(&str, &str, WorkerGauge); 2] = [
    ("portico_connections_active", "Downstream connections now", |worker| &worker.connections_active),
    ("portico_connections_parked", "Downstream connections that are parked now", |worker| &worker.connections_parked),
];

/// Picks one number of a route.
type RouteValue = fn(&RouteTotals) -> u64;

/// Counters of a route: name, help, unit, value.
const ROUTE_COUNTERS: [(&str, &str, Option<Unit>, RouteValue); 3] = [
    ("portico_request_received", "Request body octets received", Some(Unit::Bytes), |totals| totals.received),
    ("portico_response_sent", "Response body octets sent", Some(Unit::Bytes), |totals| totals.sent),
    ("portico_request_retries", "Further tries of the route's requests", None, |totals| totals.retries),
];

/// One opened family.
struct Family<'a>(MetricEncoder<'a>);

impl Family<'_> {
    fn counter(&mut self, labels: &impl EncodeLabelSet, count: u64) -> fmt::Result {
        self.0.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
    }

    fn plain(&mut self, count: u64) -> fmt::Result {
        self.0.encode_counter::<NoLabelSet, _, u64>(&count, None)
    }
}

fn counters<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
    unit: Option<&'a Unit>,
) -> Result<Family<'a>, fmt::Error> {
    Ok(Family(encoder.encode_descriptor(name, help, unit, MetricType::Counter)?))
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

fn encode_histogram(mut encoder: MetricEncoder<'_>, totals: &HistogramTotals) -> fmt::Result {
    encoder.encode_histogram::<NoLabelSet>(totals.seconds(), totals.count(), &totals.buckets(), None)
}

/// A route's labels and the class of status.
struct StatusLabels<'a>(&'a RouteLabels, &'static str);

impl EncodeLabelSet for StatusLabels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)?;
        label(encoder, "status", format_args!("{}", self.1))
    }
}

/// Writes one label; the encoder escapes the value.
pub(super) fn label(encoder: &mut LabelSetEncoder<'_>, key: &str, value: fmt::Arguments<'_>) -> fmt::Result {
    use prometheus_client::encoding::EncodeLabelKey;
    use std::fmt::Write;

    let mut pair = encoder.encode_label();
    let mut written = pair.encode_label_key()?;
    key.encode(&mut written)?;
    let mut written = written.encode_label_value()?;
    written.write_fmt(value)?;
    written.finish()
}
