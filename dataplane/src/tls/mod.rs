//! Downstream TLS: certificates by name, one ticketer, configurations.
//!
//! Knows tables and their certificates, not connections. Invariant: every TLS session of this process, in either
//! direction, uses the one [`provider`]; key material leaves it in no form.

mod certificates;
mod config;
mod keys;
mod resolver;
mod self_signed;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::ProducesTickets;

pub use certificates::Certificates;
pub use config::server_config;
pub use keys::{KeyError, Keys};
pub use resolver::Resolver;
pub use self_signed::self_signed;

/// The cryptography behind all TLS: aws-lc-rs, X25519MLKEM768 first among the key exchanges.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// A producer of session tickets whose keys change every six hours and are accepted for twelve.
///
/// One for all workers and listeners of the same TLS policy: a ticket must be good wherever its client lands next, and
/// must not carry a session into a stricter policy.
pub fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    aws_lc_rs::Ticketer::new()
}
