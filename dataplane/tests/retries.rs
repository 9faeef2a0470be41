//! Trying again: what may be sent twice, what must not, and which endpoints are left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::kit::{Origin, Proxy, Wire, eventually, status};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An address where nobody listens.
async fn dead() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("bound").local_addr().expect("an address")
}

/// Closes with RST.
fn reset(wire: &Wire) {
    socket2::SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).expect("a socket");
}

async fn answer(mut wire: Wire) {
    loop {
        let head = wire.head().await;
        if head.starts_with("POST") {
            wire.octets(5).await;
        }
        wire.send(OK).await;
    }
}

#[tokio::test]
async fn a_dead_endpoint_costs_nobody_an_error_and_is_ejected() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address, dead().await], |_| {}).await;
    origin.serve(|_, wire| answer(wire));
    let mut client = proxy.connect().await;
    for request in [GET, POST].iter().cycle().take(40) {
        client.send(request).await;
        assert_eq!(status(&client.head().await), 200);
        client.octets(2).await;
    }
    assert_eq!(proxy.counted(|worker| worker.ejections.get()), 1);
    assert_eq!(proxy.counted(|worker| worker.connect_failures.get()), 3, "three failures, then it is left alone");
    assert_eq!(proxy.running.publisher().ejected(), 1);
}

#[tokio::test]
async fn the_last_endpoint_is_never_given_up() {
    let proxy = Proxy::start(&[dead().await], |_| {}).await;
    let mut client = proxy.connect().await;
    for _ in 0..5 {
        client.send(GET).await;
        let head = client.head().await;
        assert_eq!(status(&head), 502, "{head}");
        let length: usize = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.parse().ok())
            .expect("a length");
        client.octets(length).await;
    }
    assert!(proxy.counted(|worker| worker.connect_failures.get()) >= 5);
}

#[tokio::test]
async fn a_reset_before_the_head_is_tried_again_for_get_and_not_for_post() {
    for (request, expected, connections) in [(GET, 200, 2), (POST, 502, 1)] {
        let origin = Origin::new().await;
        let proxy = Proxy::start(&[origin.address], |_| {}).await;
        let count = origin.serve(async |number, mut wire| {
            if number == 0 {
                wire.head().await;
                reset(&wire);
            } else {
                answer(wire).await;
            }
        });
        let mut client = proxy.say(request).await;
        assert_eq!(status(&client.head().await), expected, "{request}");
        assert_eq!(count.load(Ordering::SeqCst), connections, "{request}");
    }
}

#[tokio::test]
async fn two_further_tries_and_no_more() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |config| config.upstream.eject_after = 0).await;
    let count = origin.serve(async |_, mut wire: Wire| {
        wire.head().await;
        reset(&wire);
    });
    assert_eq!(status(&proxy.say(GET).await.head().await), 502);
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_budget_bounds_what_a_failing_upstream_gets() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let count = origin.serve(async |_, mut wire: Wire| {
        wire.head().await;
        reset(&wire);
    });
    for _ in 0..100 {
        assert_eq!(
            status(&proxy.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.head().await),
            502
        );
    }
    let tries = count.load(Ordering::SeqCst);
    assert!((100..=100 + 10 + 20).contains(&tries), "a reserve of 10 and a fifth: {tries}");
    assert!(proxy.counted(|worker| worker.retry_budget_exhausted.get()) > 0);
}

/// Answers `each` requests on a connection, then closes it right behind the last answer, while the client may already
/// be sending the next request.
fn closing_behind_the_answer(origin: Origin, each: usize) -> Arc<AtomicUsize> {
    origin.serve(move |_, mut wire| async move {
        for _ in 0..each {
            let head = wire.head().await;
            if head.starts_with("POST") {
                wire.octets(5).await;
            }
            wire.send(OK).await;
        }
        reset(&wire);
    })
}

#[tokio::test]
async fn connections_that_close_while_idle_cost_gets_no_error() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let count = closing_behind_the_answer(origin, 3);
    let clients = (0..8).map(|_| async {
        let mut client = proxy.connect().await;
        for number in 0..150 {
            client.send(GET).await;
            let head = client.head().await;
            assert_eq!(status(&head), 200, "request {number}: {head}");
            client.octets(2).await;
        }
    });
    futures_util::future::join_all(clients).await;
    assert!(count.load(Ordering::SeqCst) >= 400);
    assert_eq!(proxy.counted(|worker| worker.ejections.get()), 0, "an idle connection's end is no failure");
}

#[tokio::test]
async fn a_whole_pool_of_stale_connections_costs_one_get_no_error() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut clients = Vec::new();
    let mut upstreams = Vec::new();
    for _ in 0..8 {
        clients.push(proxy.say(GET).await);
        upstreams.push(origin.request().await.0);
    }
    for (client, upstream) in clients.iter_mut().zip(&mut upstreams) {
        upstream.send(OK).await;
        client.head().await;
        client.octets(2).await;
    }
    eventually("all idle", || proxy.counted(|worker| worker.pool_idle.get()) == 8).await;
    // Each reads the next request and resets, as an endpoint does whose process has just ended.
    for mut upstream in upstreams {
        tokio::spawn(async move {
            upstream.head().await;
            reset(&upstream);
        });
    }
    let client = &mut clients[0];
    client.send(GET).await;
    let (mut fresh, _) = origin.request().await;
    fresh.send(OK).await;
    assert_eq!(status(&client.head().await), 200);
    assert_eq!(proxy.counted(|worker| worker.retries.get()), 1, "the second try does not trust the pool");
}

#[tokio::test]
async fn an_answer_that_nobody_can_read_is_not_asked_for_twice() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let count = origin.serve(async |_, mut wire: Wire| {
        wire.head().await;
        wire.send("HTTP/1.1 2x0 OK\r\n\r\n").await;
    });
    assert_eq!(status(&proxy.say(GET).await.head().await), 502);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_post_takes_only_a_connection_that_was_busy_of_late() {
    let origin = Origin::new().await;
    let young = Duration::from_millis(50);
    let proxy = Proxy::start(&[origin.address], |config| config.upstream.idle_unsafe = young).await;
    origin.serve(|_, wire| answer(wire));
    let mut client = proxy.connect().await;
    let mut opened = Vec::new();
    for (request, pause) in [(GET, 0), (POST, 0), (GET, 100), (POST, 100)] {
        assert!(client.silent(Duration::from_millis(pause + 1)).await);
        client.send(request).await;
        assert_eq!(status(&client.head().await), 200);
        client.octets(2).await;
        opened.push(proxy.counted(|worker| worker.pool_opened.get()));
    }
    assert_eq!(opened, [1, 1, 1, 2]);
}

#[tokio::test]
async fn idle_connections_end_by_their_time_or_the_one_announced() {
    for (announced, keep) in [("", Duration::from_millis(200)), ("Keep-Alive: timeout=1\r\n", Duration::from_secs(30))]
    {
        let origin = Origin::new().await;
        let proxy = Proxy::start(&[origin.address], |config| config.upstream.idle = keep).await;
        let mut client = proxy.say(GET).await;
        let (mut upstream, _) = origin.request().await;
        upstream.send(&format!("HTTP/1.1 200 OK\r\n{announced}Content-Length: 0\r\n\r\n")).await;
        assert_eq!(status(&client.head().await), 200);
        assert_eq!(upstream.rest().await.0, "", "{announced}: closed");
    }
}
