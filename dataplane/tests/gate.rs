//! Threats to framing, octet by octet: what is refused, with which status, and what an endpoint gets to see of it. Each
//! row as the first request of a connection, in single octets, and as the second behind every kind of body.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portico_dataplane::observe::metrics::Limit;
use prometheus_client::registry::Registry;

use crate::kit::{Ended, Origin, Proxy, Wire, eventually, status};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Rows of the threat table whose request is refused: name, octets, status.
const REFUSED: &[(&str, &str, u16)] = &[
    ("A01", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", 400),
    ("A02", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX", 400),
    ("A03", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    ("A04 fields", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("A04 list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
    ("A05 zeros", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\nhello", 400),
    ("A05 empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nhello", 400),
    ("A05 plus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
    ("A05 huge", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello", 400),
    ("A05 blank", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 0\r\n\r\nhello", 400),
    ("A06 unknown", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("A06 not last", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    ("A06 comma", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 400),
    ("A06 quoted", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400),
    ("A06 control", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("A07 stacked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("A07 twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    (
        "A07 lines",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("A10", "GET / HTTP/1.1\nHost: a\n\n", 400),
    ("A10 last", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("A11 value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
    ("A11 name", "GET / HTTP/1.1\r\nHost: a\r\nX\r: a\r\n\r\n", 400),
    ("A11 target", "GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (
        "A23",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc",
        400,
    ),
    ("A25", "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("B01 none", "GET / HTTP/1.1\r\n\r\n", 400),
    ("B01 two", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("B02 user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    ("B02 list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    ("B02 path", "GET / HTTP/1.1\r\nHost: a/x\r\n\r\n", 400),
    ("B02 port", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
    ("B03", "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("B03 scheme", "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("B07", "GET /../a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("B10", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("B11", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("B13", "GET /pub#/../admin HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("B14 authority", "GET b:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("B14 star", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("B15 8 bits", "GET /a\u{e9}b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("B15 quotes", "GET /\"{}^| HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("B17 PRI", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("B17 TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("B17 TRACK", "TRACK / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("B19 0.9", "GET /\r\n", 400),
    ("B19 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("B19 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("B19 case", "GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    ("B19 digits", "GET / HTTP/1.01\r\nHost: a\r\n\r\n", 400),
    ("B20 space", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("B20 folded", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    ("B20 first folded", "GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", 400),
    ("B20 no colon", "GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n", 400),
    ("B20 nameless", "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", 400),
    ("B20 control", "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400),
    ("B20 DEL", "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400),
    ("B20 NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    ("D17", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 400),
];

/// Broken chunks, behind a head that is in order.
const BROKEN_CHUNKS: &[(&str, &str)] = &[
    ("A12 hex", "0x3\r\nabc\r\n0\r\n\r\n"),
    ("A12 plus", "+3\r\nabc\r\n0\r\n\r\n"),
    ("A12 before", " 3\r\nabc\r\n0\r\n\r\n"),
    ("A12 behind", "3 \r\nabc\r\n0\r\n\r\n"),
    ("A12 digits", "00000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("A12 text", "3these\r\nabc\r\n0\r\n\r\n"),
    ("A13 size", "3\nabc\r\n0\r\n\r\n"),
    ("A13 last", "0\n\r\n"),
    ("A14 LF", "3;a\nabc\r\n0\r\n\r\n"),
    ("A14 CR", "2\r\r;a\r\nab\r\n0\r\n\r\n"),
    ("A15", "3\r\nabcXX0\r\n\r\n"),
    ("A16 LF", "0\r\nX: a\n\r\n"),
];

/// Rows that pass: name, octets, what the endpoint gets (the request line and the body).
const PASSED: &[(&str, &str, &str)] = &[
    ("plain", GET, "GET / HTTP/1.1|"),
    ("empty line", "\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x HTTP/1.1|"),
    ("length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /", "POST / HTTP/1.1|GET /"),
    (
        "A16 trailers",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;x\r\nabc\r\n0\r\nContent-Length: 5\r\nHost: b\r\n\r\n",
        "POST / HTTP/1.1|abc",
    ),
    ("A24", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "GET / HTTP/1.1|"),
    ("B03 equal", "GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x?y HTTP/1.1|"),
    ("B15 query", "GET /x?a=\"b\"&<{}|^> HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x?a=%22b%22&%3C{}|^%3E HTTP/1.1|"),
    ("B09", "GET //a//b HTTP/1.1\r\nHost: a\r\n\r\n", "GET //a//b HTTP/1.1|"),
];

/// What may come before a row on the same connection, and what the endpoint gets of it.
const FIRST: &[(&str, &str)] = &[
    (GET, "GET / HTTP/1.1|"),
    ("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "POST /1 HTTP/1.1|abc"),
    ("POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "POST /1 HTTP/1.1|abc"),
];

/// A data plane whose endpoint writes down each request's line and body.
struct Recorded {
    proxy: Proxy,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Recorded {
    async fn start() -> Self {
        let origin = Origin::new().await;
        let proxy = Proxy::start(&[origin.address], |_| {}).await;
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let recording = requests.clone();
        origin.serve(move |_, wire| record(wire, recording.clone()));
        Self { proxy, requests }
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().expect("no panic"))
    }
}

async fn record(mut wire: Wire, requests: Arc<Mutex<Vec<String>>>) {
    while let Some(head) = wire.next_head().await {
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let body = if let Some(length) = field("content-length: ") {
            wire.octets(length.parse().expect("a length")).await
        } else if field("transfer-encoding: chunked").is_some() {
            chunks(&mut wire).await
        } else {
            Vec::new()
        };
        let line = head.lines().next().unwrap_or_default();
        requests.lock().expect("no panic").push(format!("{line}|{}", String::from_utf8_lossy(&body)));
        wire.send(OK).await;
    }
}

/// What a chunked body holds, and any trailers in the octets that they came in. How what is sent slowly is cut into chunks
/// on the way is nobody's matter.
async fn chunks(wire: &mut Wire) -> Vec<u8> {
    let mut held = Vec::new();
    loop {
        let line = wire.until("\r\n").await;
        let size = usize::from_str_radix(line.trim_end(), 16).expect("a size");
        if size == 0 {
            break;
        }
        held.extend(wire.octets(size).await);
        assert_eq!(wire.octets(2).await, b"\r\n", "behind a chunk");
    }
    loop {
        let line = wire.until("\r\n").await;
        if line == "\r\n" {
            return held;
        }
        held.extend(line.into_bytes());
    }
}

/// Sends octet by octet.
async fn drip(client: &mut Wire, octets: &str) {
    client.stream.set_nodelay(true).expect("a socket");
    for octet in octets.as_bytes() {
        client.send(&[*octet]).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_has_two_readings_is_refused_and_reaches_nobody() {
    let recorded = Recorded::start().await;
    for (name, octets, expected) in REFUSED {
        for single in [false, true] {
            let mut client = recorded.proxy.connect().await;
            if single {
                drip(&mut client, octets).await;
            } else {
                client.send(&format!("{octets}{GET}")).await;
            }
            refused(name, &mut client, *expected).await;
        }
    }
    assert_eq!(recorded.taken(), [""; 0], "nothing was sent on");
    counted(&recorded.proxy, 2 * REFUSED.iter().filter(|row| row.2 < 500).count());
}

/// Reads one answer with that status behind which the connection closes.
async fn refused(name: &str, client: &mut Wire, expected: u16) {
    let (answer, ended) = client.rest().await;
    assert_eq!((status(&answer), ended), (expected, Ended::Closed), "{name}: {answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{name}: {answer}");
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    for field in ["connection: close", "server: portico", "x-request-id: "] {
        assert!(head.contains(field), "{name}: {answer}");
    }
}

/// Checks how many requests without a route were refused with 4xx.
#[track_caller]
fn counted(proxy: &Proxy, expected: usize) {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(proxy.running.metrics().clone()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    let counted = text.lines().find(|line| line.contains("route=\"_\"") && line.contains("\"4xx\""));
    let counted = counted.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    assert_eq!(counted, Some(expected), "{text}");
}

#[tokio::test]
async fn what_has_two_readings_is_refused_behind_other_requests() {
    let recorded = Recorded::start().await;
    for (first, seen) in FIRST {
        for (name, octets, expected) in REFUSED {
            for pipelined in [false, true] {
                let mut client = recorded.proxy.connect().await;
                if pipelined {
                    client.send(&format!("{first}{octets}{GET}")).await;
                    client.until("\r\n\r\nok").await;
                } else {
                    client.send(first).await;
                    client.until("\r\n\r\nok").await;
                    client.send(octets).await;
                }
                refused(name, &mut client, *expected).await;
                assert_eq!(recorded.taken(), [*seen], "{name}");
            }
        }
    }
}

#[tokio::test]
async fn broken_chunks_end_the_request_and_the_connection() {
    let recorded = Recorded::start().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (name, chunks) in BROKEN_CHUNKS {
        let mut client = recorded.proxy.say(format!("{head}{chunks}{GET}")).await;
        refused(name, &mut client, 400).await;
        let mut client = recorded.proxy.say(format!("{GET}{head}{chunks}{GET}")).await;
        client.until("\r\n\r\nok").await;
        refused(name, &mut client, 400).await;
        let mut client = recorded.proxy.connect().await;
        drip(&mut client, &format!("{head}{chunks}")).await;
        refused(name, &mut client, 400).await;
        assert_eq!(recorded.taken(), ["GET / HTTP/1.1|"], "{name}: no whole request");
    }
    assert_eq!(recorded.proxy.counted(|worker| worker.panics.get()), 0);
}

#[tokio::test]
async fn what_is_in_order_passes_however_it_comes() {
    let recorded = Recorded::start().await;
    for (name, octets, seen) in PASSED {
        let mut client = recorded.proxy.say(octets).await;
        client.until("\r\n\r\nok").await;
        drip(&mut client, octets).await;
        client.until("\r\n\r\nok").await;
        assert_eq!(recorded.taken(), [*seen, *seen], "{name}");
        for (first, before) in FIRST {
            client.send(&format!("{first}{octets}{octets}")).await;
            for _ in 0..3 {
                client.until("\r\n\r\nok").await;
            }
            assert_eq!(recorded.taken(), [*before, *seen, *seen], "{name}");
        }
    }
}

#[tokio::test]
async fn a_body_that_http_1_0_did_not_announce_is_none() {
    let recorded = Recorded::start().await;
    let (answer, _) = recorded.proxy.say(format!("POST / HTTP/1.0\r\nHost: a\r\n\r\n{GET}")).await.rest().await;
    assert_eq!((status(&answer), answer.matches("HTTP/1.").count()), (200, 1), "{answer}");
    assert_eq!(recorded.taken(), ["POST / HTTP/1.1|"]);
    let chunked = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let (answer, _) = recorded.proxy.say(chunked).await.rest().await;
    assert_eq!(status(&answer), 400, "{answer}");
    assert_eq!(recorded.taken(), [""; 0]);
}

#[tokio::test]
async fn refused_wishes_for_an_upgrade_end_the_connection_whoever_refuses_them() {
    let proxy = Proxy::start(&[], |_| {}).await;
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut client = proxy.say(format!("{ask}{GET}")).await;
    refused("A22", &mut client, 503).await;
}

#[tokio::test]
async fn the_head_of_a_pipelined_request_is_timed_from_its_turn() {
    let origin = Origin::new().await;
    let time = Duration::from_millis(200);
    let proxy = Proxy::start(&[origin.address], |config| config.timers.head = time).await;
    let mut client = proxy.say(format!("{GET}GET /half HTTP/1.1\r\nHo")).await;
    let (mut upstream, _) = origin.request().await;
    assert!(client.silent(time * 2).await, "the first one is not answered yet");
    upstream.send(OK).await;
    let begun = Instant::now();
    client.until("\r\n\r\nok").await;
    refused("half", &mut client, 408).await;
    assert!(begun.elapsed() >= time && begun.elapsed() < time * 10, "{:?}", begun.elapsed());
    eventually("counted", || proxy.limit(Limit::Head) == 1).await;
    counted(&proxy, 1);
}

#[tokio::test]
async fn answers_that_nobody_may_use_are_502_and_end_their_connection() {
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let storm = format!("{}{OK}", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000));
    for (name, answer) in [
        ("G01 both", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("G01 twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        ("G01 zeros", "HTTP/1.1 200 OK\r\nContent-Length: 02\r\n\r\nok"),
        ("G01 LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        ("G01 unknown", "HTTP/1.1 200 OK\r\nTransfer-Encoding: what\r\n\r\nok"),
        ("G01 stacked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("G01 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("G02 CR", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n"),
        ("G02 NUL", "HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n"),
        ("G02 folded", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
        ("A26", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        ("status", "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"),
        ("version", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n"),
        ("F09 head", &huge),
        ("F09 interim", &storm),
    ] {
        let origin = Origin::new().await;
        let proxy = Proxy::start(&[origin.address], |_| {}).await;
        let mut client = proxy.say(GET).await;
        let (mut upstream, _) = origin.request().await;
        upstream.send(answer).await;
        let head = client.head().await;
        assert_eq!(status(&head), 502, "{name}: {head}");
        upstream.rest().await;
        assert_eq!(proxy.counted(|worker| worker.pool_idle.get()), 0, "{name}");
        assert_eq!(proxy.counted(|worker| worker.retries.get()), 0, "{name}: an answer is an answer");
    }
}

#[tokio::test]
async fn octets_that_nobody_asked_for_spoil_an_idle_connection() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say(GET).await;
    let (mut upstream, _) = origin.request().await;
    upstream.send(OK).await;
    client.until("\r\n\r\nok").await;
    eventually("idle", || proxy.counted(|worker| worker.pool_idle.get()) == 1).await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").await;
    upstream.rest().await;
    client.send(GET).await;
    let (mut upstream, _) = origin.request().await;
    upstream.send(OK).await;
    client.until("\r\n\r\nok").await;
}

#[tokio::test]
async fn interim_answers_pass_the_gate_by_and_are_counted() {
    let recorded = Origin::new().await;
    let proxy = Proxy::start(&[recorded.address], |_| {}).await;
    let mut client = proxy.say(GET).await;
    let (mut upstream, _) = recorded.request().await;
    upstream.send(&format!("{}{OK}", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(10))).await;
    assert_eq!(status(&client.head().await), 200);
    assert_eq!(proxy.counted(|worker| worker.interim_dropped.get()), 10);
}
