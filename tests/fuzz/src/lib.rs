//! The targets whose oracles need what portico-compile's tests are made with.

#[path = "../../../controller/compile/tests/arbitrary/mod.rs"]
mod arbitrary;
#[path = "../../../controller/compile/tests/oracle/mod.rs"]
mod oracle;

/// A file of manifests.
pub fn manifest(octets: &[u8]) {
    oracle::manifest(octets);
}

/// Octets that choose a snapshot.
pub fn snapshot(octets: &[u8]) {
    oracle::snapshot(octets);
}
