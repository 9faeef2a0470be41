//! HTTP/1 to the octet: what is refused, what is passed on, and that nothing can be smuggled in between.

use portico_tests::client::{Raw, RawAnswer};
use portico_tests::scripted::Scripted;
use portico_tests::{Echo, Portico, echo};
use serde_json::Value;

use crate::portico;
use crate::site::{one, simple, simple_with};

/// Sends bytes on a connection of their own and reads the first answer.
async fn raw(portico: &Portico, request: &str) -> (Raw, RawAnswer) {
    let mut raw = Raw::connect(portico.http()).await;
    let answer = raw.send(request).await.answer().await;
    (raw, answer)
}

fn seen(answer: &RawAnswer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

#[tokio::test]
async fn ambiguous_messages_are_400_and_reach_nobody() {
    let upstream = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let portico = portico().manifests(one(upstream.address)).start().await;
    let mut passed = Vec::new();
    for message in [
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1, 2\r\n\r\nxx",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0x1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: -1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\n: empty\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\n X: folded\r\nHost: a.test\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a.test\r\n\r\n",
        "GET / http/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/01.1\r\nHost: a.test\r\n\r\n",
        "GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "PRI * HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "NOT HTTP\r\n\r\n",
    ] {
        let (mut raw, answer) = raw(&portico, message).await;
        if !matches!(answer.status, 400 | 501 | 505) || answer.header("connection") != Some("close") {
            passed.push(format!("{message:?}: {}", answer.status));
            continue;
        }
        raw.closed().await;
    }
    assert!(passed.is_empty(), "{passed:#?}");
    assert_eq!(upstream.heads(), 0, "{:?}", upstream.received());
}

#[tokio::test]
async fn limits_of_the_head() {
    let (echo, portico) = simple().await;
    let fields = |count: usize| (0..count).map(|number| format!("X-{number}: x\r\n")).collect::<String>();
    for (status, request) in [
        (414, format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(8 * 1024))),
        (431, format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", fields(101))),
        (431, format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "x".repeat(32 * 1024))),
        (400, format!("{} / HTTP/1.1\r\nHost: a.test\r\n\r\n", "M".repeat(33))),
    ] {
        let (mut raw, answer) = raw(&portico, &request).await;
        assert_eq!(answer.status, status, "{}", &request[..40]);
        raw.closed().await;
    }
    assert_eq!(echo.requests(), 0);
    for request in [
        format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(8000)),
        format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", fields(90)),
        format!("{} / HTTP/1.1\r\nHost: a.test\r\n\r\n", "M".repeat(32)),
    ] {
        assert_eq!(raw(&portico, &request).await.1.status, 200, "{}", &request[..40]);
    }
}

