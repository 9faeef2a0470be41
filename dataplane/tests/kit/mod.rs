//! A data plane on loopback, fed with a table literal, and raw clients for it.

pub(crate) mod h2;
mod origin;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portico_dataplane::config::{Binding, Config};
use portico_dataplane::observe::metrics::{Limit, WorkerMetrics};
use portico_dataplane::{Dataplane, Running};
use portico_shared::ir::*;
use portico_shared::table::RoutingTable;
use portico_shared::{EndpointSet, Kind, ObjectRef, Origin as From};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) use origin::Origin;
pub(crate) use tls::tls;
pub(crate) use wire::{Ended, Wire, soon};

/// A data plane that accepts.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
}

impl Proxy {
    /// One worker and one plain binding in front of these endpoints.
    pub(crate) async fn start(endpoints: &[SocketAddr], adjust: impl FnOnce(&mut Config)) -> Self {
        Self::with(table(endpoints), adjust).await
    }

    /// One worker and one plain binding that serve this table.
    pub(crate) async fn with(table: Arc<RoutingTable>, adjust: impl FnOnce(&mut Config)) -> Self {
        let (running, address) = start(1, adjust);
        running.publisher().publish(table);
        eventually("accepting", || std::net::TcpStream::connect(address).is_ok()).await;
        let proxy = Self { running, address };
        eventually("the probe is gone", || proxy.counted(|worker| worker.connections_active.get()) == 0).await;
        proxy
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address).await.expect("the data plane accepts"))
    }

    /// A new connection on which something was said at once.
    pub(crate) async fn say(&self, octets: impl AsRef<[u8]>) -> Wire {
        let mut wire = self.connect().await;
        wire.send(&octets).await;
        wire
    }

    /// A number of the only worker.
    pub(crate) fn counted(&self, number: impl Fn(&WorkerMetrics) -> u64) -> u64 {
        self.running.metrics().workers().map(|worker| number(worker)).sum()
    }

    /// How often a limit was hit.
    pub(crate) fn limit(&self, limit: Limit) -> u64 {
        self.counted(|worker| worker.limits[limit.index()].get())
    }
}

/// The name of the only upstream.
pub(crate) fn upstream_name() -> UpstreamName {
    UpstreamName { namespace: "default".into(), service: "echo".into(), port: 80 }
}

/// A table with one route, any host and path, to these endpoints.
pub(crate) fn table(endpoints: &[SocketAddr]) -> Arc<RoutingTable> {
    table_of(endpoints, |_, _| ())
}

/// The same with another upstream or other policies.
pub(crate) fn table_of(
    endpoints: &[SocketAddr],
    adjust: impl FnOnce(&mut Upstream, &mut policy::Policies),
) -> Arc<RoutingTable> {
    let mut policies = policy::Policies::default();
    let mut upstream = Upstream {
        name: upstream_name(),
        protocol: Protocol::Http1,
        tls: None,
        balance: Balance::LeastRequest,
        source: EndpointSource::Compiled,
    };
    adjust(&mut upstream, &mut policies);
    let route = Arc::new(Route {
        name: RouteName("default/echo:*/".into()),
        matcher: Matcher::path(PathMatch::Prefix("/".into())),
        action: Action::Forward([Backend { upstream: upstream_name(), weight: 1 }].into()),
        policies: policies.into(),
        origin: From::new(ObjectRef::new(Kind::Ingress, "default", "echo"), ""),
    });
    let host = VirtualHost { pattern: HostPattern::Any, routes: vec![route], fallback: None, certificate: None };
    let listener = Listener {
        name: INGRESS_LISTENER.into(),
        virtual_hosts: vec![Arc::new(host)],
        fallback: None,
        default_certificate: None,
        certificates: Vec::new(),
    };
    let ir = Ir { listeners: vec![listener], upstreams: vec![Arc::new(upstream)], certificates: Vec::new() };
    let set = Arc::new(EndpointSet::new(endpoints.iter().copied()));
    Arc::new(RoutingTable::build(Arc::new(ir), &RoutingTable::empty(), |_| Some(set.clone())))
}

/// A data plane with one plain binding and that many workers.
pub(crate) fn start(workers: usize, adjust: impl FnOnce(&mut Config)) -> (Running, SocketAddr) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config { bindings: vec![Binding::ingress(any, false)], workers, ..Config::default() };
    config.drain_delay = Duration::ZERO;
    adjust(&mut config);
    let bound = Dataplane::bind(config).expect("loopback can be bound");
    let address = bound.addresses()[0];
    (bound.start().expect("workers start"), address)
}

/// An endpoint that answers every request with its own port.
pub(crate) async fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback can be bound");
    let address = listener.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while head(&mut stream).await.is_some() {
                    let body = address.port().to_string();
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Reads one head without a body; `None` at the end of the connection.
pub(crate) async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Sends octets on a new connection and reads until the other side closes.
pub(crate) async fn exchange(address: SocketAddr, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the data plane accepts");
    stream.write_all(octets).await.expect("the data plane reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the data plane closes cleanly");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until `condition` holds, for 10 s at most.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let holds = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while !condition() {
            tick.tick().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), holds).await.is_ok(), "never: {what}");
}

/// The status in an HTTP/1 head.
#[track_caller]
pub(crate) fn status(head: &str) -> u16 {
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status: {head:?}"))
}
