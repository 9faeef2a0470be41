//! What is done when there is not enough memory, time or file descriptors, with the data plane's own defaults.

use clap::Args;
use portico_dataplane::config::{Limits, Overload, Timers};

use super::value::{Pause, Percent, Size, at_least_one};

/// Budgets of connections and of the process.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Overload")]
pub(crate) struct OverloadArgs {
    /// Memory that the process may have [default: what its cgroups allow; without either none is watched]
    #[arg(long, env = "PORTICO_MEMORY_LIMIT", value_name = "SIZE")]
    pub(crate) memory_limit: Option<Size>,
    /// Share of the memory in use, first step; no connection is kept for a further request, large uploads begin one by one
    #[arg(
        long,
        env = "PORTICO_MEMORY_KEEP_ALIVE_OFF",
        value_name = "PERCENT",
        default_value_t = Percent(Overload::default().keep_alive_off)
    )]
    pub(crate) memory_keep_alive_off: Percent,
    /// Share of the memory in use, second step; requests get 503, idle connections are closed, uploads that no endpoint takes for 5 s end
    #[arg(
        long,
        env = "PORTICO_MEMORY_REFUSE",
        value_name = "PERCENT",
        default_value_t = Percent(Overload::default().refuse)
    )]
    pub(crate) memory_refuse: Percent,
    /// Share of the memory in use, last step; nobody is accepted, no body is read, who takes nothing for a second is cut
    #[arg(
        long,
        env = "PORTICO_MEMORY_ACCEPT_OFF",
        value_name = "PERCENT",
        default_value_t = Percent(Overload::default().accept_off)
    )]
    pub(crate) memory_accept_off: Percent,
    /// Lateness of a worker, or 0 for no limit; every third request gets 503
    #[arg(
        long,
        env = "PORTICO_MAX_LATENESS",
        value_name = "D",
        default_value_t = Pause(Overload::default().lateness)
    )]
    pub(crate) max_lateness: Pause,
    /// File descriptors kept for admin, status, API server and logs [default: an eighth of them, 32 to 512]
    #[arg(long, env = "PORTICO_FD_RESERVE", value_name = "N", value_parser = at_least_one)]
    pub(crate) fd_reserve: Option<usize>,
    /// Connections to upstreams, idle ones included; 503 [default: what clients and the reserve leave of the file descriptors]
    #[arg(long, env = "PORTICO_MAX_UPSTREAM_CONNECTIONS", value_name = "N", value_parser = at_least_one)]
    pub(crate) max_upstream_connections: Option<usize>,
    /// Age of a connection, give or take a tenth, or 0 for no limit; it ends with its next request
    #[arg(
        long,
        env = "PORTICO_MAX_CONNECTION_AGE",
        value_name = "D",
        default_value_t = Pause(Timers::default().connection_age)
    )]
    pub(crate) max_connection_age: Pause,
    /// Requests of a connection, give or take a tenth, or 0 for no limit; it ends with the last
    #[arg(
        long,
        env = "PORTICO_MAX_CONNECTION_REQUESTS",
        value_name = "N",
        default_value_t = Limits::default().requests
    )]
    pub(crate) max_connection_requests: u32,
    /// TLS handshakes that a worker begins before it looks after its other connections
    #[arg(
        long,
        env = "PORTICO_TLS_HANDSHAKES_AT_ONCE",
        value_name = "N",
        default_value_t = Limits::default().handshakes,
        value_parser = at_least_one
    )]
    pub(crate) tls_handshakes_at_once: usize,
}
