//! Workers among themselves: every endpoint is touched, no worker stays idle, the table swaps under them, they drain.

use std::collections::HashSet;
use std::time::Duration;

use crate::kit::{endpoint, eventually, exchange, head, start, table};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_hundred_requests_touch_all_ten_endpoints_with_sixteen_workers() {
    let mut endpoints = Vec::new();
    for _ in 0..10 {
        endpoints.push(endpoint().await);
    }
    for workers in [1, 16] {
        let (running, address) = start(workers, |_| {});
        running.publisher().publish(table(&endpoints));
        eventually("accepting", || std::net::TcpStream::connect(address).is_ok()).await;
        let mut seen = HashSet::new();
        for _ in 0..100 {
            let answer = exchange(address, GET).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            seen.insert(answer.rsplit("\r\n\r\n").next().map(str::to_owned));
        }
        assert_eq!(seen.len(), 10, "{workers} workers");
        running.drain().await;
    }
}

#[tokio::test]
async fn clients_are_refused_before_the_first_table() {
    let (running, address) = start(2, |_| {});
    assert!(TcpStream::connect(address).await.is_err());
    running.publisher().publish(table(&[endpoint().await]));
    assert!(TcpStream::connect(address).await.is_ok(), "and accepted right after it");
    running.drain().await;
}

#[tokio::test]
async fn eight_long_connections_leave_none_of_four_workers_idle() {
    let (running, address) = start(4, |_| {});
    running.publisher().publish(table(&[endpoint().await]));
    eventually("accepting", || std::net::TcpStream::connect(address).is_ok()).await;
    let active = || running.metrics().workers().map(|worker| worker.connections_active.get()).collect::<Vec<_>>();
    eventually("probes gone", || active().iter().sum::<u64>() == 0).await;
    let mut connections = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(address).await.expect("accepted");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
        assert!(head(&mut stream).await.is_some());
        connections.push(stream);
    }
    assert!(active().iter().all(|count| *count > 0), "{:?}", active());
    drop(connections);
    running.drain().await;
}

#[tokio::test]
async fn a_swap_reaches_open_connections_and_frees_the_old_table() {
    let (first, second) = (endpoint().await, endpoint().await);
    let (running, address) = start(1, |_| {});
    let old = table(&[first]);
    let weak = std::sync::Arc::downgrade(&old);
    running.publisher().publish(old);
    eventually("accepting", || std::net::TcpStream::connect(address).is_ok()).await;
    let mut stream = TcpStream::connect(address).await.expect("accepted");
    let mut ask = async || {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
        head(&mut stream).await.expect("answered");
        let mut body = vec![0; first.port().to_string().len()];
        stream.read_exact(&mut body).await.expect("body");
        String::from_utf8(body).expect("digits")
    };
    assert_eq!(ask().await, first.port().to_string());
    for _ in 0..3 {
        running.publisher().publish(table(&[second]));
        assert_eq!(ask().await, second.port().to_string());
    }
    assert!(weak.upgrade().is_none(), "tables that nobody uses are freed");
    running.drain().await;
}

#[tokio::test]
async fn draining_answers_what_is_in_flight_and_says_close() {
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let (running, address) = start(2, |config| config.drain_delay = Duration::from_millis(50));
    running.publisher().publish(table(&[upstream.local_addr().expect("address")]));
    eventually("accepting", || std::net::TcpStream::connect(address).is_ok()).await;
    let mut idle = TcpStream::connect(address).await.expect("accepted");
    let asked = tokio::spawn(exchange(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    let (mut serving, _) = upstream.accept().await.expect("the request comes");
    head(&mut serving).await.expect("with a head");
    let drained = tokio::spawn(running.drain());
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).await.expect("closed, not reset"), 0);
    serving.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("answered");
    let answer = asked.await.expect("no panic");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(drained.await.expect("no panic"), 0, "nothing was cut");
}

#[tokio::test]
async fn connections_made_before_the_end_are_all_served() {
    for _ in 0..3 {
        let (running, address) = start(4, |_| {});
        running.publisher().publish(table(&[endpoint().await]));
        eventually("accepting", || std::net::TcpStream::connect(address).is_ok()).await;
        let mut streams = Vec::new();
        for _ in 0..60 {
            streams.push(TcpStream::connect(address).await.expect("accepted"));
        }
        // Without a delay: what is in a queue or on its way between workers now must be served nevertheless.
        let drained = tokio::spawn(running.drain());
        tokio::task::yield_now().await;
        for stream in &mut streams {
            stream.write_all(GET).await.expect("not reset");
        }
        for stream in &mut streams {
            assert!(head(stream).await.is_some_and(|head| head.starts_with("HTTP/1.1 200 ")));
        }
        drop(streams);
        assert_eq!(drained.await.expect("no panic"), 0);
    }
}

#[tokio::test]
async fn an_end_before_the_first_table_opens_no_port() {
    let (running, address) = start(2, |config| config.drain_delay = Duration::from_millis(100));
    let drained = tokio::spawn(running.drain());
    while !drained.is_finished() {
        assert!(TcpStream::connect(address).await.is_err());
        tokio::task::yield_now().await;
    }
    assert_eq!(drained.await.expect("no panic"), 0);
}
