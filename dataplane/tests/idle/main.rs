//! What an idle TLS connection keeps resident after a crowd of them came at once; a process of its own, because what others
//! allocate would count.

#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
#[path = "../kit/mod.rs"]
mod kit;

use std::time::Duration;

use kit::{Proxy, Wire, endpoint, eventually, tls};
use rustls::version::TLS13;
use tokio::net::TcpStream;

/// What the binary allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CROWD: usize = 512;
/// Clients that shake hands at the same time.
const AT_ONCE: usize = 16;

/// Resident memory of this process in octets.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<usize>().ok()).expect("a number") * 1024
}

/// A client that has had an answer, and from then on is only its socket: what its session needed is given back.
async fn client(proxy: &Proxy) -> TcpStream {
    let mut wire = Wire::new(tls(proxy.connect().await.stream, &[&TLS13]).await);
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    wire.until("\r\n\r\n").await;
    wire.stream.into_inner().0
}

async fn crowd(proxy: &Proxy, size: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    while all.len() < size {
        all.extend(futures_util::future::join_all((0..AT_ONCE).map(|_| client(proxy))).await);
    }
    all
}

#[tokio::test]
async fn a_crowd_that_came_at_once_keeps_little_each() {
    let proxy = Proxy::start(&[endpoint().await], |config| {
        config.bindings[0].tls = true;
        config.timers.park_after = Duration::from_secs(1);
    })
    .await;
    drop(crowd(&proxy, AT_ONCE).await);
    eventually("gone", || proxy.counted(|worker| worker.connections_active.get()) == 0).await;
    let before = resident();
    let clients = crowd(&proxy, CROWD).await;
    eventually("parked", || proxy.counted(|worker| worker.connections_parked.get()) == CROWD as u64).await;
    let each = || resident().saturating_sub(before) / clients.len();
    // The allocator gives pages back a second or two after they were freed.
    eventually("little is kept", || each() < MOST).await;
    println!("{} octets a connection", each());
}

/// Octets for one connection, with what the allocator rounds up and huge pages that fill again. Some 8 to 15 KiB are usual.
const MOST: usize = 20 * 1024;
