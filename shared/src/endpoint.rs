//! Endpoints and sets of them: what changes without a recompile.

use std::net::SocketAddr;

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
}
