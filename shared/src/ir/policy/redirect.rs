//! Getting clients to HTTPS and keeping them there.

use serde::Serialize;

/// Redirect from HTTP to HTTPS with status 308, which keeps method and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct HttpsRedirect {
    /// Port to name in `Location`; 443 is left out.
    pub port: u16,
}

/// `Strict-Transport-Security` (RFC 6797 section 6.1), sent over TLS only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct StrictTransportSecurity {
    /// `max-age` in seconds.
    pub max_age: u64,
    /// Whether `includeSubDomains` is added.
    pub include_subdomains: bool,
}
