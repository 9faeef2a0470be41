//! Endpoints that fail: who is tried next, what is never sent twice, and who is left out for a while.

use portico_tests::client::{Call, Connection, get};
use portico_tests::scripted::{Refusing, Scripted};
use portico_tests::{Echo, Ingress, Portico, Service, wait_until};

use crate::portico;
use crate::site::one;

async fn serve(addresses: &[std::net::SocketAddr], flags: &[&str]) -> Portico {
    let documents = [Ingress::new("web").host("a.test", "web").to_string(), Service::new("web").with(addresses)];
    portico().manifests(documents).args(flags).start().await
}

#[tokio::test]
async fn a_dead_endpoint_among_others_costs_nobody_an_answer() {
    let (one, two, dead) = (Echo::start("one").await, Echo::start("two").await, Refusing::new());
    let portico = serve(&[one.address, dead.address, two.address], &[]).await;
    for number in 0..100 {
        // A failed connect is tried again for every method: nothing was sent.
        let call = if number % 2 == 0 { Call::get("/") } else { Call::post("/", "body") };
        let answer = call.host("a.test").to(portico.http()).await.unwrap();
        assert_eq!(answer.status, 200, "{number}: {answer}");
    }
    assert!(portico.metric("portico_upstream_retries_total", &[]).await >= 1.0);
}

#[tokio::test]
async fn an_endpoint_that_fails_repeatedly_is_ejected() {
    let (one, two, dead) = (Echo::start("one").await, Echo::start("two").await, Refusing::new());
    let portico = serve(
        &[one.address, dead.address, two.address],
        &["--eject-after", "2", "--eject-for", "1h", "--eject-longest", "1h"],
    )
    .await;
    wait_until("the ejection", async || {
        assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().status, 200);
        let ejections = portico.metric("portico_upstream_ejections_total", &[]).await;
        if ejections >= 1.0 { Ok(()) } else { Err("none yet") }
    })
    .await;
    // From now on nobody tries it.
    let failures = portico.metric("portico_upstream_connect_failures_total", &[]).await;
    for _ in 0..30 {
        assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().status, 200);
    }
    assert_eq!(portico.metric("portico_upstream_connect_failures_total", &[]).await, failures);
}

/// With every endpoint failing there is nobody to eject them for: a healed one is found at once.
#[tokio::test]
async fn the_last_endpoint_is_never_ejected() {
    let dead = Refusing::new();
    let address = dead.address;
    let portico = serve(&[address], &["--eject-after", "1", "--eject-for", "1h", "--eject-longest", "1h"]).await;
    for _ in 0..5 {
        assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().status, 502);
    }
    drop(dead);
    let _echo = Echo::start_on("web", &address.to_string()).await;
    portico.answers("a.test", "/", "web").await;
}

#[tokio::test]
async fn all_endpoints_dead_is_502_at_once() {
    let (one, two) = (Refusing::new(), Refusing::new());
    let portico = serve(&[one.address, two.address], &[]).await;
    let answer = get(portico.http(), "a.test", "/").await.unwrap();
    assert_eq!(answer.status, 502, "{answer}");
}

#[tokio::test]
async fn a_post_that_was_sent_is_not_replayed() {
    let resetting = Scripted::resetting().await;
    let portico = portico().manifests(one(resetting.address)).start().await;
    let answer = Call::post("/", "once").host("a.test").to(portico.http()).await.unwrap();
    assert_eq!(answer.status, 502, "{answer}");
    assert_eq!(resetting.heads(), 1, "{:?}", resetting.received());
}

/// A pooled connection that the upstream closes in the same moment: an idempotent request is sent again elsewhere.
#[tokio::test]
async fn a_stale_pooled_connection_costs_an_idempotent_request_nothing() {
    // Answers one request of each connection, then closes without a word.
    let upstream = Scripted::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let portico = portico().manifests(one(upstream.address)).start().await;
    let mut connection = Connection::plain(portico.http()).await.unwrap();
    for number in 0..50 {
        let answer = connection.send(Call::get("/").host("a.test").request()).await.unwrap();
        assert_eq!(answer.status, 200, "{number}: {answer}");
    }
}

#[tokio::test]
async fn retries_can_be_turned_off() {
    let (echo, dead) = (Echo::start("web").await, Refusing::new());
    let flags = ["--retries", "0", "--eject-after", "0", "--balance", "round-robin"];
    let portico = serve(&[echo.address, dead.address], &flags).await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(get(portico.http(), "a.test", "/").await.unwrap().status);
    }
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
}

#[tokio::test]
async fn round_robin_goes_around() {
    let (one, two, three) = (Echo::start("one").await, Echo::start("two").await, Echo::start("three").await);
    let portico = serve(&[one.address, two.address, three.address], &["--balance", "round-robin"]).await;
    for _ in 0..30 {
        get(portico.http(), "a.test", "/").await.unwrap();
    }
    for echo in [&one, &two, &three] {
        assert_eq!(echo.requests(), 10);
    }
}

#[tokio::test]
async fn upstream_connections_are_kept() {
    let echo = Echo::start("web").await;
    let portico = serve(&[echo.address], &[]).await;
    for _ in 0..20 {
        get(portico.http(), "a.test", "/").await.unwrap();
    }
    assert_eq!((echo.requests(), echo.connections()), (20, 1));
}
