//! HTTP/2 towards endpoints: how many connections, how they end, what is tried again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use http::Method;
use portico_dataplane::Config;
use portico_shared::ir::{Protocol, Upstream, UpstreamTls};

use crate::kit::h2::{ask, read, request};
use crate::kit::{Origin, Proxy, Wire, eventually, soon, status, table_of};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

async fn start(origin: &Origin, adjust: impl FnOnce(&mut Config)) -> Proxy {
    Proxy::with(table_of(&[origin.address], |upstream, _| upstream.protocol = Protocol::H2c), adjust).await
}

/// TLS, where ALPN decides what is spoken.
fn tls(upstream: &mut Upstream) {
    upstream.protocol = Protocol::Https;
    upstream.tls = Some(UpstreamTls { server_name: "a".into(), verify: false, authorities: None });
}

async fn say(proxy: &Proxy, count: usize) -> Vec<Wire> {
    join_all((0..count).map(|_| proxy.say(GET))).await
}

async fn answered(mut clients: Vec<Wire>) {
    for client in &mut clients {
        assert_eq!(status(&client.head().await), 200);
    }
}

#[tokio::test]
async fn a_burst_shares_one_connection() {
    let origin = Origin::new().await;
    let proxy = start(&origin, |_| {}).await;
    let clients = say(&proxy, 50).await;
    let mut upstream = origin.h2().await;
    for _ in 0..50 {
        upstream.call().await.answer("ok");
    }
    answered(clients).await;
    assert_eq!(proxy.counted(|worker| worker.pool_opened.get()), 1);
}

#[tokio::test]
async fn more_than_a_hundred_streams_get_a_second_connection() {
    let origin = Origin::new().await;
    let proxy = start(&origin, |_| {}).await;
    let clients = say(&proxy, 120).await;
    let (mut first, mut second) = (origin.h2().await, origin.h2().await);
    let mut calls = Vec::new();
    for _ in 0..100 {
        calls.push(first.call().await);
    }
    for _ in 0..20 {
        calls.push(second.call().await);
    }
    assert_eq!((first.waiting(), second.waiting()), (0, 0));
    calls.into_iter().for_each(|call| call.answer("ok"));
    answered(clients).await;
    assert_eq!(proxy.counted(|worker| worker.pool_opened.get()), 2);
}

#[tokio::test]
async fn a_connection_gets_no_more_streams_than_the_endpoint_allows() {
    let origin = Origin::new().await;
    let proxy = start(&origin, |_| {}).await;
    let mut two = h2::server::Builder::new();
    two.max_concurrent_streams(2);
    let mut clients = say(&proxy, 1).await;
    let mut first = origin.h2_with(&two).await;
    let one = first.call().await;
    // The settings came before the request was answered; a ping-pong of requests is not needed.
    clients.extend(say(&proxy, 1).await);
    let other = first.call().await;
    clients.extend(say(&proxy, 2).await);
    let mut second = origin.h2_with(&two).await;
    for call in [one, other, second.call().await, second.call().await] {
        call.answer("ok");
    }
    answered(clients).await;
    assert_eq!(proxy.counted(|worker| worker.pool_opened.get()), 2);
}

#[tokio::test]
async fn an_idle_connection_ends_in_its_time_and_a_busy_one_does_not() {
    let origin = Origin::new().await;
    let idle = Duration::from_millis(200);
    let proxy = start(&origin, |config| config.upstream.idle = idle).await;
    let mut client = proxy.say(GET).await;
    let mut upstream = origin.h2().await;
    let call = upstream.call().await;
    assert!(client.silent(Duration::from_millis(1500)).await, "the sweep finds it busy");
    call.answer("ok");
    client.head().await;
    upstream.closed().await;
}

