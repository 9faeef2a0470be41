//! Endpoints and sets of them: what changes without a recompile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// One address that serves an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Endpoint {
    /// Address and port to connect to.
    pub address: SocketAddr,
}

/// The endpoints that may get new requests now, in stable order and without repetitions.
///
/// Built by the compile step (or by name resolution), swapped as a whole into [`crate::table::UpstreamCell`], read by the
/// workers. Terminating endpoints are in it only when nothing better is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct EndpointSet {
    endpoints: Vec<Endpoint>,
}

impl EndpointSet {
    /// A set of these addresses; the order of the arguments does not matter.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut endpoints: Vec<_> = addresses.into_iter().map(|address| Endpoint { address }).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        Self { endpoints }
    }

    /// The endpoints in order.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whether nothing can be served.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// Whether this address may get new requests.
    #[must_use]
    pub fn contains(&self, address: SocketAddr) -> bool {
        self.endpoints.binary_search(&Endpoint { address }).is_ok()
    }
}

/// When the change happened that an upstream's newest set came of, until a request goes by the set.
///
/// Written together with the set by whoever swaps it in; taken once, by the first worker that meets the set.
#[derive(Debug, Default)]
pub struct Changed(
    /// Microseconds since 1970; 0 is unknown or taken.
    AtomicU64,
);

impl Changed {
    /// Sets the moment of the newest set's change, `None` when nobody knows it. To be called before the set is swapped
    /// in: who meets the set finds it.
    pub fn set(&self, moment: Option<SystemTime>) {
        let since = moment.and_then(|moment| moment.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        self.0.store(u64::try_from(since.as_micros()).unwrap_or(0), Ordering::Release);
    }

    /// The moment, for the first one that asks.
    pub fn take(&self) -> Option<SystemTime> {
        let taken = match self.0.load(Ordering::Acquire) {
            0 => 0,
            _ => self.0.swap(0, Ordering::AcqRel),
        };
        (taken != 0).then(|| UNIX_EPOCH + Duration::from_micros(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_taken_once() {
        let changed = Changed::default();
        assert_eq!(changed.take(), None);
        let moment = UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        changed.set(Some(moment));
        assert_eq!((changed.take(), changed.take()), (Some(moment), None));
        changed.set(Some(moment));
        changed.set(None);
        assert_eq!(changed.take(), None, "of the newest set nobody knows");
        changed.set(UNIX_EPOCH.checked_sub(Duration::from_secs(1)));
        assert_eq!(changed.take(), None);
    }

    #[test]
    fn a_set_knows_its_addresses() {
        let [a, b, c] = [1, 2, 3].map(|last| SocketAddr::from(([192, 0, 2, last], 80)));
        let set = EndpointSet::new([c, a, a]);
        assert_eq!([a, b, c].map(|address| set.contains(address)), [true, false, true]);
    }
}
