//! Every timer, with a small value: what it cuts, with which status, and what it leaves alone.

use std::time::{Duration, Instant};

use http::Method;
use portico_dataplane::Config;
use portico_dataplane::config::Timers;
use portico_dataplane::observe::metrics::Limit;

use crate::kit::h2::{ask, request};
use crate::kit::{Ended, Origin, Proxy, Wire, eventually, status, table_of};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(60);

/// All timers long but for what `adjust` sets.
fn only(adjust: impl FnOnce(&mut Timers)) -> impl FnOnce(&mut Config) {
    |config| {
        let timers = &mut config.timers;
        for timer in [
            &mut timers.first_byte,
            &mut timers.first_byte_trusted,
            &mut timers.head,
            &mut timers.body_idle,
            &mut timers.body_rate_grace,
            &mut timers.keep_alive,
            &mut timers.write_stall,
        ] {
            *timer = LONG;
        }
        adjust(timers);
    }
}

/// Waits for the end and checks that it came at its time and was counted.
async fn cut(client: &mut Wire, begun: Instant, proxy: &Proxy, limit: Limit) -> String {
    let (rest, _) = client.rest().await;
    let after = begun.elapsed();
    assert!(after >= SHORT - Duration::from_millis(2) && after < SHORT * 10, "{limit:?}: {after:?}");
    eventually("counted", || proxy.limit(limit) == 1).await;
    rest
}

#[tokio::test]
async fn first_octet() {
    let proxy = Proxy::start(&[], only(|timers| timers.first_byte = SHORT)).await;
    let begun = Instant::now();
    assert_eq!(cut(&mut proxy.connect().await, begun, &proxy, Limit::FirstByte).await, "");
}

#[tokio::test]
async fn first_octet_where_http_2_is_possible() {
    let h2c = |trusted: bool| {
        move |config: &mut Config| {
            only(|timers| {
                timers.first_byte = SHORT;
                timers.first_byte_trusted = if trusted { LONG } else { SHORT };
            })(config);
            config.bindings[0].h2c = true;
            if trusted {
                config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
            }
        }
    };
    let proxy = Proxy::start(&[], h2c(false)).await;
    for octets in ["", "PRI * "] {
        let begun = Instant::now();
        let mut client = proxy.say(octets).await;
        assert_eq!(client.rest().await.0, "");
        assert!(begun.elapsed() >= SHORT && begun.elapsed() < SHORT * 10);
    }
    eventually("counted", || proxy.limit(Limit::FirstByte) == 2).await;
    let proxy = Proxy::start(&[], h2c(true)).await;
    assert!(proxy.connect().await.silent(SHORT * 2).await, "balancers open ahead");
}

#[tokio::test]
async fn whole_head_from_its_first_octet() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], only(|timers| timers.head = SHORT)).await;
    let mut client = proxy.say("GET / HTTP/1.1\r\nHost: a\r\n").await;
    let begun = Instant::now();
    while begun.elapsed() < SHORT / 2 {
        client.send("X: 1\r\n").await;
        assert!(client.silent(SHORT / 10).await);
    }
    let answer = cut(&mut client, begun, &proxy, Limit::Head).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("connection: close\r\n"), "{answer}");

    origin.serve(async |_, mut wire: Wire| {
        loop {
            wire.head().await;
            wire.send(OK).await;
        }
    });
    let mut client = proxy.say(GET).await;
    client.until("ok").await;
    assert!(client.silent(SHORT * 2).await, "no head has begun");
    client.send("GET /").await;
    assert_eq!(status(&client.rest().await.0), 408, "the next one is timed as well");
}

#[tokio::test]
async fn whole_head_on_http_2() {
    let adjust = |config: &mut Config| {
        only(|timers| timers.head = SHORT)(config);
        config.bindings[0].h2c = true;
    };
    let proxy = Proxy::start(&[], adjust).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut client = proxy.say(preface).await;
    client.octets(9).await;
    // HEADERS without END_HEADERS, and nothing behind it.
    client.send(b"\0\0\x01\x01\x01\0\0\0\x01\x82").await;
    cut(&mut client, Instant::now(), &proxy, Limit::Head).await;
}

