//! Timers, each made short by its flag: what ends, how it is said, and what a slow but living peer may do.

use std::time::{Duration, Instant};

use portico_tests::client::{Call, Raw, get};
use portico_tests::scripted::Scripted;
use portico_tests::{Echo, Ingress, Portico, Service};

use crate::portico;
use crate::site::{one, simple_with};

const SHORT: Duration = Duration::from_millis(300);

/// Holds what happened to the timer's length: not earlier (but for what passed before the test's own clock), and not
/// seconds later.
fn in_time(start: Instant, name: &str) {
    let elapsed = start.elapsed();
    assert!(elapsed >= SHORT * 5 / 6 && elapsed < SHORT * 10, "{name} after {elapsed:?}");
}

/// Waits until this limit has been counted.
async fn counted(portico: &Portico, limit: &str) {
    portico_tests::wait_until(&format!("a count of {limit}"), async || {
        let count = portico.metric("portico_limit_breaches_total", &[&format!("limit=\"{limit}\"")]).await;
        if count >= 1.0 { Ok(()) } else { Err(count) }
    })
    .await;
}

#[tokio::test]
async fn first_byte_closes() {
    let (_echo, portico) = simple_with(&["--first-byte-timeout", "300ms"]).await;
    let start = Instant::now();
    Raw::connect(portico.http()).await.closed().await;
    in_time(start, "first byte");
    counted(&portico, "first_byte").await;
}

#[tokio::test]
async fn trusted_proxies_may_wait_longer_before_the_first_byte() {
    let flags =
        ["--first-byte-timeout", "100ms", "--first-byte-timeout-trusted", "1h", "--trusted-proxies", "127.0.0.1"];
    let (_echo, portico) = simple_with(&flags).await;
    let mut raw = Raw::connect(portico.http()).await;
    assert!(raw.silent(Duration::from_millis(500)).await);
    assert_eq!(raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.answer().await.status, 200);
}

#[tokio::test]
async fn tls_handshake_closes() {
    let (_echo, portico) = simple_with(&["--tls-handshake-timeout", "300ms", "--first-byte-timeout", "1h"]).await;
    let start = Instant::now();
    let mut raw = Raw::connect(portico.https()).await;
    raw.send([0x16, 3, 1]).await;
    raw.rest().await;
    in_time(start, "handshake");
}

#[tokio::test]
async fn head_is_408() {
    let (_echo, portico) = simple_with(&["--request-head-timeout", "300ms"]).await;
    let start = Instant::now();
    let mut raw = Raw::connect(portico.http()).await;
    let answer = raw.send("GET / HTTP/1.1\r\nHost: a.test\r\nX: ").await.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")), "{answer:?}");
    in_time(start, "head");
    raw.closed().await;
    counted(&portico, "head").await;
}

/// A drip does not buy time: the head's timer runs from its first octet.
#[tokio::test]
async fn head_that_drips_is_408() {
    let (_echo, portico) = simple_with(&["--request-head-timeout", "300ms"]).await;
    let mut raw = Raw::connect(portico.http()).await;
    raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n").await;
    let start = Instant::now();
    while raw.silent(Duration::from_millis(50)).await {
        raw.send("X: y\r\n").await;
        assert!(start.elapsed() < SHORT * 10, "still open");
    }
    assert_eq!(raw.answer().await.status, 408);
}

#[tokio::test]
async fn the_head_of_a_second_request_has_a_timer_too() {
    let (_echo, portico) = simple_with(&["--request-head-timeout", "300ms"]).await;
    let mut raw = Raw::connect(portico.http()).await;
    assert_eq!(raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.answer().await.status, 200);
    assert_eq!(raw.send("GET / HT").await.answer().await.status, 408);
}

#[tokio::test]
async fn body_without_progress_is_408() {
    let (_echo, portico) = simple_with(&["--request-body-timeout", "300ms"]).await;
    let start = Instant::now();
    let mut raw = Raw::connect(portico.http()).await;
    let request = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nhalf";
    let answer = raw.send(request).await.answer().await;
    assert_eq!(answer.status, 408, "{answer:?}");
    in_time(start, "body");
    raw.closed().await;
    counted(&portico, "body_idle").await;
}

#[tokio::test]
async fn body_slower_than_the_rate_is_408() {
    let (_echo, portico) = simple_with(&["--request-body-grace", "200ms", "--request-body-rate", "1000"]).await;
    let mut raw = Raw::connect(portico.http()).await;
    raw.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n").await;
    let start = Instant::now();
    while raw.silent(Duration::from_millis(50)).await {
        raw.send("drip").await;
        assert!(start.elapsed() < SHORT * 20, "still open");
    }
    assert_eq!(raw.answer().await.status, 408);
    counted(&portico, "body_rate").await;
}

