//! Endpoints that come and go: who has left gets no new request and finishes its old ones, and none at all is said at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Response};
use portico_dataplane::config::Binding;
use portico_shared::EndpointSet;
use portico_shared::ir::Protocol;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;

use crate::kit::h2::{ask, request};
use crate::kit::{
    Ended, Origin, Proxy, Wire, endpoint, eventually, soon, start, status, table, table_of, upstream_name,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Gives the only upstream these endpoints.
fn swap(proxy: &Proxy, endpoints: &[SocketAddr], changed: Option<SystemTime>) {
    let publisher = proxy.running.publisher();
    let table = publisher.table();
    let cell = table.upstream(&upstream_name()).expect("the only upstream");
    publisher.swap_endpoints(cell, Arc::new(EndpointSet::new(endpoints.iter().copied())), changed);
}

/// A request that is answered by the origin; both connections stay open.
async fn served(proxy: &Proxy, origin: &Origin) -> (Wire, Wire) {
    let mut client = proxy.say(GET).await;
    let (mut upstream, _) = origin.request().await;
    upstream.send(OK).await;
    client.until("ok").await;
    (client, upstream)
}

#[tokio::test]
async fn idle_connections_to_an_endpoint_that_left_are_closed_and_busy_ones_finish() {
    let (leaving, staying) = (Origin::new().await, endpoint().await);
    let proxy = Proxy::start(&[leaving.address], |_| {}).await;
    let mut busy = proxy.say(GET).await;
    let (mut serving, _) = leaving.request().await;
    let (mut client, mut idle) = served(&proxy, &leaving).await;
    assert_eq!(proxy.counted(|worker| worker.pool_idle.get()), 1);

    swap(&proxy, &[staying], None);
    client.send(GET).await;
    client.until(&staying.port().to_string()).await;
    assert_eq!(idle.rest().await, (String::new(), Ended::Closed));

    serving.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nla").await;
    assert_eq!(status(&busy.head().await), 200);
    serving.send("te").await;
    assert_eq!(busy.octets(4).await, b"late");
    assert_eq!(serving.rest().await, (String::new(), Ended::Closed), "nobody will ask on it again");
    busy.send(GET).await;
    busy.until(&staying.port().to_string()).await;
}

#[tokio::test]
async fn idle_connections_are_closed_even_when_nobody_asks() {
    let leaving = Origin::new().await;
    let proxy = Proxy::start(&[leaving.address], |_| {}).await;
    let (mut client, mut idle) = served(&proxy, &leaving).await;
    swap(&proxy, &[], None);
    assert_eq!(idle.rest().await, (String::new(), Ended::Closed));
    // It comes back before any request has seen it gone.
    swap(&proxy, &[leaving.address], None);
    for _ in 0..2 {
        client.send(GET).await;
        if proxy.counted(|worker| worker.pool_opened.get()) < 2 {
            idle = leaving.accept().await;
        }
        idle.head().await;
        idle.send(OK).await;
        client.until("ok").await;
    }
    assert_eq!(proxy.counted(|worker| worker.pool_reused.get()), 1, "and its connections are kept again");
}

#[tokio::test]
async fn a_websocket_stays_and_keeps_no_idle_connection_beside_it() {
    let (leaving, staying) = (Origin::new().await, endpoint().await);
    for new_table in [false, true] {
        let proxy = Proxy::start(&[leaving.address], |_| {}).await;
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        let ask =
            format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n");
        let mut socket = proxy.say(format!("{ask}\r\n")).await;
        let (mut upstream, _) = leaving.request().await;
        upstream.send(&format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}Sec-WebSocket-Accept: y\r\n\r\n")).await;
        assert_eq!(status(&socket.head().await), 101);
        let mut busy = proxy.say(GET).await;
        let (mut serving, _) = leaving.request().await;
        let (mut client, mut idle) = served(&proxy, &leaving).await;

        if new_table {
            proxy.running.publisher().publish(table(&[staying]));
        } else {
            swap(&proxy, &[staying], None);
        }
        client.send(GET).await;
        client.until(&staying.port().to_string()).await;
        assert_eq!(idle.rest().await, (String::new(), Ended::Closed));
        serving.send(OK).await;
        busy.until("ok").await;
        assert_eq!(serving.rest().await, (String::new(), Ended::Closed));

        socket.send("ping").await;
        assert_eq!(upstream.octets(4).await, b"ping");
        upstream.send("pong").await;
        assert_eq!(socket.octets(4).await, b"pong");
    }
}

#[tokio::test]
async fn a_grpc_stream_goes_on_after_its_endpoint_left() {
    let (leaving, staying) = (Origin::new().await, Origin::new().await);
    let h2c = table_of(&[leaving.address], |upstream, _| upstream.protocol = Protocol::H2c);
    let proxy = Proxy::with(h2c, |config| config.bindings[0].h2c = true).await;
    let client = proxy.h2().await;
    let mut grpc = request(Method::POST);
    grpc.headers_mut().insert("content-type", "application/grpc".parse().expect("a value"));
    let (answer, mut up) = client.clone().ready().await.expect("ready").send_request(grpc, false).expect("sent");
    let mut first = leaving.h2().await;
    let mut call = first.call().await;
    let mut down = call.respond.send_response(Response::new(()), false).expect("a response head");
    let mut answer = soon(answer).await.expect("answered").into_body();

    swap(&proxy, &[staying.address], None);
    let other = tokio::spawn(ask(&client, request(Method::GET)));
    staying.h2().await.call().await.answer("ok");
    assert_eq!(other.await.expect("no panic").expect("answered").status(), 200);

    for message in ["one", "two"] {
        up.send_data(Bytes::from(message), false).expect("open");
        let body = call.request.body_mut();
        assert_eq!(soon(body.data()).await.expect("open").expect("no reset"), message);
        down.send_data(Bytes::from(message), false).expect("open");
        assert_eq!(soon(answer.data()).await.expect("open").expect("no reset"), message);
    }
    up.send_data(Bytes::new(), true).expect("open");
    down.send_data(Bytes::new(), true).expect("open");
    while let Some(data) = soon(answer.data()).await {
        data.expect("no reset");
    }
    first.closed().await;
}

#[tokio::test]
async fn without_endpoints_the_answer_comes_at_once() {
    let there = endpoint().await;
    let proxy = Proxy::start(&[there], |_| {}).await;
    let mut client = proxy.say(GET).await;
    client.until(&there.port().to_string()).await;
    swap(&proxy, &[], None);
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let begun = Instant::now();
        client.send(GET).await;
        let head = client.head().await;
        fastest = fastest.min(begun.elapsed());
        assert!(status(&head) == 503 && head.contains("retry-after: 1\r\n"), "{head}");
        client.until("\n").await;
        client = proxy.connect().await;
    }
    assert!(fastest < Duration::from_millis(5), "{fastest:?}");
    swap(&proxy, &[there], None);
    client.send(GET).await;
    assert_eq!(status(&client.head().await), 200);
}

