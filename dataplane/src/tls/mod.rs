//! Downstream TLS: certificates by name, one ticketer, server configurations.
