//! What the cluster asks for, as plain values: no dialect, no index, no clock.
//!
//! Everything here is `Eq + Hash`, because the data plane keeps what it built (pools, balancers, keys) by the *value* of
//! its configuration: what did not change is not rebuilt.

mod action;
mod backend;
mod certificate;
mod listener;
mod matcher;
pub mod policy;
mod route;
mod upstream;
mod virtual_host;

use std::sync::Arc;

use serde::Serialize;

pub use action::{Action, Unavailable};
pub use backend::Backend;
pub use certificate::{Certificate, CertificateName, KeyDer, KeyFormat};
pub use listener::{INGRESS_LISTENER, Listener};
pub use matcher::{HeaderMatch, Matcher, PathMatch, QueryMatch, ValueMatch};
pub use route::{Route, RouteName};
pub use upstream::{Balance, EndpointSource, Protocol, Upstream, UpstreamName, UpstreamTls};
pub use virtual_host::{HostPattern, VirtualHost};

/// The whole of what is asked for. Two equal values need no swap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Ir {
    /// Listeners by name; Ingress fills exactly one.
    pub listeners: Vec<Listener>,
    /// Every upstream that a route names, sorted by name.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Every certificate that a listener or virtual host names, sorted by name.
    pub certificates: Vec<Arc<Certificate>>,
}
