//! The process of the data plane: one binding in clear, one with TLS, and an endpoint that repeats the path.

use std::time::Duration;

use portico_dataplane::config::Binding;
use portico_dataplane::{Config, Dataplane, Running};
use tokio::net::TcpStream;

use crate::kit::{Origin, Wire, table};

/// Prints both addresses, then for each line that comes the connections open and parked and the memory in KiB; ends
/// with its input.
pub(crate) async fn run() {
    let origin = Origin::new().await;
    let endpoint = origin.address;
    origin.serve(async |_, mut wire: Wire<TcpStream>| {
        while let Some(head) = wire.next_head().await {
            let path = head.split(' ').nth(1).unwrap_or_default();
            wire.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len())).await;
        }
    });
    let any = ([127, 0, 0, 1], 0).into();
    let mut config =
        Config { bindings: vec![Binding::ingress(any, false), Binding::ingress(any, true)], ..Config::default() };
    config.workers = 2;
    config.timers.park_after = Duration::from_millis(50);
    let bound = Dataplane::bind(config).expect("loopback can be bound");
    let addresses = bound.addresses().to_vec();
    let running = bound.start().expect("workers start");
    running.publisher().publish(table(&[endpoint]));
    addresses.iter().for_each(|address| println!("{address}"));
    let answering = tokio::task::spawn_blocking(move || {
        while let Some(Ok(_)) = std::io::stdin().lines().next() {
            println!("{}", state(&running));
        }
    });
    answering.await.expect("no panic");
}

fn state(running: &Running) -> String {
    let workers = || running.metrics().workers();
    let active: u64 = workers().map(|worker| worker.connections_active.get()).sum();
    let parked: u64 = workers().map(|worker| worker.connections_parked.get()).sum();
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
    format!("{active} {parked} {}", memory.unwrap_or("0"))
}
