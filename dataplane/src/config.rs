//! Plain settings of the data plane; every default is the documented one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use portico_shared::ir::INGRESS_LISTENER;

/// One address to listen on.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Address; `[::]` falls back to `0.0.0.0` where IPv6 is missing.
    pub address: SocketAddr,
    /// Whether TLS is terminated here.
    pub tls: bool,
    /// The table's listener that serves it. Default [`INGRESS_LISTENER`].
    pub listener: Arc<str>,
    /// Whether HTTP/2 with prior knowledge is taken in clear. Default off.
    pub h2c: bool,
}

impl Binding {
    /// A binding for Ingress traffic.
    #[must_use]
    pub fn ingress(address: SocketAddr, tls: bool) -> Self {
        Self { address, tls, listener: INGRESS_LISTENER.into(), h2c: false }
    }
}

/// Everything the data plane needs to know at start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to listen on.
    pub bindings: Vec<Binding>,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Peers whose forwarded headers are believed and which may pre-open connections.
    pub trusted_proxies: Vec<IpNet>,
    /// Peers that must, and alone may, send a PROXY protocol header.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Caps and sizes.
    pub limits: Limits,
    /// Timers.
    pub timers: Timers,
    /// What is done when there is not enough memory or time.
    pub overload: Overload,
    /// Downstream TLS.
    pub tls: Tls,
    /// Behaviour towards upstreams.
    pub upstream: Upstream,
    /// Access log format.
    pub access_log: AccessLogFormat,
    /// Whether HTTP/1 field names keep the case they came in.
    pub preserve_header_case: bool,
    /// Whether field names with underscores pass. Default off: they are dropped.
    pub underscores_in_headers: bool,
    /// Time between the first sign of ending and the end of accepting.
    pub drain_delay: Duration,
    /// Longest wait for requests in flight after that.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bindings: Vec::new(),
            workers: 1,
            trusted_proxies: Vec::new(),
            proxy_protocol_from: Vec::new(),
            limits: Limits::default(),
            timers: Timers::default(),
            overload: Overload::default(),
            tls: Tls::default(),
            upstream: Upstream::default(),
            access_log: AccessLogFormat::Off,
            preserve_header_case: false,
            underscores_in_headers: false,
            drain_delay: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Caps and sizes, each with its answer on breach.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Downstream connections in total; further ones wait in the kernel's queue. Default 65,536 or what half of the
    /// file descriptors allow.
    pub connections: usize,
    /// Downstream connections per client address; further ones are closed. Default none.
    pub connections_per_client: Option<usize>,
    /// Connections to upstreams in total, idle ones included; 503. Default what clients and the reserve leave of the file
    /// descriptors, without limit when nobody says.
    pub upstream_connections: usize,
    /// Requests of one connection, give or take a tenth; then it is closed gracefully. 0, the default, is no limit: its age
    /// ends a connection that lives too long.
    pub requests: u32,
    /// TLS handshakes that a worker begins before it looks after its other connections. Default 16.
    pub handshakes: usize,
    /// Whole request head in octets; 431. Default 32 KiB.
    pub head: usize,
    /// Request fields; 431. Default 100.
    pub fields: usize,
    /// Further `cookie` fields on HTTP/2, whose clients split cookies; 431. Default 200.
    pub cookie_crumbs: usize,
    /// Request target in octets; 414. Default 8 KiB.
    pub target: usize,
    /// Method in octets; 400. Default 32.
    pub method: usize,
    /// Request body in octets; 413. Default none.
    pub body: Option<u64>,
    /// Concurrent HTTP/2 streams per connection. Default 100.
    pub h2_streams: u32,
    /// HTTP/2 stream window in octets. Default 256 KiB.
    pub h2_stream_window: u32,
    /// HTTP/2 connection window in octets. Default 1 MiB.
    pub h2_connection_window: u32,
    /// Requests that came through a Portico before (`Portico-Hops`); 508. Default 10.
    pub hops: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            connections_per_client: None,
            upstream_connections: usize::MAX,
            requests: 0,
            handshakes: 16,
            head: 32 * 1024,
            fields: 100,
            cookie_crumbs: 200,
            target: 8 * 1024,
            method: 32,
            body: None,
            h2_streams: 100,
            h2_stream_window: 256 * 1024,
            h2_connection_window: 1024 * 1024,
            hops: 10,
        }
    }
}