#[tokio::test]
async fn what_the_endpoint_refused_is_sent_again_whole() {
    let origin = Origin::new().await;
    let proxy = start(&origin, |_| {}).await;
    let mut client = proxy.say(format!("{POST}3\r\none\r\n")).await;
    let mut upstream = origin.h2().await;
    let mut refused = upstream.call().await;
    let data = soon(refused.request.body_mut().data()).await.expect("data").expect("good data");
    assert_eq!(data, "one");
    refused.respond.send_reset(Reason::REFUSED_STREAM);
    let call = upstream.call().await;
    client.send("3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(call.request.uri(), "http://a/");
    let mut respond = call.respond;
    let (body, _) = read(call.request.into_body()).await.expect("a whole body");
    assert_eq!(body, b"onetwo");
    respond.send_response(http::Response::new(()), true).expect("sent");
    assert_eq!(status(&client.head().await), 200);
}

#[tokio::test]
async fn trailers_of_requests_pass_for_those_who_speak_of_trailers() {
    for (te, passes) in [("", false), ("TE: trailers\r\nConnection: TE\r\n", true)] {
        let origin = Origin::new().await;
        let proxy = start(&origin, |_| {}).await;
        let head = POST.replace("Host: a\r\n", &format!("Host: a\r\n{te}"));
        let mut client = proxy.say(format!("{head}3\r\none\r\n0\r\nX-User: root\r\nHost: b\r\n\r\n")).await;
        let mut upstream = origin.h2().await;
        let mut call = upstream.call().await;
        let (body, trailers) = read(call.request.into_body()).await.expect("a whole body");
        assert_eq!((&body[..], trailers.map(|trailers| trailers.len())), (&b"one"[..], passes.then_some(1)));
        call.respond.send_response(http::Response::new(()), true).expect("sent");
        assert_eq!(status(&client.head().await), 200);
    }
}

#[tokio::test]
async fn other_resets_are_tried_again_for_get_alone() {
    for (request, expected) in [(GET.to_owned(), 200), (format!("{POST}0\r\n\r\n"), 502)] {
        let origin = Origin::new().await;
        let proxy = start(&origin, |_| {}).await;
        let mut client = proxy.say(&request).await;
        let mut upstream = origin.h2().await;
        upstream.call().await.respond.send_reset(Reason::INTERNAL_ERROR);
        if expected == 200 {
            upstream.call().await.answer("ok");
        }
        assert_eq!(status(&client.head().await), expected, "{request}");
        assert_eq!(upstream.waiting(), 0);
    }
}

#[tokio::test]
async fn endpoints_that_leave_cost_nobody_an_error() {
    let origin = Origin::new().await;
    // Whatever was never sent is free: without a budget the rest would fail.
    let proxy = start(&origin, |config| config.upstream.retry_budget_percent = 0).await;
    let (hold, mut held) = tokio::sync::mpsc::unbounded_channel();
    let connections = origin.serve_h2(move |call| {
        if call.request.method() == Method::GET {
            hold.send(call).expect("the test waits for it");
        } else {
            call.answer("ok");
        }
    });
    for round in 0..10 {
        let mut in_flight = proxy.say(GET).await;
        let last = soon(held.recv()).await.expect("a request");
        connections.leave();
        let clients = join_all((0..30).map(|_| proxy.say(format!("{POST}0\r\n\r\n")))).await;
        answered(clients).await;
        last.answer("ok");
        assert_eq!(status(&in_flight.head().await), 200, "round {round}");
    }
    assert_eq!(proxy.counted(|worker| worker.ejections.get()), 0);
}

#[tokio::test]
async fn clients_that_do_not_read_hold_up_nobody_else() {
    let origin = Origin::new().await;
    let proxy = start(&origin, |config| config.bindings[0].h2c = true).await;
    let mut stalled = Vec::new();
    let mut upstream = None;
    let large = Bytes::from(vec![b'x'; 4 << 20]);
    let mut sending = Vec::new();
    for _ in 0..8 {
        let mut closed = h2::client::Builder::new();
        closed.initial_window_size(0);
        let client = proxy.h2_with(&closed).await;
        let answer = tokio::spawn(ask(&client, request(Method::GET)));
        if upstream.is_none() {
            upstream = Some(origin.h2().await);
        }
        let wire = upstream.as_mut().expect("just opened");
        let mut call = wire.call().await;
        let mut stream = call.respond.send_response(http::Response::new(()), false).expect("sent");
        stream.send_data(large.clone(), true).expect("sent");
        stalled.push((client, answer.await.expect("no panic").expect("a head")));
        sending.push(stream);
    }
    let mut upstream = upstream.expect("opened");
    // All of them have filled what they may.
    eventually("stalled", || sending.iter().all(|stream| stream.capacity() == 0)).await;
    let mut client = proxy.say(GET).await;
    let mut call = upstream.call().await;
    let mut stream = call.respond.send_response(http::Response::new(()), false).expect("sent");
    stream.send_data(large.clone(), true).expect("sent");
    client.head().await;
    let _ = client.octets(3 << 20).await;
}

#[tokio::test]
async fn waiting_for_a_connection_that_does_not_come_takes_one_timeout_for_all() {
    let origin = Origin::new().await;
    let connect = Duration::from_millis(300);
    let table = table_of(&[origin.address], |upstream, _| tls(upstream));
    let proxy = Proxy::with(table, |config| {
        config.upstream.connect = connect;
        config.upstream.retries = 0;
    })
    .await;
    // It accepts, and says nothing in the handshake.
    origin.serve(async |_, mut wire: Wire| drop(wire.rest().await));
    let begun = Instant::now();
    for mut client in say(&proxy, 20).await {
        assert_eq!(status(&client.head().await), 502);
    }
    assert!(begun.elapsed() < connect * 4, "{:?}", begun.elapsed());
    assert_eq!(proxy.running.publisher().ejected(), 0, "one failure, however many waited for it");
}

#[tokio::test]
async fn endpoints_that_choose_http_1_by_alpn_are_not_connected_to_one_by_one() {
    let origin = Origin::new().await;
    let proxy = Proxy::with(table_of(&[origin.address], |upstream, _| tls(upstream)), |_| {}).await;
    let clients = say(&proxy, 5).await;
    let mut first = origin.tls().await;
    assert!(first.head().await.starts_with("GET / HTTP/1.1\r\n"));
    // The others wait for the first no longer, nor for each other: their handshakes have all begun.
    for _ in 0..4 {
        origin.accept().await;
    }
    drop(clients);
}
