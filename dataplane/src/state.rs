//! What outlives a swap: one record per endpoint, shared by all workers.
//!
//! The only thing on the request path that several workers write, and they write it with relaxed operations on a cache
//! line of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use portico_shared::ir::UpstreamName;
use tokio::time::Instant;

use crate::config;

/// Load and health of one endpoint of one upstream.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct EndpointState {
    /// Where it is.
    pub(crate) address: SocketAddr,
    in_flight: AtomicU32,
    failures: AtomicU32,
    ejections: AtomicU32,
    /// End of the ejection in milliseconds since [`Clock::start`]; 0 when it is not ejected.
    ejected_until: AtomicU64,
    clock: Clock,
}

/// Milliseconds since the data plane started: small enough for an atomic.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
}

impl Clock {
    fn now(self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl EndpointState {
    /// Requests that have been sent and not yet answered to the end, by all workers.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it is passed over at the moment.
    pub(crate) fn ejected(&self) -> bool {
        match self.ejected_until.load(Ordering::Relaxed) {
            0 => false,
            until => self.clock.now() < until,
        }
    }

    /// It answered: failures are forgotten, and so are past ejections once it answers after one.
    pub(crate) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.ejected_until.load(Ordering::Relaxed) != 0 && !self.ejected() {
            self.ejected_until.store(0, Ordering::Relaxed);
            self.ejections.store(0, Ordering::Relaxed);
        }
    }

    /// It did not answer. Returns whether this ejects it.
    ///
    /// The ejection doubles each time that it fails again right after one.
    pub(crate) fn failed(&self, settings: &config::Upstream) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let on_trial = self.ejected_until.load(Ordering::Relaxed) != 0;
        if settings.eject_after == 0 || self.ejected() || (failures < settings.eject_after && !on_trial) {
            return false;
        }
        let past = self.ejections.fetch_add(1, Ordering::Relaxed).min(16);
        let length = settings.eject_for.saturating_mul(1 << past).min(settings.eject_longest);
        let until = self.clock.now() + u64::try_from(length.as_millis()).unwrap_or(u64::MAX / 2);
        self.failures.store(0, Ordering::Relaxed);
        self.ejected_until.store(until.max(1), Ordering::Relaxed);
        true
    }
}

/// A request on its way to an endpoint; counted while it lives.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<EndpointState>);

impl InFlight {
    pub(crate) fn new(endpoint: &Arc<EndpointState>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(endpoint.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The records by upstream and address. Touched when a worker meets a new endpoint set, never by a request.
#[derive(Debug)]
pub(crate) struct Endpoints {
    records: Mutex<HashMap<(UpstreamName, SocketAddr), Weak<EndpointState>>>,
    clock: Clock,
}

impl Endpoints {
    pub(crate) fn new() -> Self {
        Self { records: Mutex::default(), clock: Clock { start: Instant::now() } }
    }

    /// The records of `addresses`, made where missing.
    pub(crate) fn of(
        &self,
        upstream: &UpstreamName,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Vec<Arc<EndpointState>> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() > 1024 && records.len() == records.capacity() {
            records.retain(|_, record| record.strong_count() > 0);
        }
        addresses
            .map(|address| {
                let record = records.entry((upstream.clone(), address)).or_default();
                record.upgrade().unwrap_or_else(|| {
                    let made = Arc::new(EndpointState {
                        address,
                        in_flight: AtomicU32::new(0),
                        failures: AtomicU32::new(0),
                        ejections: AtomicU32::new(0),
                        ejected_until: AtomicU64::new(0),
                        clock: self.clock,
                    });
                    *record = Arc::downgrade(&made);
                    made
                })
            })
            .collect()
    }

    /// How many endpoints are ejected now.
    pub(crate) fn ejected(&self) -> usize {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.values().filter_map(Weak::upgrade).filter(|record| record.ejected()).count()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn record(registry: &Endpoints) -> Arc<EndpointState> {
        let name = UpstreamName { namespace: "n".into(), service: "s".into(), port: 80 };
        registry.of(&name, ["192.0.2.1:80".parse().unwrap()].into_iter()).remove(0)
    }

    #[tokio::test(start_paused = true)]
    async fn ejection_backs_off_and_ends() {
        let registry = Endpoints::new();
        let settings = config::Upstream::default();
        let endpoint = record(&registry);
        assert!(Arc::ptr_eq(&endpoint, &record(&registry)), "one record per endpoint");
        assert!(!endpoint.failed(&settings) && !endpoint.failed(&settings));
        assert!(endpoint.failed(&settings) && endpoint.ejected());
        tokio::time::advance(Duration::from_millis(5001)).await;
        assert!(!endpoint.ejected());
        assert!(endpoint.failed(&settings), "one failure after an ejection is enough");
        tokio::time::advance(Duration::from_millis(5001)).await;
        assert!(endpoint.ejected(), "the second is longer");
        tokio::time::advance(Duration::from_millis(5001)).await;
        assert!(!endpoint.ejected());
        endpoint.succeeded();
        assert!(!endpoint.failed(&settings), "a success starts the count again");
    }

    #[test]
    fn in_flight_is_counted_while_it_lives() {
        let registry = Endpoints::new();
        let endpoint = record(&registry);
        let one = InFlight::new(&endpoint);
        assert_eq!(endpoint.in_flight(), 1);
        drop(one);
        assert_eq!(endpoint.in_flight(), 0);
    }
}