/// Timers of both sides.
#[derive(Clone, Debug)]
pub struct Timers {
    /// TLS handshake; close. Default 10 s.
    pub handshake: Duration,
    /// First octet of a connection; close. Default 10 s.
    pub first_byte: Duration,
    /// First octet of a connection from a trusted proxy; close. Default 60 s.
    pub first_byte_trusted: Duration,
    /// Whole request head from its first octet; 408. Default 10 s.
    pub head: Duration,
    /// No progress of a request body; 408. Default 60 s.
    pub body_idle: Duration,
    /// Grace before [`Timers::body_rate`] is asked for. Default 10 s.
    pub body_rate_grace: Duration,
    /// Slowest request body in octets a second while no response has begun; 408. Default 500.
    pub body_rate: u64,
    /// Idle keep-alive connection; close. Default 620 s.
    pub keep_alive: Duration,
    /// Idle HTTP/1 connection before all but its socket and TLS session is given up until it is used again; nothing shows
    /// on the wire. Default 2 s; 0 never.
    pub park_after: Duration,
    /// Age of a connection, give or take a tenth, from which on its next request is its last. Zero is no limit. Default 1 h.
    pub connection_age: Duration,
    /// A response that the client does not take; close. Default 60 s.
    pub write_stall: Duration,
    /// Upgraded connections, gRPC and event streams without a byte; close. Default 1 h.
    pub stream_idle: Duration,
    /// HTTP/2 ping and TCP keep-alive interval. Default 30 s.
    pub probe: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(10),
            first_byte_trusted: Duration::from_secs(60),
            head: Duration::from_secs(10),
            body_idle: Duration::from_secs(60),
            body_rate_grace: Duration::from_secs(10),
            body_rate: 500,
            keep_alive: Duration::from_secs(620),
            park_after: Duration::from_secs(2),
            connection_age: Duration::from_secs(3600),
            write_stall: Duration::from_secs(60),
            stream_idle: Duration::from_secs(3600),
            probe: Duration::from_secs(30),
        }
    }
}

/// What is done when there is not enough memory or time. Percentages are of the memory that the process may have.
#[derive(Clone, Debug)]
pub struct Overload {
    /// Resident memory in octets that the process may have. Default what its cgroups allow; without either nothing is
    /// watched.
    pub memory: Option<u64>,
    /// From here on no connection is kept for a further request, and uploads of more than 64 KiB or of unknown length begin
    /// one every 100 ms. Default 85.
    pub keep_alive_off: u32,
    /// From here on new requests get 503, idle connections are closed, and uploads that no endpoint takes for 5 s end.
    /// Default 92.
    pub refuse: u32,
    /// From here on nobody is accepted, no request body is read, and who takes nothing for a second is cut.
    /// Default 95.
    pub accept_off: u32,
    /// How late a worker may be, three times in a row, before it refuses every third request with 503; zero never does.
    /// Default 500 ms.
    pub lateness: Duration,
}

impl Default for Overload {
    fn default() -> Self {
        Self { memory: None, keep_alive_off: 85, refuse: 92, accept_off: 95, lateness: Duration::from_millis(500) }
    }
}

/// Oldest TLS version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    V1_2,
    /// TLS 1.3 only.
    V1_3,
}

/// Downstream TLS.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Oldest version. Default 1.2.
    pub min_version: TlsVersion,
    /// Cipher suites by IANA name; empty takes the provider's.
    pub cipher_suites: Vec<String>,
    /// Whether a handshake for a name without a certificate is refused and a request for a host with another
    /// certificate answered 421. Default off.
    pub strict_sni: bool,
}

/// Behaviour towards upstreams.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Connecting, TLS included; then the next endpoint. Default 2 s.
    pub connect: Duration,
    /// Response head; 504. Default 60 s; a route's request timeout replaces it.
    pub response: Duration,
    /// Silence within a response body; abort. Default 60 s.
    pub body_idle: Duration,
    /// Idle pooled connection. Default 30 s.
    pub idle: Duration,
    /// Longest idle time of a connection for a request that may not be replayed. Default 2 s.
    pub idle_unsafe: Duration,
    /// Idle connections per worker and endpoint. Default 256.
    pub idle_per_endpoint: usize,
    /// Idle connections in the whole process; each worker has an equal share. Default 8,192.
    pub idle_total: usize,
    /// Endpoints of one upstream that a worker uses. Default 256.
    pub endpoint_subset: usize,
    /// Further tries of a request. Default 2.
    pub retries: u32,
    /// Share of requests that may be retries, in percent. Default 20.
    pub retry_budget_percent: u32,
    /// Consecutive failures that eject an endpoint; 0 never ejects. Default 3.
    pub eject_after: u32,
    /// First ejection; doubles up to [`Upstream::eject_longest`]. Default 5 s.
    pub eject_for: Duration,
    /// Longest ejection. Default 60 s.
    pub eject_longest: Duration,
    /// Certificate authorities in PEM beside the system's.
    pub authorities: Option<Arc<str>>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            response: Duration::from_secs(60),
            body_idle: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            idle_unsafe: Duration::from_secs(2),
            idle_per_endpoint: 256,
            idle_total: 8192,
            endpoint_subset: 256,
            retries: 2,
            retry_budget_percent: 20,
            eject_after: 3,
            eject_for: Duration::from_secs(5),
            eject_longest: Duration::from_secs(60),
            authorities: None,
        }
    }
}

/// How the access log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// Not at all.
    #[default]
    Off,
    /// One JSON object a line.
    Json,
    /// One line for people.
    Text,
}
