//! One worker's shard.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portico_shared::table::RouteEntry;
use rustls::ProtocolVersion;

use super::cell::{Counter, Gauge};
use super::convergence::Convergence;
use super::limit::Limit;
use super::route::{RouteLabels, RouteMetrics};

/// What one worker counts.
///
/// Only that worker's thread writes it. Aligned so that no other worker's shard shares a line of the processor's cache.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerMetrics {
    /// Connections accepted on bindings without TLS.
    pub connections_accepted_http: Counter,
    /// Connections accepted on bindings with TLS.
    pub connections_accepted_https: Counter,
    /// Downstream connections now.
    pub connections_active: Gauge,
    /// Those of them that are parked.
    pub connections_parked: Gauge,
    /// Connections given to a less loaded worker.
    pub connections_handed_over: Counter,
    /// Completed handshakes, see [`WorkerMetrics::tls_handshake`]: TLS 1.2 and 1.3, each full and resumed.
    pub tls_handshakes: [[Counter; 2]; 2],
    /// Handshakes that failed.
    pub tls_failures: Counter,
    /// Handshakes begun and not ended, those that wait for their turn included.
    pub tls_handshakes_active: Gauge,
    /// How late the worker was when it looked last, in microseconds.
    pub lateness: Gauge,
    /// PROXY protocol headers missing, malformed or not allowed.
    pub proxy_protocol_errors: Counter,
    /// Requests being served now.
    pub requests_in_flight: Gauge,
    /// Breaches by [`Limit::index`], see [`WorkerMetrics::limit`].
    pub limits: [Counter; Limit::COUNT],
    /// Requests that went out on an idle upstream connection.
    pub pool_reused: Counter,
    /// Upstream connections opened.
    pub pool_opened: Counter,
    /// Upstream connections dropped although they were still open.
    pub pool_discarded: Counter,
    /// Idle upstream connections now.
    pub pool_idle: Gauge,
    /// Connections to endpoints that could not be opened.
    pub connect_failures: Counter,
    /// Further tries of requests.
    pub retries: Counter,
    /// Further tries that the budget did not allow.
    pub retry_budget_exhausted: Counter,
    /// Endpoints taken out for a while because of their failures.
    pub ejections: Counter,
    /// From changes of endpoints to the first requests by the new sets that this worker was the first to meet.
    pub first_requests: Convergence,
    /// Upgraded connections now.
    pub upgrades_active: Gauge,
    /// Informational responses of upstreams that were not passed on.
    pub interim_dropped: Counter,
    /// Answers that an upstream broke off, or that it had to be given up on, after their heads had been passed on.
    pub answers_broken: Counter,
    /// Panics caught, each of which ended one connection.
    pub panics: Counter,
    unmatched: Arc<RouteMetrics>,
    routes: Mutex<HashMap<RouteLabels, Arc<RouteMetrics>>>,
}

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self {
            connections_accepted_http: Counter::default(),
            connections_accepted_https: Counter::default(),
            connections_active: Gauge::default(),
            connections_parked: Gauge::default(),
            connections_handed_over: Counter::default(),
            tls_handshakes: Default::default(),
            tls_failures: Counter::default(),
            tls_handshakes_active: Gauge::default(),
            lateness: Gauge::default(),
            proxy_protocol_errors: Counter::default(),
            requests_in_flight: Gauge::default(),
            limits: std::array::from_fn(|_| Counter::default()),
            pool_reused: Counter::default(),
            pool_opened: Counter::default(),
            pool_discarded: Counter::default(),
            pool_idle: Gauge::default(),
            connect_failures: Counter::default(),
            retries: Counter::default(),
            retry_budget_exhausted: Counter::default(),
            ejections: Counter::default(),
            first_requests: Convergence::default(),
            upgrades_active: Gauge::default(),
            interim_dropped: Counter::default(),
            answers_broken: Counter::default(),
            panics: Counter::default(),
            unmatched: Arc::default(),
            routes: Mutex::default(),
        }
    }
}

impl WorkerMetrics {
    /// Counts a connection accepted on a binding with or without TLS.
    pub fn accepted(&self, tls: bool) {
        if tls { &self.connections_accepted_https } else { &self.connections_accepted_http }.inc();
    }

    /// Counts a completed handshake.
    pub fn tls_handshake(&self, version: ProtocolVersion, resumed: bool) {
        self.tls_handshakes[usize::from(version == ProtocolVersion::TLSv1_3)][usize::from(resumed)].inc();
    }

    /// Counts a breach.
    pub fn limit(&self, limit: Limit) {
        self.limits[limit.index()].inc();
    }

    /// This worker's numbers of a route, the same for every entry with equal labels.
    ///
    /// Takes a lock that only a reader of the metrics ever holds: ask once per entry and keep the answer.
    pub fn route(&self, entry: &RouteEntry) -> Arc<RouteMetrics> {
        self.lock().entry(RouteLabels::of(&entry.route)).or_default().clone()
    }

    /// This worker's numbers of requests that no route matched or that were refused before matching.
    pub fn unmatched(&self) -> &Arc<RouteMetrics> {
        &self.unmatched
    }

    /// Forgets routes that are not `live` and held by nobody but this map.
    pub(super) fn retain(&self, live: &HashSet<RouteLabels>) {
        self.lock().retain(|labels, route| live.contains(labels) || Arc::strong_count(route) > 1);
    }

    /// Every route counted so far, the unmatched one first.
    pub(super) fn routes(&self) -> Vec<(RouteLabels, Arc<RouteMetrics>)> {
        let mut routes = vec![(RouteLabels::unmatched(), self.unmatched.clone())];
        routes.extend(self.lock().iter().map(|(labels, route)| (labels.clone(), route.clone())));
        routes
    }

    /// The map, also after a panic elsewhere: it is only ever changed by single calls that leave it whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<RouteLabels, Arc<RouteMetrics>>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
