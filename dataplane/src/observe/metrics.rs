//! Counters of the data plane.

/// Everything the data plane counts.
#[derive(Debug, Default)]
pub struct Metrics {}
