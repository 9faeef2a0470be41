//! Bodies on their way through: held back where nobody takes them, cut off where they end too soon, limited.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use portico_dataplane::observe::metrics::Limit;
use portico_shared::ir::{Protocol, UpstreamTls};
use tokio::io::AsyncWriteExt;

use crate::kit::h2::{ask, read};
use crate::kit::{Ended, Origin, Proxy, Wire, eventually, soon, status, table_of};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Writes until nothing more is taken for a while; returns how much was.
async fn fill(wire: &mut Wire) -> usize {
    let piece = vec![b'x'; 1 << 16];
    let mut written = 0;
    let patience = Duration::from_millis(300);
    while let Ok(Ok(octets)) = tokio::time::timeout(patience, wire.stream.write(&piece)).await {
        written += octets;
        assert!(written < 64 << 20, "nobody holds it back");
    }
    written
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_endpoint() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say(GET).await;
    let (mut upstream, _) = origin.request().await;
    upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 << 20)).await;
    let written = fill(&mut upstream).await;
    client.head().await;
    assert!(client.octets(written).await.iter().all(|octet| *octet == b'x'), "none is lost");
    assert!(fill(&mut upstream).await > 0, "and it goes on");
}

#[tokio::test]
async fn an_endpoint_that_does_not_read_stops_the_client() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 64 << 20)).await;
    let (mut upstream, _) = origin.request().await;
    let written = fill(&mut client).await;
    assert!(upstream.octets(written).await.iter().all(|octet| *octet == b'x'), "none is lost");
    assert!(fill(&mut client).await > 0, "and it goes on");
}

#[tokio::test]
async fn http_2_windows_stop_the_client() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |config| config.bindings[0].h2c = true).await;
    let mut client = proxy.h2().await;
    let request = Request::put("http://a/").body(()).expect("a request");
    let (_answer, mut body) = client.send_request(request, false).expect("sent");
    let (mut upstream, _) = origin.request().await;
    let piece = bytes::Bytes::from(vec![b'x'; 1 << 16]);
    let mut taken = 0;
    loop {
        body.reserve_capacity(piece.len());
        let capacity = std::future::poll_fn(|cx| body.poll_capacity(cx));
        let Ok(capacity) = tokio::time::timeout(Duration::from_millis(300), capacity).await else { break };
        let octets = capacity.expect("open").expect("open");
        body.send_data(piece.slice(..octets), false).expect("sent");
        taken += octets;
        assert!(taken < 64 << 20, "nobody holds it back");
    }
    body.send_data(bytes::Bytes::new(), true).expect("sent");
    let mut seen = 0;
    loop {
        let size = upstream.until("\r\n").await;
        let size = usize::from_str_radix(size.trim_end(), 16).expect("a chunk's size");
        upstream.octets(size + 2).await;
        seen += size;
        if size == 0 {
            break;
        }
    }
    assert_eq!(seen, taken, "none is lost");
}

