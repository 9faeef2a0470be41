//! What annotations say, read and typed.

use std::time::Duration;

use portico_shared::ir::{Protocol, Unavailable};

/// Settings of one object, and whether a guarding annotation that cannot be read closes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings<S> {
    /// Values; defaults where nothing usable is set.
    pub(crate) values: S,
    /// Why nothing of this object may be served.
    pub(crate) closed: Option<Unavailable>,
}

/// Annotations of an Ingress: settings of all its routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteSettings {
    /// `request-timeout`.
    pub(crate) request_timeout: Option<Duration>,
    /// `max-body-size`, in octets.
    pub(crate) max_body_size: Option<u64>,
    /// `https-redirect`.
    pub(crate) https_redirect: Option<bool>,
}

/// Annotations of a Service: how its endpoints are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamSettings {
    /// `upstream-protocol`.
    pub(crate) protocol: Option<Protocol>,
    /// `upstream-ca`, name of a Secret.
    pub(crate) ca: Option<String>,
    /// `upstream-name`.
    pub(crate) server_name: Option<String>,
    /// `upstream-verify`.
    pub(crate) verify: bool,
    /// `service-upstream`.
    pub(crate) service_upstream: bool,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self { protocol: None, ca: None, server_name: None, verify: true, service_upstream: false }
    }
}