#[tokio::test]
async fn idle_keep_alive_closes() {
    let (_echo, portico) = simple_with(&["--keep-alive-timeout", "300ms"]).await;
    let mut raw = Raw::connect(portico.http()).await;
    assert_eq!(raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.answer().await.status, 200);
    let start = Instant::now();
    raw.closed().await;
    in_time(start, "keep-alive");
}

/// What an endpoint has not taken by then is not kept for it.
#[tokio::test]
async fn a_body_that_no_endpoint_takes_ends_with_its_connection() {
    let unread = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let flags = ["--upstream-response-timeout", "300ms"];
    let portico = portico().manifests(one(unread.local_addr().unwrap())).args(&flags).start().await;
    let upload = Call::post("/", vec![0; 64 << 20]).host("a.test");
    // Whether the client gets to read its 504 before its own writing fails is the client's affair.
    let (accepted, _) = tokio::join!(unread.accept(), upload.to(portico.http()));
    counted(&portico, "upstream_response").await;
    portico_tests::wait_until("no connection upstream", async || {
        let open = portico.metric("portico_upstream_connections_active", &[]).await;
        if open == 0.0 { Ok(()) } else { Err(open) }
    })
    .await;
    drop(accepted);
}

#[tokio::test]
async fn response_head_is_504() {
    let upstream = Scripted::silent().await;
    let flags = ["--upstream-response-timeout", "300ms"];
    let portico = portico().manifests(one(upstream.address)).args(&flags).start().await;
    for call in [Call::get("/"), Call::post("/", "body")] {
        let start = Instant::now();
        let answer = call.host("a.test").to(portico.http()).await.unwrap();
        assert_eq!(answer.status, 504, "{answer}");
        in_time(start, "response");
    }
    counted(&portico, "upstream_response").await;
}

#[tokio::test]
async fn the_annotation_replaces_the_flag() {
    let upstream = Scripted::silent().await;
    let documents = [
        Ingress::new("web").annotation("portico.dev/request-timeout", "300ms").host("a.test", "web").to_string(),
        Service::new("web").with(&[upstream.address]),
    ];
    let portico = portico().manifests(documents).start().await;
    let start = Instant::now();
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().status, 504);
    in_time(start, "request");
}

#[tokio::test]
async fn silence_within_a_response_cuts_it() {
    let upstream = Scripted::with(|mut exchange| async move {
        exchange.head().await;
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
        while exchange.more().await {}
    })
    .await;
    let flags = ["--upstream-idle-timeout", "300ms"];
    let portico = portico().manifests(one(upstream.address)).args(&flags).start().await;
    let start = Instant::now();
    let mut raw = Raw::connect(portico.http()).await;
    raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let text = String::from_utf8_lossy(&raw.rest().await).into_owned();
    in_time(start, "response body");
    assert!(text.contains("half") && !text.ends_with("0\r\n\r\n"), "cut, not ended: {text}");
}

/// A connect that nobody answers is given up, and another endpoint tried.
#[tokio::test]
async fn connect_goes_on_to_the_next_endpoint() {
    let echo = Echo::start("web").await;
    // A full queue of a listener that never accepts: further connects hang.
    let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    loop {
        let connect = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(100), connect).await {
            Ok(Ok(stream)) => waiting.push(stream),
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => break,
        }
        assert!(waiting.len() < 10_000, "the queue takes everything");
    }
    let documents =
        [Ingress::new("web").host("a.test", "web").to_string(), Service::new("web").with(&[address, echo.address])];
    let portico = portico().manifests(documents).args(&["--upstream-connect-timeout", "200ms"]).start().await;
    for _ in 0..10 {
        let answer = get(portico.http(), "a.test", "/").await.unwrap();
        assert_eq!(answer.status, 200, "{answer}");
    }
}

#[tokio::test]
async fn a_response_that_nobody_takes_closes() {
    let (echo, portico) = simple_with(&["--write-timeout", "300ms"]).await;
    let mut raw = Raw::connect(portico.http()).await;
    raw.send("GET / HTTP/1.1\r\nHost: a.test\r\nX-Echo-Size: 100000000\r\n\r\n").await;
    portico_tests::wait_until("the end of the upstream request", async || {
        if echo.requests() == 1 && echo.in_flight() == 0 { Ok(()) } else { Err(echo.in_flight()) }
    })
    .await;
    counted(&portico, "write_stall").await;
    assert!(raw.rest().await.len() < 100_000_000);
}