#[tokio::test]
async fn what_the_client_breaks_off_never_ends_cleanly() {
    for (framing, sent, seen, broken) in [
        ("Content-Length: 10", "part", "part", ""),
        ("Transfer-Encoding: chunked", "4\r\npart\r\n", "4\r\npart\r\n", ""),
        ("Transfer-Encoding: chunked", "4\r\npart\r\n", "4\r\npart\r\n", "zzz\r\n"),
        ("Transfer-Encoding: chunked", "4\r\npart", "4\r\npart\r\n", "XX0\r\n\r\n"),
    ] {
        let origin = Origin::new().await;
        let proxy = Proxy::start(&[origin.address], |_| {}).await;
        let mut client = proxy.say(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")).await;
        let (mut upstream, _) = origin.request().await;
        client.send(sent).await;
        assert_eq!(upstream.until("part").await.len(), seen.trim_end().len());
        client.send(broken).await;
        drop(client);
        assert_eq!(upstream.rest().await.0.trim(), "", "{framing} {sent:?}: no last chunk");
        eventually("over", || proxy.counted(|worker| worker.requests_in_flight.get()) == 0).await;
        assert_eq!(proxy.counted(|worker| worker.pool_idle.get()), 0);
        assert_eq!(proxy.running.publisher().ejected(), 0);
    }
}

#[tokio::test]
async fn what_the_endpoint_breaks_off_never_ends_cleanly() {
    for (framing, sent, broken, hard) in [
        ("Content-Length: 10", "part", "", false),
        ("Transfer-Encoding: chunked", "4\r\npart\r\n", "", false),
        ("Transfer-Encoding: chunked", "4\r\npart\r\n", "zzz\r\n", false),
        ("X-Until: the end", "part", "", true),
    ] {
        for version in ["1.1", "1.0"] {
            let origin = Origin::new().await;
            let proxy = Proxy::start(&[origin.address], |_| {}).await;
            let mut client = proxy.say(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")).await;
            let (mut upstream, _) = origin.request().await;
            upstream.send(&format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{sent}")).await;
            let head = client.head().await;
            client.until("part").await;
            upstream.send(broken).await;
            if hard {
                let socket = socket2::SockRef::from(&upstream.stream);
                socket.set_linger(Some(Duration::ZERO)).expect("a socket");
            }
            drop(upstream);
            let (rest, ended) = client.rest().await;
            assert!(!rest.contains("0\r\n"), "{framing} {version}: {rest:?}");
            let length = head.contains("content-length");
            assert!(length || version == "1.1" || ended == Ended::Broken, "{framing} {version}: {ended:?}");
            assert_eq!(proxy.counted(|worker| worker.pool_idle.get()), 0);
        }
    }
}

#[tokio::test]
async fn the_end_of_a_tls_endpoint_must_be_said() {
    for clean in [true, false] {
        let origin = Origin::new().await;
        let table = table_of(&[origin.address], |upstream, _| {
            upstream.protocol = Protocol::Https1;
            upstream.tls = Some(UpstreamTls { server_name: "a".into(), verify: false, authorities: None });
        });
        let proxy = Proxy::with(table, |_| {}).await;
        let mut client = proxy.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let mut upstream = origin.tls().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\n\r\npart").await;
        client.head().await;
        client.until("part").await;
        if clean {
            upstream.stream.shutdown().await.expect("closed");
        }
        drop(upstream);
        assert_eq!(client.rest().await.0.ends_with("0\r\n\r\n"), clean);
    }
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_reaches_nobody() {
    let origin = Origin::new().await;
    let table = table_of(&[origin.address], |_, policies| policies.max_body_size = Some(100));
    let proxy = Proxy::with(table, |config| config.bindings[0].h2c = true).await;
    let mut client = proxy.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n").await;
    client.send(&"x".repeat(101)).await;
    let (answer, ended) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(ended, Ended::Closed, "the answer is not destroyed by what was not read");
    let request = Request::post("http://a/").header("content-length", "101").body(()).expect("a request");
    let (answer, _body) = proxy.h2().await.send_request(request, false).expect("sent");
    assert_eq!(soon(answer).await.expect("an answer").status(), StatusCode::PAYLOAD_TOO_LARGE);
    eventually("counted", || proxy.limit(Limit::BodySize) == 2).await;
    assert_eq!(proxy.counted(|worker| worker.pool_opened.get()), 0);
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_broken_off() {
    let origin = Origin::new().await;
    let table = table_of(&[origin.address], |_, policies| policies.max_body_size = Some(100));
    let proxy = Proxy::with(table, |_| {}).await;
    for (size, expected) in [(100, 200), (101, 413)] {
        let mut client = proxy.say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.send(&format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size))).await;
        let mut upstream = origin.accept().await;
        if expected == 200 {
            upstream.until("0\r\n\r\n").await;
            upstream.send(OK).await;
        } else {
            assert!(!upstream.rest().await.0.contains("\r\n0\r\n"), "no clean end");
        }
        assert_eq!(status(&client.head().await), expected);
    }
}

#[tokio::test]
async fn a_connection_whose_answer_came_early_serves_nobody_else() {
    for closes in [false, true] {
        let origin = Origin::new().await;
        let proxy = Proxy::start(&[origin.address], |_| {}).await;
        let mut client = proxy.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\npart").await;
        let (mut upstream, _) = origin.request().await;
        upstream.octets(4).await;
        upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
        if closes {
            drop(upstream);
        }
        assert_eq!(status(&client.head().await), 403);
        assert_eq!(client.octets(2).await, b"no", "whole");
        client.send("rest..").await;
        if !closes {
            client.send(GET).await;
            let (mut other, _) = origin.request().await;
            other.send(OK).await;
            assert_eq!(status(&client.head().await), 200, "on another connection");
        }
        assert_eq!(proxy.counted(|worker| worker.pool_discarded.get()), 1);
    }
}

#[tokio::test]
async fn a_client_that_goes_on_sending_after_the_answer_is_heard_for_a_second() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart").await;
    let (mut upstream, _) = origin.request().await;
    upstream.octets(4).await;
    upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(status(&client.head().await), 403);
    assert_eq!(client.octets(2).await, b"no");
    let begin = tokio::time::Instant::now();
    client.send("more").await;
    assert_eq!(upstream.octets(4).await, b"more", "the endpoint is told what still comes");
    client.rest().await;
    upstream.rest().await;
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_client_that_goes_on_sending_fast_is_heard_for_64_kib() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await;
    let (mut upstream, _) = origin.request().await;
    upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(status(&client.head().await), 403);
    assert_eq!(client.octets(2).await, b"no");
    client.send(&vec![b'x'; 1 << 20]).await;
    let heard = upstream.rest().await.0.len();
    assert!(heard <= 192 * 1024, "{heard} octets, of which a read's worth may be beyond the bound");
}

#[tokio::test]
async fn a_client_that_reads_only_after_it_has_sent_too_much_gets_its_answer() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |config| config.limits.body = Some(1 << 20)).await;
    let mut client = proxy.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n").await;
    client.send(&vec![b'x'; 4 << 20]).await;
    assert_eq!(status(&client.head().await), 413);
}

#[tokio::test]
async fn an_answer_that_the_client_does_not_want_any_more_ends_its_connection() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |config| config.bindings[0].h2c = true).await;
    let mut client = proxy.say(GET).await;
    let (mut upstream, _) = origin.request().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart").await;
    client.until("part").await;
    drop(client);
    upstream.rest().await;
    let client = proxy.h2().await;
    let answer =
        tokio::spawn(ask(&client, Request::builder().method(Method::GET).uri("http://a/").body(()).expect("one")));
    let (mut upstream, _) = origin.request().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart").await;
    drop(answer.await.expect("no panic").expect("a head"));
    upstream.rest().await;
    let answer =
        tokio::spawn(ask(&client, Request::builder().method(Method::GET).uri("http://a/").body(()).expect("one")));
    let (mut upstream, _) = origin.request().await;
    upstream.send(OK).await;
    let head = answer.await.expect("no panic").expect("a head");
    assert_eq!(read(head.into_body()).await.expect("whole").0, b"ok");
    assert_eq!(proxy.counted(|worker| worker.pool_opened.get()), 3);
}