#[tokio::test]
async fn idle_between_requests() {
    let origin = Origin::new().await;
    let adjust = |config: &mut Config| {
        only(|timers| timers.keep_alive = SHORT)(config);
        config.bindings[0].h2c = true;
    };
    let proxy = Proxy::start(&[origin.address], adjust).await;
    let mut client = proxy.say(GET).await;
    let (mut upstream, _) = origin.request().await;
    assert!(client.silent(SHORT * 2).await, "not while a request is in flight");
    upstream.send(OK).await;
    client.until("ok").await;
    cut(&mut client, Instant::now(), &proxy, Limit::KeepAlive).await;

    let client = proxy.h2().await;
    let begun = Instant::now();
    ask(&client, request(Method::TRACE)).await.expect("an answer");
    let error = loop {
        match client.clone().ready().await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(error.is_go_away(), "HTTP/2 clients are told: {error}");
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn body_without_progress() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], only(|timers| timers.body_idle = SHORT)).await;
    for octets in ["", "part"] {
        let mut client = proxy.say(format!("{POST}{octets}")).await;
        let begun = Instant::now();
        let (mut upstream, _) = origin.request().await;
        let (answer, _) = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("connection: close\r\n"), "{answer}");
        assert!(begun.elapsed() >= SHORT - Duration::from_millis(20), "{:?}", begun.elapsed());
        assert_eq!(upstream.rest().await.0, octets, "the endpoint sees it broken off");
    }
    eventually("counted", || proxy.limit(Limit::BodyIdle) == 2).await;
}

#[tokio::test]
async fn body_in_drops() {
    let origin = Origin::new().await;
    let slow = |timers: &mut Timers| (timers.body_rate_grace, timers.body_rate) = (SHORT, 500);
    let proxy = Proxy::start(&[origin.address], only(slow)).await;
    let mut client = proxy.say(POST).await;
    let begun = Instant::now();
    let (_upstream, _) = origin.request().await;
    while client.silent(SHORT / 10).await {
        client.send("x").await;
    }
    let (answer, _) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    eventually("counted", || proxy.limit(Limit::BodyRate) == 1).await;

    let mut client = proxy.say(POST).await;
    let (mut upstream, _) = origin.request().await;
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.head().await;
    for _ in 0..20 {
        client.send("x").await;
        assert!(client.silent(SHORT / 10).await, "once a response has begun slowness is no fault");
    }
}

#[tokio::test]
async fn a_body_behind_an_answer_is_no_head() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], only(|timers| timers.head = SHORT)).await;
    let mut client = proxy.say(POST).await;
    let (mut upstream, _) = origin.request().await;
    upstream.send(OK).await;
    client.until("ok").await;
    for _ in 0..20 {
        client.send("xxxxx").await;
        assert!(client.silent(SHORT / 10).await, "neither cut nor answered again");
    }
    assert_eq!(upstream.octets(100).await, "x".repeat(100).into_bytes());
    client.send(GET).await;
    let (mut upstream, _) = origin.request().await;
    upstream.send(OK).await;
    assert_eq!(status(&client.head().await), 200);
    assert_eq!(proxy.limit(Limit::Head), 0);
}

#[tokio::test]
async fn response_head() {
    let origin = Origin::new().await;
    let table = table_of(&[origin.address], |_, policies| policies.request_timeout = Some(SHORT));
    let proxy = Proxy::with(table, |_| {}).await;
    for request in [GET.to_owned(), format!("{POST}{}", "x".repeat(100))] {
        let mut client = proxy.say(request).await;
        let begun = Instant::now();
        let (mut upstream, _) = origin.request().await;
        assert_eq!(status(&client.head().await), 504);
        let after = begun.elapsed();
        assert!(after >= SHORT - Duration::from_millis(20) && after < SHORT * 3, "{after:?}");
        upstream.rest().await;
    }
    eventually("counted", || proxy.limit(Limit::UpstreamResponse) == 2).await;
    assert_eq!(proxy.running.publisher().ejected(), 0);
}

