//! The sieve by itself: every verdict, however the octets come, and the same reading as hyper's.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::request::{Requests, stand_in};
use super::response::{Asked, Line, Refused, Responses};
use super::{Judge, Sieve};
use crate::config::Limits;
use crate::observe::metrics::{Limit, WorkerMetrics};
use crate::request::ProxyError;

/// What passes a sieve when octets come in pieces of that size, and what ended it.
fn pass<J: Judge>(sieve: &mut Sieve<J>, octets: &[u8], piece: usize) -> (Vec<u8>, Option<J::Fault>) {
    let mut passed = Vec::new();
    for octets in octets.chunks(piece) {
        give(sieve, &mut passed);
        let mut memory = vec![0; octets.len()];
        let mut buffer = ReadBuf::new(&mut memory);
        buffer.put_slice(octets);
        sieve.take(&mut buffer, 0);
        passed.extend_from_slice(buffer.filled());
        give(sieve, &mut passed);
        if let Some(fault) = sieve.fault() {
            return (passed, Some(fault.why));
        }
    }
    (passed, None)
}

fn give<J: Judge>(sieve: &mut Sieve<J>, passed: &mut Vec<u8>) {
    let mut memory = [0; 7];
    let mut buffer = ReadBuf::new(&mut memory);
    while sieve.give(&mut buffer) {
        passed.extend_from_slice(buffer.filled());
        buffer.clear();
    }
}

fn requests() -> Sieve<Requests> {
    Sieve::new(Requests::new(&Limits::default()))
}

/// Whatever its size, each piece must give the same.
fn request(octets: &str) -> (String, Option<ProxyError>) {
    let whole = pass(&mut requests(), octets.as_bytes(), usize::MAX);
    for piece in [1, 2, 3, 17] {
        let cut = pass(&mut requests(), octets.as_bytes(), piece);
        assert_eq!(cut.1, whole.1, "{octets:?} in pieces of {piece}");
        assert!(cut.1.is_some() || cut.0 == whole.0, "{octets:?} in pieces of {piece}");
    }
    (String::from_utf8_lossy(&whole.0).into_owned(), whole.1)
}

#[test]
fn what_is_in_order_passes_as_it_is() {
    for octets in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a?b=c HTTP/1.1\r\nHost:a\r\nX:\t \r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-LENGTH: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked \r\n\r\n3;a=\"b\"\r\nabc\r\n00\r\nX: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?{}|^`\\ HTTP/1.1\r\nX: \u{e9}\r\n\r\n",
        "GET /?\u{e9} HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(request(octets), (octets.to_owned(), None));
    }
}

#[test]
fn one_empty_line_may_come_first_and_is_dropped() {
    assert_eq!(request("\r\nGET / HTTP/1.1\r\n\r\n"), ("GET / HTTP/1.1\r\n\r\n".to_owned(), None));
    assert!(request("\r\n\r\nGET / HTTP/1.1\r\n\r\n").1.is_some());
    assert!(request("\nGET / HTTP/1.1\r\n\r\n").1.is_some());
}

