//! WebSockets: nothing passes before both sides agree, everything afterwards, and nothing of it stays for others.

use std::time::Duration;

use portico_dataplane::observe::metrics::Limit;
use tokio::io::AsyncWriteExt;

use crate::kit::{Ended, Origin, Proxy, Wire, eventually, soon, status};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                   Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: y\r\n\r\n";

async fn upgraded(proxy: &Proxy, origin: &Origin) -> (Wire, Wire) {
    let mut client = proxy.say(ASK).await;
    let (mut upstream, _) = origin.request().await;
    upstream.send(AGREE).await;
    assert_eq!(status(&client.head().await), 101);
    (client, upstream)
}

#[tokio::test]
async fn early_octets_wait_for_the_101() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say(format!("{ASK}early")).await;
    let (mut upstream, head) = origin.request().await;
    for field in ["connection: upgrade\r\n", "upgrade: websocket\r\n", "sec-websocket-key: x\r\n"] {
        assert!(head.contains(field), "{field}: {head}");
    }
    assert!(upstream.silent(Duration::from_millis(100)).await, "nothing behind the head");
    upstream.send(&format!("{AGREE}hello")).await;
    let head = client.head().await;
    for field in ["HTTP/1.1 101 ", "connection: upgrade\r\n", "upgrade: websocket\r\n", "sec-websocket-accept: y\r\n"] {
        assert!(head.contains(field), "{field}: {head}");
    }
    assert_eq!(client.octets(5).await, b"hello");
    assert_eq!(upstream.octets(5).await, b"early");
    client.send("up").await;
    upstream.send("down").await;
    assert_eq!((upstream.octets(2).await, client.octets(4).await), (b"up".to_vec(), b"down".to_vec()));
    drop(upstream);
    assert_eq!(client.rest().await.0, "");
    drop(client);
    eventually("closed", || proxy.counted(|worker| worker.upgrades_active.get()) == 0).await;
}

#[tokio::test]
async fn a_refusal_ends_both_connections_and_early_octets_with_them() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say(format!("{ASK}GET /admin HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    let (mut upstream, _) = origin.request().await;
    upstream.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await;
    let (answer, ended) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.ends_with("\r\n\r\nno"), "{answer}");
    assert!(answer.contains("connection: close\r\n") && ended == Ended::Closed, "{answer}");
    assert_eq!(upstream.rest().await.0, "", "nothing else came");
    assert_eq!(proxy.counted(|worker| worker.pool_idle.get()), 0);
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_no_answer() {
    for (request, answer) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", AGREE),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", AGREE),
        (ASK, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
    ] {
        let origin = Origin::new().await;
        let proxy = Proxy::start(&[origin.address], |_| {}).await;
        let mut client = proxy.say(request).await;
        let (mut upstream, _) = origin.request().await;
        upstream.send(&format!("{answer}HTTP/1.1 200 OK\r\n\r\n")).await;
        assert_eq!(status(&client.head().await), 502, "{request}");
        upstream.rest().await;
        assert_eq!(proxy.counted(|worker| worker.pool_idle.get()), 0);
    }
}

#[tokio::test]
async fn an_upgrade_with_a_body_reaches_nobody() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    for framing in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
        let request = ASK.replace("\r\n\r\n", &format!("\r\n{framing}\r\n\r\nabc"));
        assert_eq!(status(&proxy.say(request).await.rest().await.0), 400, "{framing}");
    }
    assert_eq!(proxy.counted(|worker| worker.pool_opened.get()), 0);
}

#[tokio::test]
async fn silence_ends_an_upgraded_connection_and_octets_keep_it() {
    let origin = Origin::new().await;
    let idle = Duration::from_millis(300);
    let proxy = Proxy::start(&[origin.address], |config| config.timers.stream_idle = idle).await;
    let (mut client, mut upstream) = upgraded(&proxy, &origin).await;
    let begun = std::time::Instant::now();
    while begun.elapsed() < idle * 2 {
        client.send("x").await;
        assert_eq!(upstream.octets(1).await, b"x");
        assert!(client.silent(idle / 4).await, "still open");
    }
    let last = std::time::Instant::now();
    client.rest().await;
    upstream.rest().await;
    assert!(last.elapsed() >= idle / 2, "{:?}", last.elapsed());
    eventually("counted", || proxy.limit(Limit::StreamIdle) == 1).await;
}

#[tokio::test]
async fn upgraded_connections_last_through_the_drain_and_are_counted_when_cut() {
    for finish in [true, false] {
        let origin = Origin::new().await;
        let timeout = Duration::from_millis(if finish { 5000 } else { 200 });
        let proxy = Proxy::start(&[origin.address], |config| config.drain_timeout = timeout).await;
        let (mut client, mut upstream) = upgraded(&proxy, &origin).await;
        let drained = tokio::spawn(proxy.running.drain());
        client.send("x").await;
        assert_eq!(upstream.octets(1).await, b"x", "draining cuts nobody");
        assert!(client.silent(Duration::from_millis(100)).await);
        if finish {
            drop(upstream);
        }
        client.rest().await;
        drop(client);
        let cut = soon(drained).await.expect("no panic");
        assert_eq!(cut, u64::from(!finish));
    }
}

#[tokio::test]
async fn each_side_may_end_on_its_own() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let (mut client, mut upstream) = upgraded(&proxy, &origin).await;
    upstream.send("bye").await;
    upstream.stream.shutdown().await.expect("half closed");
    assert_eq!(client.rest().await.0, "bye");
    client.send("late").await;
    assert_eq!(upstream.octets(4).await, b"late");
    drop(client);
    upstream.rest().await;
}
