//! Settings of a route, one file per feature word.

mod redirect;

use std::time::Duration;

use serde::Serialize;

pub use redirect::{HttpsRedirect, StrictTransportSecurity};

/// What a route sets apart from matching and acting; `None` leaves the data plane's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Policies {
    /// Longest wait for the response head, retries included; on breach 504.
    pub request_timeout: Option<Duration>,
    /// Largest request body in octets; on breach 413.
    pub max_body_size: Option<u64>,
    /// Answer plain HTTP with a redirect to HTTPS.
    pub https_redirect: Option<HttpsRedirect>,
    /// `Strict-Transport-Security` on HTTPS responses (RFC 6797).
    pub strict_transport_security: Option<StrictTransportSecurity>,
}