#[test]
fn queries_are_escaped_where_hyper_would_refuse_them() {
    for (query, escaped) in [("a=\"b\"<>", "a=%22b%22%3C%3E"), ("{\"\u{e9}", "{%22%C3%A9")] {
        let passed = request(&format!("GET /x?{query} HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
        assert_eq!(passed, (format!("GET /x?{escaped} HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"), None));
    }
    let (passed, fault) = pass(&mut requests(), b"GET /?\xff HTTP/1.1\r\n\r\n", 5);
    assert_eq!((&passed[..], fault), (&b"GET /?%FF HTTP/1.1\r\n\r\n"[..], None));
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_whole() {
    let malformed = |fields: &str| {
        let (passed, fault) = request(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\nabcdefgh"));
        assert!(matches!(fault, Some(ProxyError::Malformed(_))), "{fields:?}: {fault:?}");
        assert_eq!(passed, "", "{fields:?}");
    };
    for length in ["+3", "-3", "0x3", "3_0", "", "3 0", "03", "3, 3", "1844674407370955162", "\u{661}"] {
        malformed(&format!("Content-Length: {length}"));
    }
    for coding in
        ["xchunked", "chunked, identity", "identity", "gzip", "\"chunked\"", "chunked;q=1", "", "chunked, chunked"]
    {
        malformed(&format!("Transfer-Encoding: {coding}"));
    }
    for fields in [
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding : chunked",
        " X: folded",
        ": nameless",
        "no colon",
        "X: a\rb",
        "X: a\r",
        "X: \u{0}",
        "X: \u{c}",
        "X: a\u{7f}",
        "X\u{e9}: a",
        "X: a\nY: b",
    ] {
        malformed(fields);
    }
    let (_, fault) = request("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n");
    assert_eq!(fault, Some(ProxyError::Coding));
    let (_, fault) = request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(matches!(fault, Some(ProxyError::Malformed(_))), "{fault:?}");
}

#[test]
fn request_lines() {
    let version = Some(ProxyError::Version);
    let malformed = |fault: &Option<ProxyError>| matches!(fault, Some(ProxyError::Malformed(_)));
    for (line, expected) in [
        ("GET / HTTP/1.2", version),
        ("GET / HTTP/2.0", version),
        ("GET / HTTP/0.9", version),
        ("CONNECT a:22 HTTP/1.1", Some(ProxyError::Method)),
    ] {
        assert_eq!(request(&format!("{line}\r\nHost: a\r\n\r\n")).1, expected, "{line}");
    }
    for line in [
        "GET /",
        "GET",
        "",
        "GET / http/1.1",
        "GET / HTTP/1.01",
        "GET / HTTP/1.1 ",
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET b:80 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a HTTP/1.1",
        "GET ?a HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET http:/a HTTP/1.1",
        "GET http:///a HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET /a#b HTTP/1.1",
        "GET /?a#b HTTP/1.1",
        "GET http://a#b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\"{} HTTP/1.1",
        "GET /a\\b HTTP/1.1",
        "GET /?a\tb HTTP/1.1",
        "GET /?a\u{7f}b HTTP/1.1",
        "GET / HTTP/1.1\r",
    ] {
        let (passed, fault) = request(&format!("{line}\r\nHost: a\r\n\r\n"));
        assert!(malformed(&fault) && passed.is_empty(), "{line:?}: {fault:?}");
    }
}

#[test]
fn sizes_are_judged_before_the_end_is_seen() {
    let long = "x".repeat(9000);
    for (octets, limit) in [
        (format!("GET /{long}"), Limit::Target),
        (long.clone(), Limit::Method),
        (format!("{}x / HTTP/1.1\r\n", "M".repeat(32)), Limit::Method),
        (format!("GET / HTTP/1.1\r\n{}", format!("X: {long}\r\n").repeat(4)), Limit::HeadSize),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(101)), Limit::Fields),
    ] {
        let (passed, fault) = pass(&mut requests(), octets.as_bytes(), 100);
        assert_eq!((passed.len(), fault), (0, Some(ProxyError::TooLarge(limit))));
    }
}

#[test]
fn broken_chunks() {
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let extension = "x".repeat(17_000);
    for body in [
        "0x3\r\n",
        "+3\r\n",
        "0_3\r\n",
        " 3\r\n",
        "3 \r\n",
        "-0\r\n",
        "\r\n",
        ";a\r\n",
        "11111111111111111\r\n",
        "3these\r\n",
        "3\nabc\r\n",
        "0\n\r\n",
        "3;a\nabc\r\n",
        "3;\u{1}\r\n",
        "2\r\r;a",
        "3\r\nabcXX",
        "3\r\nabc\n0\r\n",
        "0\r\nX: a\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\n X: a\r\n\r\n",
        "0\r\nX : a\r\n\r\n",
        "0\r\nX: a\rb\r\n\r\n",
        "0\r\n\rX\r\n",
        &format!("1;{extension}\r\n"),
        &format!("0\r\nX: {extension}\r\n\r\n"),
        &format!("0\r\n{}\r\n", "X: a\r\n".repeat(65)),
    ] {
        let (passed, fault) = request(&format!("{head}{body}"));
        assert!(matches!(fault, Some(ProxyError::Malformed(_))), "{body:.40}: {fault:?}");
        assert_eq!(passed, "", "{body:.40}: refused with its head when seen with it");
        let mut sieve = requests();
        assert_eq!(pass(&mut sieve, head.as_bytes(), usize::MAX), (head.as_bytes().to_vec(), None));
        assert!(pass(&mut sieve, body.as_bytes(), usize::MAX).1.is_some(), "{body:.40}");
    }
}

#[test]
fn nothing_follows_a_wish_for_an_upgrade_until_it_is_granted() {
    let ask = "GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
    let mut sieve = requests();
    let early = format!("{ask}\u{1}GET / HTTP/1.1\r\n\r\n");
    assert_eq!(pass(&mut sieve, early.as_bytes(), usize::MAX), (ask.into(), None));
    assert_eq!(pass(&mut sieve, b"more", 1), (Vec::new(), None));
    assert!(sieve.holds());
    sieve.open();
    assert_eq!(pass(&mut sieve, b"!", 1), (b"\x01GET / HTTP/1.1\r\n\r\nmore!".to_vec(), None));
    assert!(request(&ask.replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\n")).1.is_some());
    for not in ["Upgrade: h2c", "Upgrade: websocket2", "X: websocket"] {
        let octets = format!("{}GET / HTTP/1.1\r\n\r\n", ask.replace("Upgrade: WebSocket", not));
        assert_eq!(request(&octets), (octets, None));
    }
}

#[test]
fn stand_ins_say_what_can_be_said() {
    for (head, expected) in [
        ("", "GET / HTTP/1.1\r\n\r\n"),
        ("HEAD /a?b HTTP/1.0\nHost: a\nX: b\n\n", "HEAD /a HTTP/1.0\r\nHost: a\r\n\r\n"),
        (
            "G(T /\u{1} HTTP/1.1\r\nHost: \u{1}\r\nUser-Agent: x\r\nContent-Length: 5",
            "GET / HTTP/1.1\r\nUser-Agent: x\r\n\r\n",
        ),
        ("PRI * HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
        ("CONNECT a:22 HTTP/1.1\r\n\r\n", "connect / HTTP/1.1\r\n\r\n"),
    ] {
        let stand_in = stand_in(head.as_bytes());
        assert_eq!(std::str::from_utf8(&stand_in), Ok(expected));
        assert_eq!(pass(&mut requests(), &stand_in, usize::MAX).1, None, "{head:?}");
    }
}

/// What passes of a response, in one piece and octet by octet.
fn response(asked: Asked, octets: &str) -> (String, Option<Refused>) {
    let passed = |piece| {
        let line = Arc::<Line>::default();
        line.ask(asked);
        line.sent();
        let metrics = Arc::<WorkerMetrics>::default();
        let passed = pass(&mut Sieve::new(Responses::new(line, metrics, 64 * 1024)), octets.as_bytes(), piece);
        (String::from_utf8_lossy(&passed.0).into_owned(), passed.1)
    };
    let (whole, cut) = (passed(usize::MAX), passed(1));
    assert_eq!(whole.1, cut.1, "{octets:?}");
    whole
}

#[test]
fn responses_with_one_reading_pass() {
    for (asked, octets) in [
        (Asked::Plain, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (Asked::Plain, "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\n\r\n"),
        (Asked::Plain, "HTTP/1.0 200 \r\nX: \u{e9}\r\n\r\nwhatever\r\n\r\n\n"),
        (Asked::Plain, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        (Asked::Head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (Asked::Upgrade, "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n\u{0}\u{1}"),
    ] {
        assert_eq!(response(asked, octets), (octets.to_owned(), None));
    }
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(response(Asked::Plain, &format!("{interim}{last}")), (last.to_owned(), None));
}

#[test]
fn responses_with_two_readings_and_those_that_nobody_asked_for_do_not() {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (asked, passes, octets) in [
        (Asked::Nothing, "", last),
        (Asked::Plain, last, "HTTP"),
        (Asked::Plain, last, "\r\n"),
        (Asked::Head, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok"),
        (Asked::Plain, "HTTP/1.1 304 N\r\n\r\n", "ok"),
        (Asked::Plain, "", "\r\nHTTP/1.1 200 OK\r\n\r\n"),
        (Asked::Plain, "", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        (Asked::Plain, "", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (Asked::Plain, "", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        (Asked::Plain, "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok"),
        (Asked::Plain, "", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (Asked::Plain, "", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"),
        (Asked::Plain, "", "HTTP/1.1 999 X\r\n\r\n"),
        (Asked::Plain, "", "HTTP/1.1 099 X\r\n\r\n"),
        (Asked::Plain, "", "HTTP/1.1 20 X\r\n\r\n"),
        (Asked::Plain, "", "HTTP/1.1 2000 X\r\n\r\n"),
        (Asked::Plain, "", "HTTP/2.0 200 X\r\n\r\n"),
        (Asked::Plain, "", "HTTP/1.1 200 X\u{1}\r\n\r\n"),
        (Asked::Plain, "", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"),
        (Asked::Plain, "", &format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000))),
        (Asked::Plain, "", &format!("{}{last}", "HTTP/1.1 103 E\r\n\r\n".repeat(11))),
    ] {
        let (passed, fault) = response(asked, &format!("{passes}{octets}"));
        assert!(fault.is_some() && passed == passes, "{asked:?} {octets:.80}: {passed:?}");
    }
}

/// What hyper makes of octets: each request's line, and its body if that has come to its end.
fn read_by_hyper(octets: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let seeing = seen.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let seen = seeing.clone();
        async move {
            let (parts, body) = request.into_parts();
            seen.borrow_mut().push((format!("{} {}", parts.method, parts.uri), None));
            let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
            seen.borrow_mut().last_mut().expect("it has begun").1 = body;
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    let limits = Limits::default();
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.max_header_size(Requests::longest(&limits)).max_headers(limits.fields).header_read_timeout(None);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (near, mut far) = tokio::io::duplex(octets.len().max(1));
        far.write_all(octets).await.expect("room for all");
        let connection = builder.serve_connection(TokioIo::new(near), service);
        let mut answers = Vec::new();
        let mut served = std::pin::pin!(async { tokio::join!(connection, far.read_to_end(&mut answers)).0 });
        // Nothing here waits for anything but these octets: what is not done after some rounds never will be.
        for _ in 0..100 {
            if poll_fn(|cx| Poll::Ready(served.as_mut().poll(cx).is_ready())).await {
                break;
            }
        }
    });
    seen.take()
}

/// The octets that pass, one message each.
fn messages(octets: &[u8]) -> Vec<Vec<u8>> {
    let mut sieve = requests();
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for octet in octets {
        let (passed, fault) = pass(&mut sieve, &[*octet], 1);
        messages.resize(sieve.messages() as usize, Vec::new());
        if let Some(message) = messages.last_mut() {
            message.extend_from_slice(&passed);
        }
        if fault.is_some() {
            break;
        }
    }
    messages
}

/// A few requests behind each other, some of whose octets were replaced by what has confused servers before.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let good = prop::sample::select(vec![
        "GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
        "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n",
        "PUT /e HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n00a\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    ]);
    let odd = prop::sample::select(vec![
        "",
        "\r",
        "\n",
        "\r\n",
        "\r\n\r\n",
        " ",
        "\t",
        "\x0b",
        "\0",
        ":",
        ";",
        "#",
        "\"",
        "?",
        "0",
        "5",
        "a",
        "+",
        ",",
        "/",
        "\u{e9}",
        "chunked",
        ", chunked",
        "HTTP/1.0",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "http://",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "GET /f HTTP/1.1\r\nHost: b\r\n\r\n",
        "\r\n ",
    ]);
    let change = (any::<prop::sample::Index>(), 0..4_usize, odd);
    (prop::collection::vec(good, 1..4), prop::collection::vec(change, 0..4)).prop_map(|(good, changes)| {
        let mut octets = good.concat().into_bytes();
        for (at, cut, odd) in changes {
            let at = at.index(octets.len() + 1);
            let end = (at + cut).min(octets.len());
            octets.splice(at..end, odd.bytes());
        }
        octets
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Each message that passes is one request to hyper, alone as well as among the others, with the same body.
    #[test]
    fn hyper_reads_what_passes_as_the_same_messages(octets in mutated()) {
        let messages = messages(&octets);
        let mut alone = Vec::new();
        for message in &messages {
            let read = read_by_hyper(message);
            prop_assert_eq!(read.len(), 1, "{:?} is {:?}", String::from_utf8_lossy(message), read);
            alone.extend(read);
        }
        let together = read_by_hyper(&messages.concat());
        prop_assert_eq!(&together[..], &alone[..together.len().min(alone.len())]);
        if let Some(message) = messages.get(together.len().wrapping_sub(1)).filter(|_| together.len() < alone.len()) {
            prop_assert!(message.windows(4).any(|text| text == b"/1.0"), "hyper closed without a reason");
        }
    }

    /// However octets come, the same of them pass, and what ends them in one way ends them in every way.
    #[test]
    fn cutting_changes_nothing(octets in mutated(), piece in 1..60_usize) {
        let (one, cut) = (pass(&mut requests(), &octets, 1), pass(&mut requests(), &octets, piece));
        prop_assert_eq!(one.1.is_some(), cut.1.is_some(), "{:?}", String::from_utf8_lossy(&octets));
        prop_assert!(one.0.starts_with(&cut.0) && (one.1.is_some() || one.0 == cut.0));
    }

    /// What answers for a refused head is never refused itself.
    #[test]
    fn stand_ins_are_in_order(octets in mutated()) {
        let stand_in = stand_in(&octets);
        prop_assert_eq!(pass(&mut requests(), &stand_in, usize::MAX).1, None);
        prop_assert_eq!(read_by_hyper(&stand_in).len(), 1);
    }
}
