//! Timers towards clients and of ending, with the data plane's own defaults.

use clap::Args;
use portico_dataplane::config::{Config, Timers};

use super::value::{Pause, Size, Timer};

/// How long a client may take.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Timers")]
pub(crate) struct TimersArgs {
    /// TLS handshake; close
    #[arg(
        long,
        env = "PORTICO_TLS_HANDSHAKE_TIMEOUT",
        value_name = "D",
        default_value_t = Timer(Timers::default().handshake)
    )]
    pub(crate) tls_handshake_timeout: Timer,
    /// First octet of a connection; close
    #[arg(long, env = "PORTICO_FIRST_BYTE_TIMEOUT", value_name = "D", default_value_t = Timer(Timers::default().first_byte))]
    pub(crate) first_byte_timeout: Timer,
    /// First octet from a trusted proxy, which may open connections in advance; close
    #[arg(
        long,
        env = "PORTICO_FIRST_BYTE_TIMEOUT_TRUSTED",
        value_name = "D",
        default_value_t = Timer(Timers::default().first_byte_trusted)
    )]
    pub(crate) first_byte_timeout_trusted: Timer,
    /// Whole request head; 408
    #[arg(long, env = "PORTICO_REQUEST_HEAD_TIMEOUT", value_name = "D", default_value_t = Timer(Timers::default().head))]
    pub(crate) request_head_timeout: Timer,
    /// Silence within a request body; 408
    #[arg(
        long,
        env = "PORTICO_REQUEST_BODY_TIMEOUT",
        value_name = "D",
        default_value_t = Timer(Timers::default().body_idle)
    )]
    pub(crate) request_body_timeout: Timer,
    /// Slowest request body per second while no response has begun; 408
    #[arg(
        long,
        env = "PORTICO_REQUEST_BODY_RATE",
        value_name = "SIZE",
        default_value_t = Size(Timers::default().body_rate)
    )]
    pub(crate) request_body_rate: Size,
    /// Time before that rate is asked for
    #[arg(
        long,
        env = "PORTICO_REQUEST_BODY_GRACE",
        value_name = "D",
        default_value_t = Pause(Timers::default().body_rate_grace)
    )]
    pub(crate) request_body_grace: Pause,
    /// Idle connection of a client; close
    #[arg(long, env = "PORTICO_KEEP_ALIVE_TIMEOUT", value_name = "D", default_value_t = Timer(Timers::default().keep_alive))]
    pub(crate) keep_alive_timeout: Timer,
    /// Idle HTTP/1 connection until it gives up all memory but its socket and TLS session; 0 never
    #[arg(long, env = "PORTICO_PARK_AFTER", value_name = "D", default_value_t = Pause(Timers::default().park_after))]
    pub(crate) park_after: Pause,
    /// Response that the client does not take; close
    #[arg(long, env = "PORTICO_WRITE_TIMEOUT", value_name = "D", default_value_t = Timer(Timers::default().write_stall))]
    pub(crate) write_timeout: Timer,
    /// Silence on upgraded connections, gRPC and event streams; close
    #[arg(
        long,
        env = "PORTICO_STREAM_IDLE_TIMEOUT",
        value_name = "D",
        default_value_t = Timer(Timers::default().stream_idle)
    )]
    pub(crate) stream_idle_timeout: Timer,
    /// Interval of HTTP/2 pings and TCP keep-alive probes
    #[arg(long, env = "PORTICO_PROBE_INTERVAL", value_name = "D", default_value_t = Timer(Timers::default().probe))]
    pub(crate) probe_interval: Timer,
    /// Time from SIGTERM to the end of accepting
    #[arg(long, env = "PORTICO_DRAIN_DELAY", value_name = "D", default_value_t = Pause(Config::default().drain_delay))]
    pub(crate) drain_delay: Pause,
    /// Longest wait after that for requests in flight
    #[arg(long, env = "PORTICO_DRAIN_TIMEOUT", value_name = "D", default_value_t = Pause(Config::default().drain_timeout))]
    pub(crate) drain_timeout: Pause,
}
