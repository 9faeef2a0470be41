//! What the workers serve from: a table with the keys and transports that were prepared for it.

use std::collections::HashMap;
use std::sync::Arc;

use portico_shared::Published;
use portico_shared::ir::{Protocol, Upstream};
use portico_shared::table::{RoutingTable, UpstreamCell};
use tokio_rustls::TlsAcceptor;

use crate::config::Config;
use crate::tls::{Certificates, KeyError, Resolver, self_signed, server_config, ticketer};
use crate::upstream::Transport;
use crate::upstream::tls::{Authorities, UpstreamTlsError, client_config, server_name};

/// A published table. Everything that takes time was done before it was published.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) table: Arc<RoutingTable>,
    /// Of upstreams with TLS, by [`UpstreamCell::id`].
    transports: HashMap<u64, Transport>,
}

impl Serving {
    /// Prepares a table; transports of upstreams that `previous` had are kept.
    pub(crate) fn prepare(table: Arc<RoutingTable>, previous: &Self, ways: &Transports) -> Self {
        let transports = table
            .upstreams()
            .filter(|cell| cell.upstream.tls.is_some())
            .map(|cell| {
                let kept = previous.transports.get(&cell.id).cloned();
                (cell.id, kept.unwrap_or_else(|| ways.of(&cell.upstream)))
            })
            .collect();
        Self { table, transports }
    }

    /// The serving state before the first table.
    pub(crate) fn empty() -> Self {
        Self { table: Arc::new(RoutingTable::empty()), transports: HashMap::new() }
    }

    /// How an upstream of the table is reached.
    pub(crate) fn transport(&self, cell: &UpstreamCell) -> Transport {
        let clear = || Transport::Clear(cell.upstream.protocol);
        self.transports.get(&cell.id).cloned().unwrap_or_else(clear)
    }
}

/// Prepares transports; knows the authorities that upstreams are verified by.
#[derive(Debug)]
pub(crate) struct Transports {
    authorities: Authorities,
}

impl Transports {
    /// With certificate authorities in PEM beside the system's.
    pub(crate) fn new(authorities: Option<&str>) -> Result<Self, UpstreamTlsError> {
        Ok(Self { authorities: Authorities::new(authorities)? })
    }

    /// How an upstream with TLS is reached; settings that cannot be used send nothing.
    fn of(&self, upstream: &Upstream) -> Transport {
        self.tls(upstream).unwrap_or_else(|error| {
            tracing::warn!(upstream = %upstream.name, %error, "the upstream's TLS settings cannot be used");
            Transport::Broken
        })
    }

    fn tls(&self, upstream: &Upstream) -> Result<Transport, UpstreamTlsError> {
        let Some(settings) = &upstream.tls else { return Ok(Transport::Clear(upstream.protocol)) };
        let name = server_name(settings)?;
        let http1 = client_config(settings, Protocol::Https1, &self.authorities)?;
        let config = match upstream.protocol {
            Protocol::Https => client_config(settings, Protocol::Https, &self.authorities)?,
            Protocol::Http1 | Protocol::H2c | Protocol::Https1 => http1.clone(),
        };
        Ok(Transport::Tls { config, http1, name })
    }
}

/// The TLS side of the bindings: one configuration per listener, all of them with one ticketer and one set of
/// certificates.
pub(crate) struct Acceptors {
    certificates: Arc<Published<Certificates>>,
    by_listener: Vec<(Arc<str>, TlsAcceptor)>,
}

impl Acceptors {
    /// Acceptors of the listeners that have a binding with TLS. Errors name the setting that is wrong.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        let certificates = Arc::new(Published::new(Certificates::new(self_signed()?)));
        let ticketer = ticketer().map_err(|error| error.to_string())?;
        let mut by_listener: Vec<(Arc<str>, TlsAcceptor)> = Vec::new();
        for binding in config.bindings.iter().filter(|binding| binding.tls) {
            if by_listener.iter().all(|(name, _)| *name != binding.listener) {
                let resolver = Resolver::new(binding.listener.clone(), certificates.clone(), config.tls.strict_sni);
                let settings = server_config(&config.tls, Arc::new(resolver), ticketer.clone())?;
                by_listener.push((binding.listener.clone(), settings.into()));
            }
        }
        Ok(Self { certificates, by_listener })
    }

    /// The acceptor of a listener.
    pub(crate) fn of(&self, listener: &str) -> Option<&TlsAcceptor> {
        self.by_listener.iter().find(|(name, _)| **name == *listener).map(|(_, acceptor)| acceptor)
    }

    /// Makes new handshakes use a table's certificates; returns what is wrong with single ones.
    pub(crate) fn publish(&self, table: &Arc<RoutingTable>) -> Vec<KeyError> {
        let (next, problems) = self.certificates.load().next(table.clone());
        self.certificates.store(Arc::new(next));
        problems
    }
}

impl std::fmt::Debug for Acceptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptors").finish_non_exhaustive()
    }
}
