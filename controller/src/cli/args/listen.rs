//! Addresses, who may connect how, and the threads that serve them.

use std::net::SocketAddr;

use clap::Args;
use ipnet::IpNet;

use super::value::{at_least_one, network};

/// Where Portico listens.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Addresses and connections")]
pub(crate) struct ListenArgs {
    /// Address for HTTP
    #[arg(long, env = "PORTICO_HTTP", value_name = "ADDR", default_value = "[::]:8080")]
    pub(crate) http: SocketAddr,
    /// Address for HTTPS
    #[arg(long, env = "PORTICO_HTTPS", value_name = "ADDR", default_value = "[::]:8443")]
    pub(crate) https: SocketAddr,
    /// Address for /healthz, /readyz and /metrics
    #[arg(long, env = "PORTICO_STATUS", value_name = "ADDR", default_value = "[::]:9090")]
    pub(crate) status: SocketAddr,
    /// Address for /routes, /explain and /diagnostics; it tells what the table holds, so keep it local
    #[arg(long, env = "PORTICO_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9091")]
    pub(crate) admin: SocketAddr,
    /// Worker threads [default: the processors this process may use, at most 16]
    #[arg(long, env = "PORTICO_WORKERS", value_name = "N", value_parser = at_least_one)]
    pub(crate) workers: Option<usize>,
    /// Networks whose X-Forwarded-* and X-Request-ID fields are believed
    #[arg(long, env = "PORTICO_TRUSTED_PROXIES", value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Networks that must, and alone may, send a PROXY protocol header (version 1 or 2)
    #[arg(
        long,
        env = "PORTICO_PROXY_PROTOCOL_FROM",
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = network
    )]
    pub(crate) proxy_protocol_from: Vec<IpNet>,
    /// Take HTTP/2 with prior knowledge on the HTTP address
    #[arg(long, env = "PORTICO_H2C")]
    pub(crate) h2c: bool,
    /// Keep the letter case of HTTP/1 field names
    #[arg(long, env = "PORTICO_PRESERVE_HEADER_CASE")]
    pub(crate) preserve_header_case: bool,
    /// Pass field names with underscores instead of dropping them
    #[arg(long, env = "PORTICO_ALLOW_UNDERSCORES")]
    pub(crate) allow_underscores: bool,
}
