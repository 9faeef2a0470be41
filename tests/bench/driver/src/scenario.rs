//! What is measured.

use crate::peers::Kind;

/// What a proxy must be able to do to take part.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Needs {
    /// Pass on plain HTTP/1.1.
    Plain,
    /// TLS and, with it, everything that HTTP is.
    Tls,
    /// A routing table of many hosts out of a configuration.
    Hosts,
    /// To be this one.
    Only(Kind),
}

/// Who makes the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// wrk as fast as it goes, oha at a fixed rate.
    Http1,
    /// The same with a POST of 1 MiB.
    Upload,
    /// wrk over every host of the table; nothing at a fixed rate.
    ManyHosts,
    /// h2load with so many streams on each connection.
    Http2 { streams: u32 },
    /// The same with a gRPC message.
    Grpc { streams: u32 },
    /// A connection, a handshake and a request each time; resumed after the first if so.
    Handshake { resumed: bool },
    /// Short frames to and fro.
    WebSocket,
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// Requests: processor time of each, rate, latency.
    Load { driver: Driver, tls: bool, path: &'static str, connections: u32 },
    /// Idle connections after one request each: resident memory of each. `alpn` is what TLS agrees on, if there is TLS.
    Idle { alpn: Option<&'static str> },
    /// From the start of the process to the first answer.
    Start,
}

/// A row of the table below.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// As people write it.
    pub(crate) name: &'static str,
    /// As the summary says it.
    pub(crate) title: &'static str,
    pub(crate) needs: Needs,
    /// Hosts in the routing table of everybody; without it, Portico has those of `--hosts` and everybody else one.
    pub(crate) hosts: Option<usize>,
    pub(crate) work: Work,
}

impl Scenario {
    /// Hosts in the routing table of a proxy.
    pub(crate) fn hosts(&self, kind: Kind, of_portico: usize) -> usize {
        match self.hosts {
            Some(hosts) => hosts,
            None if kind == Kind::Portico => of_portico,
            None => 1,
        }
    }
}

const fn load(driver: Driver, tls: bool, path: &'static str, connections: u32) -> Work {
    Work::Load { driver, tls, path, connections }
}

const fn row(name: &'static str, title: &'static str, needs: Needs, work: Work) -> Scenario {
    Scenario { name, title, needs, hosts: None, work }
}

use Driver::{Grpc, Handshake, Http1, Http2, ManyHosts, Upload, WebSocket};
use Needs::{Hosts, Only, Plain, Tls};

/// Every scenario, in the order of the summary.
pub(crate) const ALL: &[Scenario] = &[
    row("http", "HTTP/1.1 keep-alive, small body, 64 connections", Plain, load(Http1, false, "/", 64)),
    row("https", "The same over TLS", Tls, load(Http1, true, "/", 64)),
    row("handshake", "A full TLS handshake per request", Tls, load(Handshake { resumed: false }, true, "/", 32)),
    row("resumed", "A resumed TLS handshake per request", Tls, load(Handshake { resumed: true }, true, "/", 32)),
    row("h2", "HTTP/2 over TLS, 8 connections of 32 streams", Tls, load(Http2 { streams: 32 }, true, "/", 8)),
    row("grpc", "gRPC unary over TLS, the same", Tls, load(Grpc { streams: 32 }, true, "/echo.Echo/Unary", 8)),
    row("body", "1 MiB bodies, 16 connections", Plain, load(Http1, false, "/body", 16)),
    row("body-tls", "1 MiB bodies over TLS, 16 connections", Tls, load(Http1, true, "/body", 16)),
    row("upload", "1 MiB uploads, 16 connections", Plain, load(Upload, false, "/upload", 16)),
    row("websocket", "WebSocket echo of 64 octets, 64 connections", Plain, load(WebSocket, false, "/ws", 64)),
    Scenario { hosts: Some(1), ..row("hosts-1", "As `http`, Portico with 1 host", Only(Kind::Portico), HOSTS) },
    Scenario { hosts: Some(10_000), ..row("hosts-10000", "As `http`, 10,000 hosts in turn, everybody", Hosts, HOSTS) },
    row("idle", "Idle HTTP/1.1 connections", Plain, Work::Idle { alpn: None }),
    row("idle-tls", "Idle HTTP/1.1 connections over TLS", Tls, Work::Idle { alpn: Some("http/1.1") }),
    row("idle-h2", "Idle HTTP/2 connections over TLS", Tls, Work::Idle { alpn: Some("h2") }),
    Scenario { hosts: Some(1), ..row("start", "Start to first answer, 1 host", Plain, Work::Start) },
    Scenario { hosts: Some(10_000), ..row("start-10000", "Start to first answer, 10,000 hosts", Hosts, Work::Start) },
];

const HOSTS: Work = load(ManyHosts, false, "/", 64);
