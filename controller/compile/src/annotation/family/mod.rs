//! The annotations, one file per feature word.

pub(super) mod body;
pub(super) mod redirect;
pub(super) mod service_upstream;
pub(super) mod timeout;
pub(super) mod upstream_protocol;
pub(super) mod upstream_tls;
