//! A listener: the virtual hosts that one group of bound addresses serves.

use std::sync::Arc;

use serde::Serialize;

use super::certificate::CertificateName;
use super::route::Route;
use super::virtual_host::VirtualHost;

/// The listener that all Ingress objects share; the HTTP and the HTTPS address are bound to it.
pub const INGRESS_LISTENER: &str = "ingress";

/// The virtual hosts behind a group of bound addresses.
///
/// The addresses are the data plane's configuration for Ingress; a Gateway will bring listeners of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Listener {
    /// Name that the data plane binds addresses to.
    pub name: Arc<str>,
    /// Virtual hosts, one per pattern, sorted by pattern.
    pub virtual_hosts: Vec<Arc<VirtualHost>>,
    /// Where a request goes that no route matches, whatever its host.
    pub fallback: Option<Arc<Route>>,
    /// Certificate for a name that no virtual host has one for; `None` is the data plane's self-signed one.
    pub default_certificate: Option<CertificateName>,
    /// Certificates that serve any name their subject alternative names cover and that no virtual host claims.
    pub certificates: Vec<CertificateName>,
}
