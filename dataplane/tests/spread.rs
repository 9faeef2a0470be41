//! How evenly workers share connections, and endpoints requests, where there are many of each.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use portico_dataplane::Running;
use portico_dataplane::config::Config;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::kit::{eventually, start, table};

/// As many endpoints as are asked for behind one socket, which is bound to all of the loopback network. Each answers
/// with its own address.
struct Crowd {
    addresses: Vec<SocketAddr>,
    /// Connections that are open now.
    open: Arc<AtomicUsize>,
}

impl Crowd {
    async fn of(count: usize) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("loopback can be bound");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let open = Arc::<AtomicUsize>::default();
        let opened = open.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = stream.local_addr().expect("an accepted socket has an address").ip();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n{own:>BODY$}");
                let open = opened.clone();
                open.fetch_add(1, Relaxed);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while pass_head(&mut stream).await && stream.write_all(answer.as_bytes()).await.is_ok() {}
                    open.fetch_sub(1, Relaxed);
                });
            }
        });
        let address = |n: usize| {
            let [.., high, low] = n.to_be_bytes();
            SocketAddr::from((Ipv4Addr::new(127, 1, high, low), port))
        };
        Self { addresses: (1..=count).map(address).collect(), open }
    }
}

/// Reads to the end of a head; false at the end of the connection.
async fn pass_head(stream: &mut BufReader<TcpStream>) -> bool {
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
            return false;
        }
    }
    true
}

/// A data plane that serves the crowd, and that no probe is connected to any more.
async fn serving(workers: usize, crowd: &Crowd, adjust: impl FnOnce(&mut Config)) -> (Running, SocketAddr) {
    let (running, address) = start(workers, adjust);
    running.publisher().publish(table(&crowd.addresses));
    eventually("accepting", || std::net::TcpStream::connect(address).is_ok()).await;
    eventually("the probe is gone", || connections(&running).iter().sum::<u64>() == 0).await;
    (running, address)
}

/// Connections of each worker.
fn connections(running: &Running) -> Vec<u64> {
    running.metrics().workers().map(|worker| worker.connections_active.get()).collect()
}

/// Opens a connection and asks on it so many times; who answered, and the connection.
async fn ask(address: SocketAddr, times: usize) -> (HashMap<String, usize>, BufReader<TcpStream>) {
    let mut stream = BufReader::new(TcpStream::connect(address).await.expect("accepted"));
    let (mut answers, mut body) = (HashMap::new(), [0; BODY]);
    for _ in 0..times {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
        assert!(pass_head(&mut stream).await, "answered");
        stream.read_exact(&mut body).await.expect("the body comes");
        *answers.entry(String::from_utf8_lossy(&body).into_owned()).or_default() += 1;
    }
    (answers, stream)
}

/// The same on several connections at once; they stay open.
async fn crowd_in(
    address: SocketAddr,
    clients: usize,
    times: usize,
) -> (HashMap<String, usize>, Vec<BufReader<TcpStream>>) {
    let asking: Vec<_> = (0..clients).map(|_| tokio::spawn(ask(address, times))).collect();
    let (mut all, mut streams) = (HashMap::new(), Vec::new());
    for one in asking {
        let (answers, stream) = one.await.expect("it does not panic");
        answers.into_iter().for_each(|(endpoint, count)| *all.entry(endpoint).or_default() += count);
        streams.push(stream);
    }
    (all, streams)
}

#[tokio::test]
async fn a_storm_of_connections_leaves_no_worker_idle() {
    let crowd = Crowd::of(1).await;
    let (running, address) = serving(4, &crowd, |_| {}).await;
    let (_, streams) = crowd_in(address, 400, 1).await;
    let each = connections(&running);
    assert!(each.iter().all(|count| (70..=130).contains(count)), "{each:?}");
    drop(streams);
    running.drain().await;
}

#[tokio::test]
async fn sixteen_workers_ask_fifty_endpoints_alike() {
    let crowd = Crowd::of(50).await;
    let (running, address) = serving(16, &crowd, |_| {}).await;
    let (clients, times) = (32, 500);
    let (asked, streams) = crowd_in(address, clients, times).await;
    let mean = clients * times / crowd.addresses.len();
    let (least, most) = (asked.values().min().copied(), asked.values().max().copied());
    assert_eq!(asked.len(), 50);
    assert!(least >= Some(mean * 9 / 10) && most <= Some(mean * 11 / 10), "{least:?} to {most:?} of {mean}");
    drop(streams);
    running.drain().await;
}

#[tokio::test]
async fn a_thousand_endpoints_get_no_more_idle_connections_than_all_workers_may_have() {
    let crowd = Crowd::of(1000).await;
    let (running, address) = serving(16, &crowd, |config| config.upstream.idle_total = 320).await;
    let (asked, streams) = crowd_in(address, 64, 60).await;
    assert!(asked.len() > 900, "only {} endpoints were asked", asked.len());
    let idle = || running.metrics().workers().map(|worker| worker.pool_idle.get()).sum::<u64>();
    assert!((200..=320).contains(&idle()), "{} are kept", idle());
    eventually("the others are closed", || crowd.open.load(Relaxed) <= 320).await;
    drop(streams);
    running.drain().await;
}

/// Octets of an answer's body: the longest address.
const BODY: usize = 15;
