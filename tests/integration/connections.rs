//! Connections as such: how many, from where, on which worker, in which family of addresses.

use portico_tests::client::{Call, Connection, Raw, Tls, get};
use portico_tests::{Ingress, wait_until};

use crate::portico;
use crate::site::{Site, simple_with};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[tokio::test]
async fn connections_of_one_client_are_capped() {
    let (_echo, portico) = simple_with(&["--max-connections-per-client", "3"]).await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(portico.http()).await;
        assert_eq!(raw.send(REQUEST).await.answer().await.status, 200);
        kept.push(raw);
    }
    let mut refused = Raw::connect(portico.http()).await;
    refused.send(REQUEST).await.closed().await;
    // Another client is not concerned, and room is room again.
    let other = Call::get("/").host("a.test").from("127.0.0.9".parse().unwrap());
    assert_eq!(other.to(portico.http()).await.unwrap().status, 200);
    kept.pop();
    wait_until("room", async || match get(portico.http(), "a.test", "/").await {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(portico.metric("portico_limit_breaches_total", &["limit=\"connections_per_client\""]).await >= 1.0);
}

#[tokio::test]
async fn above_the_total_connections_wait_for_room() {
    let (_echo, portico) = simple_with(&["--max-connections", "2"]).await;
    let mut first = Raw::connect(portico.http()).await;
    let mut second = Raw::connect(portico.http()).await;
    for raw in [&mut first, &mut second] {
        assert_eq!(raw.send(REQUEST).await.answer().await.status, 200);
    }
    let mut third = Raw::connect(portico.http()).await;
    third.send(REQUEST).await;
    assert!(third.silent(std::time::Duration::from_millis(200)).await);
    drop(first);
    assert_eq!(third.answer().await.status, 200);
}

/// Few long connections must not pile up on one worker.
#[tokio::test]
async fn eight_long_connections_leave_no_worker_of_four_idle() {
    let site = Site::new(&["web"]).await;
    let portico = site.setup([Ingress::new("web").host("a.test", "web")]).workers(4).start().await;
    let mut kept = Vec::new();
    for _ in 0..8 {
        let mut connection = Connection::tls_http2(portico.https(), &Tls::accepting_any(), "a.test").await.unwrap();
        let call = Call::get("/").host("a.test").http2();
        assert_eq!(connection.send(call.request()).await.unwrap().status, 200);
        kept.push(connection);
    }
    for worker in 0..4 {
        let label = format!("worker=\"{worker}\"");
        let active = portico.metric("portico_connections_active", &[&label]).await;
        assert!(active >= 1.0, "worker {worker} has none");
    }
}

/// One socket for both families; clients of IPv4 are known by their IPv4 address.
#[tokio::test]
async fn the_unspecified_address_takes_both_families() {
    let site = Site::new(&["web"]).await;
    let setup = site.setup([Ingress::new("web").host("a.test", "web")]);
    let portico = setup.args(&["--http", "[::]:0", "--trusted-proxies", "127.0.0.5"]).start().await;
    let port = portico.http().port();
    for (address, client) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1")] {
        let answer = get((address.parse::<std::net::IpAddr>().unwrap(), port).into(), "a.test", "/").await.unwrap();
        assert_eq!(answer.received_header("x-forwarded-for").as_deref(), Some(client), "{answer}");
    }
    let trusted =
        Call::get("/").host("a.test").header("x-forwarded-for", "192.0.2.7").from("127.0.0.5".parse().unwrap());
    let answer = trusted.to(([127, 0, 0, 1], port).into()).await.unwrap();
    assert_eq!(answer.received_header("x-forwarded-for").as_deref(), Some("192.0.2.7, 127.0.0.5"), "{answer}");
}

#[tokio::test]
async fn field_names_keep_their_case_when_asked() {
    let upstream =
        portico_tests::scripted::Scripted::answering("HTTP/1.1 200 OK\r\nX-MiXed: 1\r\nContent-Length: 0\r\n\r\n")
            .await;
    for (flags, sent, returned) in
        [(&[][..], "x-camelcase: 1", "x-mixed"), (&["--preserve-header-case"], "X-CamelCase: 1", "X-MiXed")]
    {
        let portico = portico().manifests(crate::site::one(upstream.address)).args(flags).start().await;
        let mut raw = Raw::connect(portico.http()).await;
        let answer = raw.send("GET / HTTP/1.1\r\nHost: a.test\r\nX-CamelCase: 1\r\n\r\n").await.answer().await;
        assert!(upstream.received().last().unwrap().contains(sent), "{:?}", upstream.received());
        assert!(answer.headers.iter().any(|(name, _)| name == returned), "{answer:?}");
    }
}

#[tokio::test]
async fn flags_are_read_from_variables_too() {
    let site = Site::new(&["web"]).await;
    let setup = site.setup([Ingress::new("web").tls(&["a.test"], "absent").host("a.test", "web")]);
    let portico = setup.env("PORTICO_HTTPS_REDIRECT", "yes").env("PORTICO_HTTPS_REDIRECT_PORT", "8443").start().await;
    let answer = get(portico.http(), "a.test", "/").await.unwrap();
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://a.test:8443/")), "{answer}");
}

#[tokio::test]
async fn http_2_streams_are_capped() {
    let (echo, portico) = simple_with(&["--h2-max-streams", "2"]).await;
    let mut connection = Connection::tls_http2(portico.https(), &Tls::accepting_any(), "a.test").await.unwrap();
    // The limit has reached the client once an answer has.
    let call = Call::get("/").host("a.test").http2();
    connection.send(call.request()).await.unwrap();
    let held = call.header("x-echo-hold", "1");
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let request = held.request();
        let mut other = connection.again().expect("HTTP/2 carries many requests");
        waiting.push(tokio::spawn(async move { other.send(request).await.map_err(|error| error.to_string()) }));
    }
    wait_until("two in flight", async || if echo.in_flight() == 2 { Ok(()) } else { Err(echo.in_flight()) }).await;
    echo.release();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status, 200);
    }
}
