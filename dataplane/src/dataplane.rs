//! Start, publish, drain: the data plane as its owner sees it.

use std::net::SocketAddr;
use std::sync::Arc;

use portico_shared::table::RoutingTable;

use crate::config::Config;
use crate::observe::metrics::Metrics;

/// Why the data plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// TLS settings that the provider refuses.
    #[error("TLS settings: {0}")]
    Tls(String),
}

/// A table that could not be published whole.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A certificate's key is refused by the TLS provider; the others are served.
    #[error("certificate {name}: {reason}")]
    Certificate {
        /// Name of the certificate.
        name: String,
        /// The provider's reason.
        reason: String,
    },
}

/// A bound data plane: ports are taken, nothing is accepted yet.
#[derive(Debug)]
pub struct Dataplane {}

impl Dataplane {
    /// Takes the ports. Accepting begins with the first published table.
    pub fn bind(_config: Config) -> Result<Self, BindError> {
        Ok(Self {})
    }

    /// The addresses bound, in the order of the configuration, with ports chosen by the system filled in.
    pub fn addresses(&self) -> &[SocketAddr] {
        &[]
    }

    /// Starts the workers.
    pub fn start(self) -> Running {
        unreachable!()
    }
}

/// Hands tables to the workers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {}

impl Publisher {
    /// Publishes a table; returns problems with single certificates, which are then served as before or by default.
    pub fn publish(&self, _table: Arc<RoutingTable>) -> Vec<PublishError> {
        Vec::new()
    }

    /// The table published last; [`RoutingTable::empty`] before the first.
    pub fn table(&self) -> Arc<RoutingTable> {
        Arc::new(RoutingTable::empty())
    }
}

/// A running data plane.
#[derive(Debug)]
pub struct Running {}

impl Running {
    /// Hands tables to the workers.
    pub fn publisher(&self) -> Publisher {
        Publisher {}
    }

    /// Everything counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        unreachable!()
    }

    /// Drains: `Connection: close` from now on, accepting for the drain delay, then finishing what is in flight up to
    /// the drain timeout. Returns when all workers have ended, with the number of requests that had to be cut.
    pub async fn drain(self) -> u64 {
        0
    }
}