#[tokio::test]
async fn response_head_while_the_client_is_sending() {
    let origin = Origin::new().await;
    let table = table_of(&[origin.address], |_, policies| policies.request_timeout = Some(SHORT));
    let proxy = Proxy::with(table, |_| {}).await;
    let mut client = proxy.say(POST).await;
    let (mut upstream, _) = origin.request().await;
    for _ in 0..20 {
        client.send("xxxxx").await;
        assert!(client.silent(SHORT / 10).await, "the client's own timers run");
    }
    upstream.octets(100).await;
    upstream.send(OK).await;
    assert_eq!(status(&client.head().await), 200);
}

#[tokio::test]
async fn an_endpoint_that_does_not_take_the_body() {
    let origin = Origin::new().await;
    let table = table_of(&[origin.address], |_, policies| policies.request_timeout = Some(SHORT * 2));
    let proxy = Proxy::with(table, |_| {}).await;
    let mut client = proxy.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await;
    let (_upstream, _) = origin.request().await;
    let (mut reading, mut writing) = client.stream.split();
    let flood = async {
        let piece = vec![b'x'; 1 << 16];
        while tokio::io::AsyncWriteExt::write_all(&mut writing, &piece).await.is_ok() {}
    };
    let mut head = [0; 12];
    tokio::select! {
        read = tokio::io::AsyncReadExt::read_exact(&mut reading, &mut head) => { read.expect("an answer"); }
        () = flood => panic!("the body went through"),
        () = tokio::time::sleep(Duration::from_secs(5)) => panic!("no answer"),
    }
    assert_eq!(&head, b"HTTP/1.1 504");
}

#[tokio::test]
async fn response_body_without_progress() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |config| config.upstream.body_idle = SHORT).await;
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut client = proxy.say(GET).await;
        let (mut upstream, _) = origin.request().await;
        upstream.send(&format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n4\r\npart\r\n")).await;
        client.until("part\r\n").await;
        let begun = Instant::now();
        let (rest, _) = client.rest().await;
        assert_eq!(rest, "", "{framing}: never a clean end");
        assert!(begun.elapsed() >= SHORT - Duration::from_millis(20), "{:?}", begun.elapsed());
        upstream.rest().await;
    }
    eventually("counted", || proxy.limit(Limit::UpstreamBodyIdle) == 2).await;
    let mut client = proxy.say(GET).await;
    let (mut upstream, _) = origin.request().await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.head().await;
    assert!(client.silent(SHORT * 3).await, "event streams may be silent");
}

#[tokio::test]
async fn a_client_that_does_not_read() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], only(|timers| timers.write_stall = SHORT)).await;
    let mut client = proxy.say(GET).await;
    let (mut upstream, _) = origin.request().await;
    let piece = vec![b'x'; 1 << 20];
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n").await;
    let begun = Instant::now();
    // The endpoint is stopped, then cut.
    while tokio::io::AsyncWriteExt::write_all(&mut upstream.stream, &piece).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(5), "never stopped");
    }
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    eventually("counted", || proxy.limit(Limit::WriteStall) == 1).await;
    assert_ne!(client.rest().await, (String::new(), Ended::Closed));
}

#[tokio::test]
async fn connecting() {
    // A full queue of pending connections: further ones get no answer from the system.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    full.listen(0).expect("listening");
    let address = full.local_addr().expect("an address").as_socket().expect("an IP address");
    let _first = tokio::net::TcpStream::connect(address).await.expect("room for one");
    let origin = Origin::new().await;
    let good = origin.address;
    origin.serve(async |_, mut wire: Wire| {
        loop {
            wire.head().await;
            wire.send(OK).await;
        }
    });
    let proxy = Proxy::start(&[address, good], |config| config.upstream.connect = SHORT).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let begun = Instant::now();
        let mut client = proxy.say(GET).await;
        assert_eq!(status(&client.head().await), 200);
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest >= SHORT && slowest < SHORT * 3, "one timeout, then the next endpoint: {slowest:?}");
    assert_eq!(proxy.running.publisher().ejected(), 1);
    assert!(proxy.limit(Limit::UpstreamConnect) >= 1);
}
