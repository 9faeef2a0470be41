//! rustls' way to the certificates.

use std::fmt;
use std::sync::Arc;

use portico_shared::Published;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificates::Certificates;

/// Answers the handshakes of one listener from the certificates published last.
pub struct Resolver {
    listener: Arc<str>,
    certificates: Arc<Published<Certificates>>,
    strict: bool,
}

impl Resolver {
    /// A resolver for the listener of that name; `strict` is [`crate::config::Tls::strict_sni`].
    #[must_use]
    pub fn new(listener: Arc<str>, certificates: Arc<Published<Certificates>>, strict: bool) -> Self {
        Self { listener, certificates, strict }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificates.load().choose(&self.listener, hello.server_name(), self.strict)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("listener", &self.listener)
            .field("strict", &self.strict)
            .finish_non_exhaustive()
    }
}
