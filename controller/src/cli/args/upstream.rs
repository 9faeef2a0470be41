//! Behaviour towards upstreams, with the data plane's own defaults.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use portico_dataplane::config::Upstream;

use super::value::{Percent, Timer, at_least_one};

/// Connecting, waiting, trying again, ejecting.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Upstreams")]
pub(crate) struct UpstreamArgs {
    /// Connecting to an endpoint, TLS included; then the next endpoint, at last 502
    #[arg(
        long,
        env = "PORTICO_UPSTREAM_CONNECT_TIMEOUT",
        value_name = "D",
        default_value_t = Timer(Upstream::default().connect)
    )]
    pub(crate) upstream_connect_timeout: Timer,
    /// Response head of an endpoint; 504
    #[arg(
        long,
        env = "PORTICO_UPSTREAM_RESPONSE_TIMEOUT",
        value_name = "D",
        default_value_t = Timer(Upstream::default().response)
    )]
    pub(crate) upstream_response_timeout: Timer,
    /// Silence within a response body; the response is cut
    #[arg(
        long,
        env = "PORTICO_UPSTREAM_IDLE_TIMEOUT",
        value_name = "D",
        default_value_t = Timer(Upstream::default().body_idle)
    )]
    pub(crate) upstream_idle_timeout: Timer,
    /// Idle pooled connection
    #[arg(long, env = "PORTICO_UPSTREAM_KEEP_ALIVE", value_name = "D", default_value_t = Timer(Upstream::default().idle))]
    pub(crate) upstream_keep_alive: Timer,
    /// Longest idle time of a pooled connection for a request that may not be sent twice
    #[arg(
        long,
        env = "PORTICO_UPSTREAM_KEEP_ALIVE_UNSAFE",
        value_name = "D",
        default_value_t = Timer(Upstream::default().idle_unsafe)
    )]
    pub(crate) upstream_keep_alive_unsafe: Timer,
    /// Idle connections per worker and endpoint
    #[arg(
        long,
        env = "PORTICO_UPSTREAM_IDLE_CONNECTIONS",
        value_name = "N",
        default_value_t = Upstream::default().idle_per_endpoint
    )]
    pub(crate) upstream_idle_connections: usize,
    /// Idle connections of the whole process [default: 8192, or what a quarter of the file descriptors allow]
    #[arg(long, env = "PORTICO_UPSTREAM_IDLE_TOTAL", value_name = "N")]
    pub(crate) upstream_idle_total: Option<usize>,
    /// Endpoints of one upstream that a worker uses
    #[arg(
        long,
        env = "PORTICO_UPSTREAM_SUBSET",
        value_name = "N",
        value_parser = at_least_one,
        default_value_t = Upstream::default().endpoint_subset
    )]
    pub(crate) upstream_subset: usize,
    /// Certificate authorities in PEM to trust besides the system's
    #[arg(long, env = "PORTICO_UPSTREAM_CA", value_name = "FILE")]
    pub(crate) upstream_ca: Option<PathBuf>,
    /// Further tries: any request after a failed connect, else only those that are idempotent and unsent
    #[arg(long, env = "PORTICO_RETRIES", value_name = "N", default_value_t = Upstream::default().retries)]
    pub(crate) retries: u32,
    /// Share of requests that may be retries
    #[arg(
        long,
        env = "PORTICO_RETRY_BUDGET",
        value_name = "PERCENT",
        default_value_t = Percent(Upstream::default().retry_budget_percent)
    )]
    pub(crate) retry_budget: Percent,
    /// Failures in a row that eject an endpoint, or 0 for never
    #[arg(long, env = "PORTICO_EJECT_AFTER", value_name = "N", default_value_t = Upstream::default().eject_after)]
    pub(crate) eject_after: u32,
    /// First ejection, doubled with each further one
    #[arg(long, env = "PORTICO_EJECT_FOR", value_name = "D", default_value_t = Timer(Upstream::default().eject_for))]
    pub(crate) eject_for: Timer,
    /// Longest ejection
    #[arg(
        long,
        env = "PORTICO_EJECT_LONGEST",
        value_name = "D",
        default_value_t = Timer(Upstream::default().eject_longest)
    )]
    pub(crate) eject_longest: Timer,
    /// DNS server for ExternalName Services [default: those of /etc/resolv.conf]
    #[arg(long, env = "PORTICO_RESOLVER", value_name = "ADDR", value_parser = resolver)]
    pub(crate) resolver: Option<SocketAddr>,
}

/// An address of a DNS server; port 53 when none is given.
fn resolver(text: &str) -> Result<SocketAddr, String> {
    let bare = || text.parse().ok().map(|address: std::net::IpAddr| SocketAddr::new(address, 53));
    text.parse()
        .ok()
        .or_else(bare)
        .ok_or_else(|| format!("{text:?} is not an address such as 10.96.0.10 or 127.0.0.1:5353"))
}
