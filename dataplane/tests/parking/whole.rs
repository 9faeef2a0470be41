//! What holds for every kind of connection.

use std::time::{Duration, Instant};

use portico_dataplane::observe::metrics::{Limit, WorkerMetrics};
use tokio::io::AsyncWriteExt;

use super::*;
use crate::kit::{Ended, soon, status};

#[tokio::test]
async fn parked_and_woken_again_and_again() {
    for kind in KINDS {
        let proxy = proxy(kind, |_| {}).await;
        let mut client = idle(&proxy, kind).await;
        for number in 0..5 {
            ask(&mut client, &format!("/{number}")).await;
            ask(&mut client, &format!("/{number}/again")).await;
            parked(&proxy, 1).await;
            assert_eq!(proxy.counted(|worker| worker.connections_active.get()), 1, "{kind:?}");
        }
        drop(client);
        eventually("gone", || proxy.counted(|worker| worker.connections_active.get()) == 0).await;
        assert_eq!(count(&proxy), 0);
    }
}

#[tokio::test]
async fn requests_and_bodies_that_come_together_wake_it_once() {
    for kind in KINDS {
        let proxy = proxy(kind, |_| {}).await;
        let mut client = idle(&proxy, kind).await;
        let paths: Vec<_> = (0..200).map(|number| format!("/{number}")).collect();
        let body = "x".repeat(100_000);
        let last = format!("POST /last HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        client.send(&(paths.iter().map(|path| request(path)).collect::<String>() + &last)).await;
        for path in &paths {
            client.until(&format!("\r\n\r\n{path} 0")).await;
        }
        client.until("\r\n\r\n/last 100000").await;
        parked(&proxy, 1).await;
    }
}

#[tokio::test]
async fn a_head_that_comes_slowly_wakes_it_and_is_waited_for() {
    for kind in KINDS {
        let proxy = proxy(kind, |_| {}).await;
        let mut client = idle(&proxy, kind).await;
        for piece in ["G", "ET /slow HT", "TP/1.1\r", "\nHost: a\r\n\r"] {
            client.send(piece).await;
            assert!(client.silent(LONGER).await);
            assert_eq!(count(&proxy), 0, "{kind:?}: a head has begun");
        }
        client.send("\n").await;
        client.until("\r\n\r\n/slow 0").await;
        parked(&proxy, 1).await;
    }
}

#[tokio::test]
async fn an_empty_line_before_a_head_is_not_forgotten() {
    let proxy = proxy(Kind::Clear, |_| {}).await;
    let mut client = idle(&proxy, Kind::Clear).await;
    client.send("\r\n").await;
    assert!(client.silent(LONGER).await);
    ask(&mut client, "/behind").await;
    parked(&proxy, 1).await;
    client.send("\r\n").await;
    assert!(client.silent(LONGER).await);
    client.send("\r\n").await;
    assert_eq!(status(&client.rest().await.0), 400, "a second one is refused as ever");
}

#[tokio::test]
async fn a_refusal_behind_parking_is_one_like_any_other() {
    for kind in KINDS {
        let proxy = proxy(kind, |_| {}).await;
        let mut client = idle(&proxy, kind).await;
        client.send(&(request("/second") + "GET / HTTP/1.1\r\nHost : a\r\n\r\n")).await;
        client.until("\r\n\r\n/second 0").await;
        let (answer, ended) = client.rest().await;
        assert_eq!((status(&answer), ended), (400, Ended::Closed), "{kind:?}");
    }
}

#[tokio::test]
async fn heads_are_timed_from_their_first_octet() {
    for kind in KINDS {
        let proxy = proxy(kind, |config| config.timers.head = Duration::from_millis(300)).await;
        let mut client = idle(&proxy, kind).await;
        assert!(client.silent(Duration::from_millis(300)).await, "being parked is no time of a head");
        client.send("GET / HTTP/1.1\r\n").await;
        let begun = Instant::now();
        assert_eq!(status(&client.rest().await.0), 408, "{kind:?}");
        assert!(begun.elapsed() > Duration::from_millis(250));
        assert_eq!(proxy.limit(Limit::Head), 1);
    }
}

#[tokio::test]
async fn the_keep_alive_time_ends_it_while_it_is_parked() {
    for kind in KINDS {
        let proxy = proxy(kind, |config| config.timers.keep_alive = Duration::from_millis(500)).await;
        let mut client = idle(&proxy, kind).await;
        let begun = Instant::now();
        assert_eq!(soon(client.rest()).await, (String::new(), Ended::Closed), "{kind:?}");
        assert!(begun.elapsed() > Duration::from_millis(300), "{:?}", begun.elapsed());
        eventually("counted", || proxy.limit(Limit::KeepAlive) == 1).await;
        eventually("gone", || proxy.counted(|worker| worker.connections_active.get()) == 0).await;
        assert_eq!(count(&proxy), 0);
    }
}

#[tokio::test]
async fn a_client_that_ends_is_ended() {
    for kind in KINDS {
        let proxy = proxy(kind, |_| {}).await;
        let mut client = idle(&proxy, kind).await;
        client.stream.shutdown().await.expect("said");
        assert_eq!(client.rest().await, (String::new(), Ended::Closed), "{kind:?}");
        eventually("gone", || proxy.counted(|worker| worker.connections_active.get()) == 0).await;
        assert_eq!(count(&proxy), 0);
    }
}

#[tokio::test]
async fn the_drain_ends_it_and_answers_what_was_on_its_way() {
    for kind in KINDS {
        let proxy = proxy(kind, |config| config.drain_delay = Duration::from_millis(50)).await;
        let mut clients = vec![idle(&proxy, kind).await];
        clients.push(connect(&proxy, kind).await);
        ask(&mut clients[1], "/first").await;
        parked(&proxy, 2).await;
        let drained = tokio::spawn(proxy.running.drain());
        clients[1].send(&request("/late")).await;
        assert_eq!(clients[0].rest().await, (String::new(), Ended::Closed), "{kind:?}");
        let (answer, ended) = clients[1].rest().await;
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("/late 0"), "{kind:?}: {answer}");
        assert_eq!(ended, Ended::Closed);
        assert_eq!(drained.await.expect("no panic"), 0, "nothing was cut");
    }
}

