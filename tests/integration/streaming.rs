//! Bodies flow, they are not gathered: what one side does not take, the other side cannot send.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use portico_tests::client::{Call, Connection, Tls, sending};
use portico_tests::{Echo, wait_until};

use crate::site::simple;

const MEBIBYTE: u64 = 1024 * 1024;
/// Larger than every buffer between the two ends: sockets on loopback and windows of HTTP/2.
const LARGE: u64 = 64 * MEBIBYTE;

async fn connections(portico: &portico_tests::Portico) -> [(&'static str, Connection); 3] {
    let tls = Tls::accepting_any();
    [
        ("plain", Connection::plain(portico.http()).await.unwrap()),
        ("tls", Connection::http1(tls.connect(portico.https(), "a.test").await.unwrap()).await.unwrap()),
        ("h2", Connection::tls_http2(portico.https(), &tls, "a.test").await.unwrap()),
    ]
}

/// Waits until a counter stands still while nothing else happens, and returns where.
async fn stalled(echo: &Echo, counter: impl Fn(&Echo) -> u64) -> u64 {
    let mut last = (counter(echo), 0);
    wait_until("the stall", async || {
        let now = counter(echo);
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        // 40 looks, 5 ms apart.
        if now > 0 && last.1 >= 40 { Ok(now) } else { Err(format!("{now} octets so far")) }
    })
    .await
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_upstream() {
    let (echo, portico) = simple().await;
    for (name, mut connection) in connections(&portico).await {
        echo.seen.sent.store(0, Ordering::SeqCst);
        let call = Call::get("/").host("a.test").header("x-echo-size", &LARGE.to_string());
        let call = if name == "h2" { call.http2() } else { call };
        let before = portico.resident_kib();
        let response = connection.open(call.request()).await.unwrap();
        let sent = stalled(&echo, |echo| echo.seen.sent.load(Ordering::SeqCst)).await;
        assert!(sent < LARGE / 2, "{name}: {sent} octets went into buffers");
        let grown = portico.resident_kib().saturating_sub(before);
        assert!(grown < 8 * 1024, "{name}: {grown} KiB more while stalled");
        // Nothing is lost once the client reads on.
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len() as u64, LARGE, "{name}");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_read_stops_the_client() {
    let upstream = portico_tests::scripted::Scripted::with(|mut exchange| async move {
        exchange.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let portico = crate::portico().manifests(crate::site::one(upstream.address)).start().await;
    let before = portico.resident_kib();
    for (name, mut connection) in connections(&portico).await {
        let (sending, body) = sending();
        let uri = if name == "h2" { "http://a.test/" } else { "/" };
        let request = Request::post(uri).header("host", "a.test").body(body).unwrap();
        let open = tokio::spawn(async move { connection.open(request).await.is_ok() });
        let mut sent = 0;
        let chunk = bytes::Bytes::from(vec![b'x'; 64 * 1024]);
        // Sending goes on until nobody takes any more.
        let patience = Duration::from_millis(500);
        while sent < LARGE {
            let frame = Ok(Frame::data(chunk.clone()));
            if tokio::time::timeout(patience, sending.send(frame)).await.is_err() {
                break;
            }
            sent += chunk.len() as u64;
        }
        assert!(sent < LARGE, "{name}: {sent} octets went into buffers");
        open.abort();
    }
    let grown = portico.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB more");
}

#[tokio::test]
async fn large_bodies_pass_in_constant_memory() {
    let (echo, portico) = simple().await;
    for (name, mut connection) in connections(&portico).await {
        let (sending, body) = sending();
        let uri = if name == "h2" { "http://a.test/" } else { "/" };
        let request = Request::post(uri).header("host", "a.test").header("x-echo-pass", "1").body(body).unwrap();
        let feeder = tokio::spawn(async move {
            let chunk = bytes::Bytes::from(vec![b'x'; 64 * 1024]);
            for _ in 0..LARGE / chunk.len() as u64 {
                sending.send(Ok(Frame::data(chunk.clone()))).await.expect("the request goes on");
            }
        });
        let before = portico.resident_kib();
        let mut peak = before;
        let mut body = connection.open(request).await.unwrap().into_body();
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            received += frame.unwrap().into_data().map_or(0, |data| data.len() as u64);
            peak = peak.max(portico.resident_kib());
        }
        feeder.await.unwrap();
        assert_eq!(received, LARGE, "{name}");
        assert!(peak - before < 16 * 1024, "{name}: {} KiB more", peak - before);
    }
    assert_eq!(echo.requests(), 3);
}

/// The first octets of a response reach the client although the rest is not made yet.
#[tokio::test]
async fn a_response_begins_before_its_request_has_ended() {
    let (_echo, portico) = simple().await;
    for (name, mut connection) in connections(&portico).await {
        let (sending, body) = sending();
        let uri = if name == "h2" { "http://a.test/" } else { "/" };
        let request = Request::post(uri).header("host", "a.test").header("x-echo-pass", "1").body(body).unwrap();
        let (first, _) = tokio::join!(connection.open(request), sending.send(Ok(Frame::data("ping".into()))));
        let mut body = first.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ping", "{name}");
        sending.send(Ok(Frame::data("pong".into()))).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "pong", "{name}");
        drop(sending);
        assert!(body.collect().await.unwrap().to_bytes().is_empty(), "{name}");
    }
}

/// A client that goes away takes its upstream request with it.
#[tokio::test]
async fn a_client_that_leaves_ends_the_upstream_request() {
    let (echo, portico) = simple().await;
    for (name, mut connection) in connections(&portico).await {
        let call = Call::get("/").host("a.test").header("x-echo-hold", "1");
        let call = if name == "h2" { call.http2() } else { call };
        let asked = tokio::spawn(async move { connection.send(call.request()).await.is_ok() });
        wait_until("the request", async || if echo.in_flight() == 1 { Ok(()) } else { Err("none") }).await;
        asked.abort();
        wait_until("its end", async || if echo.in_flight() == 0 { Ok(()) } else { Err("still there") }).await;
    }
}
