//! Caps and sizes, with the data plane's own defaults.

use clap::Args;
use portico_dataplane::config::Limits;

use super::value::{Size, at_least_one};

/// What a client may send at most.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitsArgs {
    /// Client connections; further ones wait [default: 65536, or what half of the file descriptors allow]
    #[arg(long, env = "PORTICO_MAX_CONNECTIONS", value_name = "N", value_parser = at_least_one)]
    pub(crate) max_connections: Option<usize>,
    /// Connections of one client address; further ones are closed [default: no limit]
    #[arg(long, env = "PORTICO_MAX_CONNECTIONS_PER_CLIENT", value_name = "N", value_parser = at_least_one)]
    pub(crate) max_connections_per_client: Option<usize>,
    /// Request body; 413 [default: no limit]
    #[arg(long, env = "PORTICO_MAX_BODY_SIZE", value_name = "SIZE")]
    pub(crate) max_body_size: Option<Size>,
    /// Whole request head; 431
    #[arg(long, env = "PORTICO_MAX_HEAD_SIZE", value_name = "SIZE", default_value_t = octets(Limits::default().head))]
    pub(crate) max_head_size: Size,
    /// Request fields; 431
    #[arg(long, env = "PORTICO_MAX_HEADER_FIELDS", value_name = "N", default_value_t = Limits::default().fields)]
    pub(crate) max_header_fields: usize,
    /// Further cookie fields on HTTP/2, whose clients split cookies; 431
    #[arg(long, env = "PORTICO_MAX_COOKIE_CRUMBS", value_name = "N", default_value_t = Limits::default().cookie_crumbs)]
    pub(crate) max_cookie_crumbs: usize,
    /// Request target; 414
    #[arg(long, env = "PORTICO_MAX_TARGET_SIZE", value_name = "SIZE", default_value_t = octets(Limits::default().target))]
    pub(crate) max_target_size: Size,
    /// Length of the method; 400
    #[arg(long, env = "PORTICO_MAX_METHOD_SIZE", value_name = "SIZE", default_value_t = octets(Limits::default().method))]
    pub(crate) max_method_size: Size,
    /// Concurrent HTTP/2 streams of a connection; further ones are refused
    #[arg(long, env = "PORTICO_H2_MAX_STREAMS", value_name = "N", default_value_t = Limits::default().h2_streams)]
    pub(crate) h2_max_streams: u32,
    /// HTTP/2 window of a stream
    #[arg(
        long,
        env = "PORTICO_H2_STREAM_WINDOW",
        value_name = "SIZE",
        default_value_t = Size(Limits::default().h2_stream_window.into())
    )]
    pub(crate) h2_stream_window: Size,
    /// HTTP/2 window of a connection
    #[arg(
        long,
        env = "PORTICO_H2_CONNECTION_WINDOW",
        value_name = "SIZE",
        default_value_t = Size(Limits::default().h2_connection_window.into())
    )]
    pub(crate) h2_connection_window: Size,
    /// Times a request may pass through a Portico, which ends loops; 508
    #[arg(long, env = "PORTICO_MAX_HOPS", value_name = "N", default_value_t = Limits::default().hops)]
    pub(crate) max_hops: u32,
}

/// A size out of the data plane's settings.
fn octets(size: usize) -> Size {
    Size(u64::try_from(size).expect("a default is small"))
}
