//! Wiring of `serve`: what runs, on which threads, and in which order it ends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything `serve` needs to know; the command line fills it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Files and directories of manifests.
    pub manifests: Vec<PathBuf>,
    /// What bears on the IR.
    pub options: portico_compile::Options,
    /// Addresses, limits and timers of the data plane.
    pub dataplane: portico_dataplane::Config,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    pub status: SocketAddr,
    /// Address of `/routes`, `/explain` and `/diagnostics`.
    pub admin: SocketAddr,
    /// Shortest time between two compiles. Default 100 ms.
    pub hold_off: Duration,
    /// Name server for ExternalName; `None` is the system's configuration.
    pub resolver: Option<SocketAddr>,
}
