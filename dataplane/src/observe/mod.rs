//! Metrics and access log: what the data plane tells about itself.
//!
//! Knows no exposition endpoint and no log file: the owner registers [`metrics::Metrics`] in its registry and hands
//! [`access_log::AccessLog`] something to write to. Invariant: nothing here makes a worker wait.

pub mod access_log;
pub mod metrics;
