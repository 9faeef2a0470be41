//! An upstream: one balancing group and how to speak to it.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// An upstream's name: the Service port that it stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct UpstreamName {
    /// Namespace of the Service.
    pub namespace: Arc<str>,
    /// Name of the Service.
    pub service: Arc<str>,
    /// The Service's own port number, never the target port.
    pub port: u16,
}

impl fmt::Display for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.service, self.port)
    }
}

/// How endpoints are spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Protocol {
    /// HTTP/1.1 in clear; upgrades pass.
    #[default]
    Http1,
    /// HTTP/2 in clear with prior knowledge (`kubernetes.io/h2c`, `grpc`).
    H2c,
    /// TLS, HTTP/2 or HTTP/1.1 by ALPN (`https`, `grpcs`).
    Https,
    /// TLS and HTTP/1.1 only, so that upgrades pass (`kubernetes.io/wss`).
    Https1,
}

/// How a TLS upstream is verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct UpstreamTls {
    /// Name sent as SNI and checked against the certificate.
    pub server_name: Arc<str>,
    /// Whether the certificate is verified; off only when an annotation says so.
    pub verify: bool,
    /// Certificate authorities in PEM; `None` is the system's roots and `--upstream-ca`.
    pub authorities: Option<Arc<str>>,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub enum Balance {
    /// The less loaded of two random endpoints, round robin when they are equal.
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
}

/// Where an upstream's endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum EndpointSource {
    /// EndpointSlices of the Service, or its cluster address: the compile step delivers them.
    Compiled,
    /// A DNS name (`ExternalName`), resolved and checked by the controller; the port to connect to.
    Dns {
        /// Name to resolve, without trailing dot.
        name: Arc<str>,
        /// Port to connect to.
        port: u16,
    },
}

/// One balancing group. Pools and balancers are kept by the value of this.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Upstream {
    /// Label and key of its endpoints.
    pub name: UpstreamName,
    /// How to speak.
    pub protocol: Protocol,
    /// Present exactly when the protocol uses TLS.
    pub tls: Option<UpstreamTls>,
    /// How to choose.
    pub balance: Balance,
    /// Where the endpoints come from.
    pub source: EndpointSource,
}
