//! What a running Portico tells about itself: health and numbers on one address, the table and its reasons on another.
//!
//! Only reads, changes nothing, and runs apart from the workers. The status address is safe to reach from the cluster;
//! the admin address shows what the table holds and belongs on loopback.

mod cluster;
mod debug;
mod health;
mod metrics;
mod process;
mod server;
#[cfg(test)]
mod tests;

pub use cluster::Cluster;
pub use debug::Debug;
pub use health::Status;
pub use metrics::registry;
pub use server::{Answers, Listener, Reply};
