//! The routing table: an [`Ir`] with the indexes that answer a request.
//!
//! Built once per generation by the controller, never changed afterwards, read by every worker. What did not change
//! since the table before is shared with it: virtual hosts by value, upstreams (and so their endpoints, pools and
//! balancers) by value, and the indexes but for the pieces that hold what changed.

mod build;
mod certificate;
pub mod explain;
mod host;
mod path;
mod predicate;
mod shards;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::endpoint::{Changed, EndpointSet};
use crate::ir::{Ir, Route, Upstream, UpstreamName};
use crate::publish::Published;

pub use certificate::CertificateChoice;
pub use predicate::RequestView;

use certificate::CertificateIndex;
use host::HostIndex;
use path::PathIndex;
use shards::Shards;

/// The immutable index of one generation.
///
/// Built by [`RoutingTable::build`], published by the controller, kept by a request until it ends. Invariant: every
/// backend of every route holds the cell of an upstream of this IR.
#[derive(Debug)]
pub struct RoutingTable {
    generation: u64,
    ir: Arc<Ir>,
    listeners: Vec<ListenerTable>,
    upstreams: Shards<UpstreamName, Arc<UpstreamCell>>,
}

/// An upstream of the table and the cell its endpoints are swapped in.
#[derive(Debug)]
pub struct UpstreamCell {
    /// Unique in this process; what a worker keeps for an upstream is filed under it.
    pub id: u64,
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Its endpoints now.
    pub endpoints: Published<EndpointSet>,
    /// When the change happened that they came of.
    pub changed: Changed,
}

/// A route of the table with its backends resolved.
#[derive(Debug)]
pub struct RouteEntry {
    /// Unique in this process; what a worker keeps for a route is filed under it.
    pub id: u64,
    /// The route.
    pub route: Arc<Route>,
    /// Upstreams and weights, in the order of the route; empty exactly when the route is unavailable.
    pub backends: Box<[(Arc<UpstreamCell>, u32)]>,
}

/// One listener's indexes.
#[derive(Debug)]
pub struct ListenerTable {
    name: Arc<str>,
    hosts: HostIndex,
    fallback: Option<Arc<RouteEntry>>,
    certificates: Arc<CertificateIndex>,
}

/// One virtual host's indexes; shared between generations while nothing in it changes.
#[derive(Debug)]
struct HostTable {
    virtual_host: Arc<crate::ir::VirtualHost>,
    paths: PathIndex,
    fallback: Option<Arc<RouteEntry>>,
}

impl RoutingTable {
    /// Generation of this table: 0 is the empty table before the first compile.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The IR it was built from.
    #[must_use]
    pub fn ir(&self) -> &Arc<Ir> {
        &self.ir
    }

    /// The listener of that name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&ListenerTable> {
        self.listeners.iter().find(|listener| *listener.name == *name)
    }

    /// The upstream of that name.
    #[must_use]
    pub fn upstream(&self, name: &UpstreamName) -> Option<&Arc<UpstreamCell>> {
        self.upstreams.get(name)
    }

    /// All upstreams, in no order.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<UpstreamCell>> {
        self.upstreams.values()
    }
}

impl ListenerTable {
    /// The route of a request: best host, then the first candidate of its path whose predicates hold, then the host's
    /// fallback, then the listener's. A miss in the best host never tries a less exact host.
    ///
    /// `host` and the view's path must be normalised ([`crate::normalise`]); `host` is `None` for HTTP/1.0 without Host.
    #[must_use]
    pub fn route(&self, host: Option<&str>, request: &RequestView<'_>) -> Option<&Arc<RouteEntry>> {
        self.hosts
            .find(host)
            .and_then(|table| table.paths.find(request).or(table.fallback.as_ref()))
            .or(self.fallback.as_ref())
    }

    /// The certificate for a name from SNI, normalised; `None` when no SNI came.
    #[must_use]
    pub fn certificate(&self, server_name: Option<&str>) -> CertificateChoice<'_> {
        self.certificates.choose(server_name)
    }
}
