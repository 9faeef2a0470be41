//! Budgets: what a connection, the process and its descriptors may be used for, and what happens beyond.

use std::time::Duration;

use http::{Method, StatusCode};
use portico_dataplane::Config;
use portico_dataplane::config::Overload;
use portico_dataplane::observe::metrics::Limit;

use crate::kit::h2::{ask, request};
use crate::kit::{Ended, Proxy, Wire, endpoint, eventually, status};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const NEVER: u32 = 1000;

/// Thresholds of a memory so large that nothing of it is used: those that are 0 are reached all the same.
fn thresholds(keep_alive_off: u32, refuse: u32, accept_off: u32) -> impl FnOnce(&mut Config) {
    move |config| {
        let memory = Some(u64::MAX / 1000);
        config.overload = Overload { memory, keep_alive_off, refuse, accept_off, ..Overload::default() };
    }
}

/// Asks, reads the answer and returns its head in lower case.
async fn get(client: &mut Wire) -> String {
    client.send(GET).await;
    let head = client.head().await.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    client.octets(length.and_then(|length| length.parse().ok()).expect("a length")).await;
    head
}

const CLOSE: &str = "connection: close";

#[tokio::test]
async fn a_connection_of_so_many_requests_ends_with_an_answer() {
    let endpoint = endpoint().await;
    let proxy = Proxy::start(&[endpoint], |config| config.limits.requests = 3).await;
    let mut client = proxy.connect().await;
    for number in 1..=3 {
        let head = get(&mut client).await;
        assert_eq!(status(&head), 200);
        assert_eq!(head.contains(CLOSE), number == 3, "{number}: {head}");
    }
    assert_eq!(client.rest().await, (String::new(), Ended::Closed));
    assert_eq!(proxy.limit(Limit::ConnectionRequests), 1);
}

#[tokio::test]
async fn an_old_connection_ends_with_an_answer() {
    let endpoint = endpoint().await;
    let proxy = Proxy::start(&[endpoint], |config| config.timers.connection_age = Duration::from_millis(50)).await;
    let mut client = proxy.connect().await;
    let head = get(&mut client).await;
    assert!(!head.contains(CLOSE), "{head}");
    assert!(client.silent(Duration::from_millis(100)).await, "without a request it stays");
    let head = get(&mut client).await;
    assert!(head.contains(CLOSE), "{head}");
    assert_eq!(client.rest().await, (String::new(), Ended::Closed));
    assert_eq!(proxy.limit(Limit::ConnectionAge), 1);
}

#[tokio::test]
async fn http_2_connections_end_by_goaway_and_lose_nothing() {
    let endpoint = endpoint().await;
    let h2c = |config: &mut Config| {
        config.bindings[0].h2c = true;
        config.limits.requests = 3;
    };
    let proxy = Proxy::start(&[endpoint], h2c).await;
    let client = proxy.h2().await;
    for _ in 1..=3 {
        let answer = ask(&client, request(Method::GET)).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
    }
    eventually("it has ended", || proxy.counted(|worker| worker.connections_active.get()) == 0).await;
    assert_eq!(proxy.limit(Limit::ConnectionRequests), 1);
}

#[tokio::test]
async fn scarce_memory_first_takes_keep_alive() {
    let endpoint = endpoint().await;
    let proxy = Proxy::start(&[endpoint], thresholds(0, NEVER, NEVER)).await;
    let mut client = proxy.connect().await;
    let head = get(&mut client).await;
    assert_eq!(status(&head), 200);
    assert!(head.contains(CLOSE), "{head}");
    assert_eq!(client.rest().await.1, Ended::Closed);
}

#[tokio::test]
async fn then_requests_and_idle_connections() {
    let endpoint = endpoint().await;
    let proxy = Proxy::start(&[endpoint], thresholds(0, 0, NEVER)).await;
    let mut client = proxy.connect().await;
    let head = get(&mut client).await;
    assert_eq!(status(&head), 503);
    assert!(head.contains("retry-after: 1"), "{head}");
    assert_eq!(client.rest().await.1, Ended::Closed);
    assert_eq!(proxy.limit(Limit::Memory), 1);
    let mut idle = proxy.connect().await;
    assert_eq!(idle.rest().await, (String::new(), Ended::Closed), "it keeps memory and has nothing to say");
}

#[tokio::test]
async fn no_descriptor_for_an_upstream_is_503_and_no_fault_of_the_endpoint() {
    let endpoint = endpoint().await;
    let proxy = Proxy::start(&[endpoint], |config| config.limits.upstream_connections = 0).await;
    for _ in 0..5 {
        assert_eq!(status(&get(&mut proxy.connect().await).await), 503);
    }
    assert_eq!(proxy.limit(Limit::UpstreamConnections), 5);
    assert_eq!(proxy.counted(|worker| worker.connect_failures.get() + worker.ejections.get()), 0);
}

#[tokio::test]
async fn slots_come_back_with_their_connections() {
    let endpoint = endpoint().await;
    let proxy = Proxy::start(&[endpoint], |config| {
        config.limits.upstream_connections = 1;
        config.upstream.idle = Duration::ZERO;
    })
    .await;
    for _ in 0..5 {
        assert_eq!(status(&get(&mut proxy.connect().await).await), 200);
        eventually("the connection is gone", || proxy.counted(|worker| worker.requests_in_flight.get()) == 0).await;
    }
}