/// How many changes were followed to the swap and to the first request.
fn followed(proxy: &Proxy) -> [u64; 2] {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(proxy.running.metrics().clone()));
    let mut shown = String::new();
    text::encode(&mut shown, &registry).expect("writing to a string");
    ["swap", "first_request"].map(|until| {
        let series = format!("portico_endpoint_convergence_seconds_count{{until=\"{until}\"}} ");
        shown.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).expect("the series is there")
    })
}

#[tokio::test]
async fn a_change_is_followed_to_the_swap_and_to_the_first_request() {
    let (one, two) = (endpoint().await, endpoint().await);
    let (running, address) = start(4, |_| {});
    running.publisher().publish(table(&[one]));
    let proxy = Proxy { running, address };
    let ask = async |expected: u16| {
        // Each connection may be another worker's.
        for _ in 0..8 {
            let mut client = proxy.say(GET).await;
            assert_eq!(status(&client.head().await), expected);
        }
    };
    ask(200).await;
    assert_eq!(followed(&proxy), [0, 0], "nobody dated what was there first");
    swap(&proxy, &[one, two], Some(SystemTime::now()));
    assert_eq!(followed(&proxy), [1, 0]);
    ask(200).await;
    assert_eq!(followed(&proxy), [1, 1], "once, whichever worker it was");
    swap(&proxy, &[], Some(SystemTime::now()));
    ask(503).await;
    assert_eq!(followed(&proxy), [2, 1], "no request was sent");
    swap(&proxy, &[one], None);
    ask(200).await;
    assert_eq!(followed(&proxy), [2, 1], "and who came back was not dated");
}

#[tokio::test]
async fn before_the_first_table_nobody_is_given_a_certificate_either() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (running, address) = start(2, |config| config.bindings = vec![Binding::ingress(any, true)]);
    // Refused, so that clients and balancers try another replica: a handshake could only show them a wrong certificate.
    let refused = TcpStream::connect(address).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    running.publisher().publish(table(&[endpoint().await]));
    assert!(TcpStream::connect(address).await.is_ok());
    eventually("the connection is seen", || {
        running.metrics().workers().any(|w| w.connections_accepted_https.get() > 0)
    })
    .await;
    running.drain().await;
}
