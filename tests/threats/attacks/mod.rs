//! Attacks that are code: masses, long times, TLS by hand, what the cluster's objects say.

use libtest_mimic::Trial;

/// Every coded attack as a test.
pub(crate) fn trials() -> Vec<Trial> {
    Vec::new()
}