#[tokio::test]
async fn it_counts_against_the_caps() {
    let proxy = proxy(Kind::Clear, |config| config.limits.connections_per_client = Some(1)).await;
    let probed = |worker: &WorkerMetrics| worker.connections_accepted_http.get() > worker.connections_active.get();
    eventually("the probe came and went", || proxy.running.metrics().workers().all(|worker| probed(worker))).await;
    let client = idle(&proxy, Kind::Clear).await;
    assert_eq!(connect(&proxy, Kind::Clear).await.rest().await.0, "");
    assert_eq!(proxy.limit(Limit::ConnectionsPerClient), 1);
    drop(client);
    eventually("gone", || proxy.counted(|worker| worker.connections_active.get()) == 0).await;
    ask(&mut connect(&proxy, Kind::Clear).await, "/next").await;
}

#[tokio::test]
async fn who_the_client_is_outlasts_it() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |config| {
        config.timers.park_after = SOON;
        config.proxy_protocol_from = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let mut client = proxy.say(format!("PROXY TCP4 203.0.113.7 203.0.113.1 4000 80\r\n{GET}")).await;
    let (mut upstream, mut head) = origin.request().await;
    for _ in 0..3 {
        assert!(head.contains("x-forwarded-for: 203.0.113.7\r\n"), "{head}");
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        client.until("ok").await;
        parked(&proxy, 1).await;
        client.send(GET).await;
        head = upstream.head().await;
    }
}

#[tokio::test]
async fn what_is_not_idle_is_not_parked() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |config| config.timers.park_after = SOON).await;
    let still = async |client: &mut Wire, what: &str| {
        assert!(client.silent(LONGER).await);
        assert_eq!(count(&proxy), 0, "{what}");
    };
    let mut client = proxy.connect().await;
    still(&mut client, "it has not asked yet").await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo").await;
    let (mut upstream, _) = origin.request().await;
    still(&mut client, "the body is under way").await;
    client.send("dy").await;
    upstream.octets(4).await;
    still(&mut client, "the answer is due").await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nan").await;
    client.until("an").await;
    still(&mut client, "the answer is under way").await;
    upstream.send("sw").await;
    client.until("sw").await;
    parked(&proxy, 1).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let (mut upstream, _) = origin.request().await;
    upstream.send("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    client.head().await;
    still(&mut client, "it speaks another protocol").await;
}

#[tokio::test]
async fn an_answer_that_is_not_taken_keeps_it_awake_and_arrives_whole() {
    const LENGTH: usize = 20_000_000;
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |config| config.timers.park_after = SOON).await;
    let mut client = proxy.say(GET).await;
    let (mut upstream, _) = origin.request().await;
    let answering = tokio::spawn(async move {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        upstream.send(&head).await;
        upstream.stream.write_all(&vec![b'x'; LENGTH]).await
    });
    tokio::time::sleep(LONGER).await;
    assert_eq!(count(&proxy), 0);
    client.head().await;
    assert_eq!(client.octets(LENGTH).await.len(), LENGTH);
    answering.await.expect("no panic").expect("sent");
    parked(&proxy, 1).await;
}

#[tokio::test]
async fn zero_parks_nobody() {
    let proxy = proxy(Kind::Clear, |config| config.timers.park_after = Duration::ZERO).await;
    let mut client = connect(&proxy, Kind::Clear).await;
    ask(&mut client, "/").await;
    assert!(client.silent(LONGER).await);
    assert_eq!(count(&proxy), 0);
}