#[tokio::test]
async fn body_limit_is_413_by_length_and_by_chunks() {
    let (_echo, portico) = simple_with(&["--max-body-size", "1Ki"]).await;
    let (_, answer) = raw(&portico, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1025\r\n\r\n").await;
    assert_eq!(answer.status, 413);
    let chunks = format!("401\r\n{}\r\n0\r\n\r\n", "x".repeat(1025));
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(raw(&portico, &format!("{head}{chunks}")).await.1.status, 413);
    let body = "x".repeat(1024);
    let (_, answer) =
        raw(&portico, &format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1024\r\n\r\n{body}")).await;
    assert_eq!((answer.status, &seen(&answer)["body_bytes"]), (200, &1024.into()), "{answer:?}");
}

#[tokio::test]
async fn options_asterisk_is_answered_here_and_connect_refused() {
    let (echo, portico) = simple().await;
    let (_, answer) = raw(&portico, "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let (_, answer) = raw(&portico, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").await;
    assert_eq!(answer.status, 405, "{answer:?}");
    assert_eq!(echo.requests(), 0);
}

#[tokio::test]
async fn bodies_pass_by_length_and_by_chunks() {
    let (_echo, portico) = simple().await;
    let text = "hello, upstream";
    let length = format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    let chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n7;x=y\r\nhello, \r\n8\r\nupstream\r\n0\r\n\r\n";
    for request in [length.as_str(), chunked] {
        let (_, answer) = raw(&portico, request).await;
        assert_eq!(seen(&answer)["body_sha256"], echo::sha256(text.as_bytes()), "{request}");
    }
}

#[tokio::test]
async fn responses_of_unknown_length_are_chunked_or_closed() {
    let (_echo, portico) = simple().await;
    let knobs = "X-Echo-Size: 100000\r\nX-Echo-Chunked: 1\r\n";
    let (mut connection, answer) = raw(&portico, &format!("GET / HTTP/1.1\r\nHost: a.test\r\n{knobs}\r\n")).await;
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "{:?}", answer.headers);
    assert_eq!(answer.body.len(), 100_000);
    // The connection is good for more.
    let answer = connection.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.answer().await;
    assert_eq!(answer.status, 200);
    let (mut connection, answer) = raw(&portico, &format!("GET / HTTP/1.0\r\nHost: a.test\r\n{knobs}\r\n")).await;
    assert_eq!((answer.header("transfer-encoding"), answer.body.len()), (None, 100_000), "{:?}", answer.headers);
    connection.closed().await;
}

#[tokio::test]
async fn http_1_0_closes_unless_asked_to_stay() {
    let (_echo, portico) = simple().await;
    let (mut connection, answer) = raw(&portico, "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    connection.closed().await;
    let asked = "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n";
    let (mut connection, answer) = raw(&portico, asked).await;
    assert!(answer.header("connection").is_some_and(|it| it.eq_ignore_ascii_case("keep-alive")), "{answer:?}");
    assert_eq!(connection.send(asked).await.answer().await.status, 200);
}

#[tokio::test]
async fn connection_close_is_honoured() {
    let (_echo, portico) = simple().await;
    let (mut raw, answer) = raw(&portico, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    raw.closed().await;
}

#[tokio::test]
async fn head_204_and_304_have_no_body() {
    let (_echo, portico) = simple().await;
    let mut raw = Raw::connect(portico.http()).await;
    let answer = raw.send("HEAD / HTTP/1.1\r\nHost: a.test\r\nX-Echo-Size: 1234\r\n\r\n").await.answer_head().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for status in ["204", "304"] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Echo-Status: {status}\r\nX-Echo-Size: 0\r\n\r\n");
        let answer = raw.send(request).await.answer_head().await;
        assert_eq!(answer.status.to_string(), status, "{answer:?}");
    }
    // Had any of them sent a body, this answer would not be one.
    let answer = raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.answer().await;
    assert_eq!((answer.status, &seen(&answer)["method"]), (200, &"GET".into()), "{answer:?}");
}

#[tokio::test]
async fn a_heads_content_length_is_kept() {
    let upstream = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 4321\r\n\r\n").await;
    let portico = portico().manifests(one(upstream.address)).start().await;
    let mut raw = Raw::connect(portico.http()).await;
    for _ in 0..2 {
        let answer = raw.send("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.answer_head().await;
        assert_eq!(answer.header("content-length"), Some("4321"), "{answer:?}");
    }
}

#[tokio::test]
async fn expect_100_continue() {
    let (echo, portico) = simple().await;
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let mut raw = Raw::connect(portico.http()).await;
    let interim = raw.send(head).await.answer_head().await;
    assert_eq!(interim.status, 100, "{interim:?}");
    let answer = raw.send("hello").await.answer().await;
    assert_eq!((answer.status, &seen(&answer)["body_bytes"]), (200, &5.into()), "{answer:?}");
    // Nobody is asked to send a body that nobody will take.
    let refused = head.replace("a.test", "nobody.test");
    let mut raw = Raw::connect(portico.http()).await;
    assert_eq!(raw.send(refused).await.answer_head().await.status, 404);
    let (_, answer) =
        self::raw(&portico, "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 200-ok\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(answer.status, 417, "{answer:?}");
    assert_eq!(echo.requests(), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_echo, portico) = simple().await;
    let mut raw = Raw::connect(portico.http()).await;
    let requests: String = (0..20).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a.test\r\n\r\n")).collect();
    raw.send(requests).await;
    for number in 0..20 {
        assert_eq!(seen(&raw.answer().await)["path"], format!("/{number}"));
    }
}

#[tokio::test]
async fn heads_may_come_octet_by_octet() {
    let (_echo, portico) = simple().await;
    let mut raw = Raw::connect(portico.http()).await;
    for octet in b"POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc" {
        raw.send([*octet]).await;
    }
    assert_eq!(seen(&raw.answer().await)["body_bytes"], 3);
}

#[tokio::test]
async fn responses_that_lie_about_their_framing_never_end_cleanly() {
    for (name, response) in [
        ("short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        ("unfinished", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        ("broken", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    ] {
        let upstream = Scripted::answering_once(response).await;
        let portico = portico().manifests(one(upstream.address)).start().await;
        let mut raw = Raw::connect(portico.http()).await;
        raw.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n").await;
        let text = String::from_utf8_lossy(&raw.rest().await).into_owned();
        let whole = text.contains("half") && (text.ends_with("0\r\n\r\n") || text.contains("Content-Length: 4\r\n"));
        assert!(!whole, "{name} must not look whole: {text}");
    }
}

#[tokio::test]
async fn ambiguous_responses_are_502_and_their_connection_is_not_used_again() {
    let mut passed = Vec::new();
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 99 Odd\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let upstream = Scripted::answering(response).await;
        let portico = portico().manifests(one(upstream.address)).start().await;
        for round in 1..=2 {
            let (_, answer) = raw(&portico, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n").await;
            let connections = upstream.received().len();
            if answer.status != 502 || connections != round {
                passed.push(format!("{response:?}: {} on connection {connections} of {round}", answer.status));
            }
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
}

/// Octets after a response are nobody's answer: the next client must never see them.
#[tokio::test]
async fn octets_after_a_response_poison_nobody() {
    let upstream = Scripted::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    )
    .await;
    let portico = portico().manifests(one(upstream.address)).start().await;
    for _ in 0..5 {
        let (_, answer) = raw(&portico, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert_ne!(answer.text(), "evil");
        assert!(answer.text() == "ok" || answer.status == 502, "{answer:?}");
    }
}

#[tokio::test]
async fn interim_responses_are_not_taken_for_the_answer() {
    let upstream = Scripted::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let portico = portico().manifests(one(upstream.address)).start().await;
    let (_, answer) = raw(&portico, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{answer:?}");
}

#[tokio::test]
async fn trailers_pass_both_ways_when_wanted() {
    let echo = Echo::start("web").await;
    let portico = portico().manifests(one(echo.address)).start().await;
    let request = "POST / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\
                   X-Echo-Trailer: x-end: yes\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nHost: evil.test\r\n\r\n";
    let (_, answer) = raw(&portico, request).await;
    assert_eq!(answer.trailers, [("x-end".to_owned(), "yes".to_owned())], "{answer:?}");
    let trailers = seen(&answer)["trailers"].to_string();
    assert!(!trailers.contains("evil"), "{trailers}");
}
