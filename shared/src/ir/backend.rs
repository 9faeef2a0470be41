//! A reference to an upstream with its share of the traffic.

use serde::Serialize;

use super::upstream::UpstreamName;

/// One target of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Backend {
    /// The upstream, by name; it is in [`super::Ir::upstreams`].
    pub upstream: UpstreamName,
    /// Share among the route's backends; 0 gets nothing.
    pub weight: u32,
}
