//! One normaliser for hosts and one for paths: routing, TLS, logs and rules all see the same form.

pub mod authority;
pub mod path;
