//! Idle connections that are parked: nothing of it shows, in clear or with TLS, whatever wakes them.

mod tls;
mod whole;

use std::net::SocketAddr;
use std::time::Duration;

use portico_dataplane::Config;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::kit::{Origin, Proxy, Wire, eventually, tls};

/// What is parked soon.
const SOON: Duration = Duration::from_millis(20);
/// Longer than it takes to be parked.
const LONGER: Duration = Duration::from_millis(100);
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

/// A client in clear or with TLS.
type Client = Wire<Box<dyn Both>>;

/// What a connection is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Clear,
    Tls12,
    Tls13,
}

const KINDS: [Kind; 3] = [Kind::Clear, Kind::Tls12, Kind::Tls13];

/// An endpoint whose answers have the request's path for a body.
async fn echo() -> SocketAddr {
    let origin = Origin::new().await;
    let address = origin.address;
    origin.serve(async |_, mut wire: Wire| {
        while let Some(head) = wire.next_head().await {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let read = wire.octets(length.unwrap_or(0)).await.len();
            let body = format!("{path} {read}");
            wire.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
        }
    });
    address
}

/// A data plane that parks soon, before [`echo`].
async fn proxy(kind: Kind, adjust: impl FnOnce(&mut Config)) -> Proxy {
    Proxy::start(&[echo().await], |config| {
        config.bindings[0].tls = kind != Kind::Clear;
        config.timers.park_after = SOON;
        adjust(config);
    })
    .await
}

async fn connect(proxy: &Proxy, kind: Kind) -> Client {
    let stream = proxy.connect().await.stream;
    Wire::new(match kind {
        Kind::Clear => Box::new(stream),
        Kind::Tls12 => Box::new(tls(stream, &[&TLS12]).await),
        Kind::Tls13 => Box::new(tls(stream, &[&TLS13]).await),
    })
}

/// One request and its answer.
async fn ask(client: &mut Client, path: &str) {
    client.send(&request(path)).await;
    assert!(client.until(&format!("\r\n\r\n{path} 0")).await.starts_with("HTTP/1.1 200 OK\r\n"), "{path}");
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn count(proxy: &Proxy) -> u64 {
    proxy.counted(|worker| worker.connections_parked.get())
}

/// Waits until so many connections are parked.
async fn parked(proxy: &Proxy, count_of: u64) {
    eventually("parked", || count(proxy) == count_of).await;
}

/// A connection that is parked behind one request.
async fn idle(proxy: &Proxy, kind: Kind) -> Client {
    let mut client = connect(proxy, kind).await;
    ask(&mut client, "/first").await;
    parked(proxy, 1).await;
    client
}
