//! HTTP/1.1 and 1.0: framing, Host, Expect, pipelining, responses without a body, fields of one hop, fields about the
//! client.

use std::time::Duration;

use portico_dataplane::observe::metrics::Limit;

use crate::kit::{Ended, Origin, Proxy, eventually, status};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the endpoint gets for these octets from a client.
async fn forwarded(octets: &str) -> String {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say(octets).await;
    let (mut upstream, head) = origin.request().await;
    upstream.send(OK).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
    head
}

/// What the client gets for these octets from an endpoint.
async fn answered(octets: &str) -> String {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n").await;
    let (mut upstream, _) = origin.request().await;
    upstream.send(octets).await;
    client.head().await
}

#[tokio::test]
async fn requests_that_could_be_read_in_two_ways_reach_nobody() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /../a HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = proxy.say(format!("{request}GET /second HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let (answer, ended) = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{request:?}: {answer}");
        assert_eq!(ended, Ended::Closed, "{request:?}");
    }
    assert_eq!(proxy.counted(|worker| worker.pool_opened.get()), 0, "nothing was sent on");
}

#[tokio::test]
async fn limits_of_the_head_have_their_own_statuses() {
    let proxy = Proxy::start(&[Origin::new().await.address], |_| {}).await;
    let long = "x".repeat(9000);
    let many = "X: 1\r\n".repeat(101);
    let large = format!("X: {}\r\n", "x".repeat(8000)).repeat(5);
    for (request, expected) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{large}\r\n"), 431),
        (format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(40)), 400),
        ("CONNECT a:22 HTTP/1.1\r\nHost: a:22\r\n\r\n".to_owned(), 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        ("GET / HTTP/1.1\r\nHost: a\r\nPortico-Hops: 10\r\nConnection: close\r\n\r\n".to_owned(), 508),
    ] {
        let (answer, _) = proxy.say(&request).await.rest().await;
        assert_eq!(status(&answer), expected, "{}", &request[..40.min(request.len())]);
    }
    for (limit, count) in
        [(Limit::Target, 1), (Limit::Fields, 1), (Limit::HeadSize, 1), (Limit::Method, 1), (Limit::Hops, 1)]
    {
        eventually(limit.label(), || proxy.limit(limit) == count).await;
    }
}

#[tokio::test]
async fn only_the_expectation_100_continue_is_known() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    for expect in ["Expect: y 100-continue", "Expect: 100-continue\r\nExpect: x", "Expect: x\r\nExpect: 100-continue"] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{expect}\r\nContent-Length: 5\r\n\r\n");
        let (answer, _) = proxy.say(request).await.rest().await;
        assert_eq!(status(&answer), 417, "{expect}");
    }
    let mut client = proxy.say("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n", "once there is somebody to send it to");
    client.send("hello").await;
    let (mut upstream, head) = origin.request().await;
    assert!(!head.contains("expect"), "{head}");
    assert_eq!(upstream.octets(5).await, b"hello");
    upstream.send(OK).await;
    assert_eq!(status(&client.head().await), 200);
}

#[tokio::test]
async fn the_body_is_not_asked_for_when_nobody_would_get_it() {
    let proxy = Proxy::start(&[], |_| {}).await;
    let mut client = proxy.say("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!(status(&head), 503, "and no 100 before it: {head}");
    assert!(head.contains("connection: close\r\n") && head.contains("retry-after: 1\r\n"), "{head}");
}

#[tokio::test]
async fn an_unread_body_ends_the_connection_and_says_so() {
    let proxy = Proxy::start(&[], |_| {}).await;
    let mut client = proxy.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.contains("connection: close\r\n"), "{head}");
    client.send("GET /").await;
    let (rest, ended) = client.rest().await;
    assert!(!rest.contains("HTTP/1.1"), "{rest}");
    assert_eq!(ended, Ended::Closed);
    let mut client = proxy.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    assert!(!client.head().await.contains("connection: close\r\n"), "there was none to read");
}

#[tokio::test]
async fn http_1_0_clients_are_served() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").await;
    let (mut upstream, head) = origin.request().await;
    assert!(head.starts_with("GET / HTTP/1.1\r\n") && head.contains("host: echo.default\r\n"), "{head}");
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
    let (answer, ended) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"), "{answer}");
    assert!(!answer.contains("transfer-encoding") && ended == Ended::Closed, "{answer}");
}

#[tokio::test]
async fn http_1_0_connections_stay_open_when_asked_to_and_never_say_both() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.connect().await;
    let mut upstream = None;
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
        let mut wire = match upstream.take() {
            None => origin.accept().await,
            Some(wire) => wire,
        };
        wire.head().await;
        wire.send(OK).await;
        upstream = Some(wire);
        let head = client.head().await;
        assert!(head.contains("connection: keep-alive\r\n"), "{head}");
        client.octets(2).await;
    }
    client.send("TRACE / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    let (answer, ended) = client.rest().await;
    assert!(answer.contains("connection: close\r\n") && !answer.contains("keep-alive"), "{answer}");
    assert_eq!(ended, Ended::Closed);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_never_share_a_connection_at_once() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client =
        proxy.say("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/9\r\n\r\n").await;
    let (mut upstream, head) = origin.request().await;
    assert!(head.starts_with("GET /1 "), "{head}");
    assert!(upstream.silent(Duration::from_millis(50)).await, "the second waits for the first answer");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await;
    assert!(upstream.head().await.starts_with("GET /2 "));
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2").await;
    let (answers, ended) = client.rest().await;
    let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!((statuses, ended), (vec!["200", "200", "400"], Ended::Closed), "{answers}");
}

#[tokio::test]
async fn responses_without_a_body_leave_both_connections_in_step() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.connect().await;
    let mut upstream = None;
    for (method, answer, length) in [
        ("HEAD", "200 OK\r\nContent-Length: 1234", Some("content-length: 1234")),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked", None),
        ("GET", "204 No Content", None),
        ("GET", "304 Not Modified\r\nETag: \"x\"", None),
        ("DELETE", "204 No Content\r\nContent-Length: 0", None),
        ("GET", "200 OK\r\nContent-Length: 0", Some("content-length: 0")),
    ] {
        client.send(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let mut wire = match upstream.take() {
            None => origin.accept().await,
            Some(wire) => wire,
        };
        wire.head().await;
        wire.send(&format!("HTTP/1.1 {answer}\r\n\r\n")).await;
        upstream = Some(wire);
        let head = client.head().await;
        assert_eq!(status(&head).to_string(), answer[..3], "{method} {answer}: {head}");
        let found = head.split("\r\n").find(|field| field.starts_with("content-length"));
        assert_eq!(found, length, "{method} {answer}: {head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
    assert_eq!(proxy.counted(|worker| worker.pool_opened.get()), 1, "one connection did it all");
    client.send("HEAD /\r\n").await;
    drop(client);
}

#[tokio::test]
async fn our_own_answers_to_head_have_a_length_and_no_body() {
    let proxy = Proxy::start(&[], |_| {}).await;
    let mut client = proxy.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (first, second) = (client.head().await, client.head().await);
    assert_eq!((status(&first), status(&second)), (503, 503));
    let length = |head: &str| head.split("\r\n").find(|field| field.starts_with("content-length")).map(str::to_owned);
    assert_eq!(length(&first), length(&second));
    assert_ne!(length(&first).as_deref(), Some("content-length: 0"));
}

#[tokio::test]
async fn bodies_in_chunks_pass_both_ways_whatever_the_method() {
    for method in ["POST", "GET", "DELETE"] {
        let origin = Origin::new().await;
        let proxy = Proxy::start(&[origin.address], |_| {}).await;
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut client = proxy.say(request).await;
        client.send("5;ext=1\r\nhello\r\n").await;
        let (mut upstream, head) = origin.request().await;
        assert!(head.contains("transfer-encoding: chunked\r\n") && !head.contains("content-length"), "{head}");
        assert_eq!(upstream.until("hello\r\n").await, "5\r\nhello\r\n");
        client.send("1\r\n!\r\n0\r\nX-User: root\r\n\r\n").await;
        assert_eq!(upstream.until("0\r\n\r\n").await, "1\r\n!\r\n0\r\n\r\n");
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n").await;
        assert!(client.head().await.contains("transfer-encoding: chunked\r\n"));
        assert_eq!(client.until("abc\r\n").await, "3\r\nabc\r\n");
        upstream.send("0\r\nX-Trailer: 1\r\n\r\n").await;
        assert_eq!(client.until("\r\n\r\n").await, "0\r\n\r\n", "nobody asked for trailers");
    }
}

#[tokio::test]
async fn a_post_without_a_body_has_a_length() {
    let head = forwarded("POST / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.contains("content-length: 0\r\n"), "{head}");
    let head = forwarded("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!head.contains("content-length"), "{head}");
}

#[tokio::test]
async fn trailers_that_were_asked_for_pass_but_none_that_frames_or_routes() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n").await;
    let (mut upstream, head) = origin.request().await;
    assert!(head.contains("te: trailers\r\n"), "{head}");
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Content-Length\r\n\r\n").await;
    upstream.send("1\r\na\r\n0\r\nX-Sum: 7\r\nContent-Length: 5\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.until("\r\n\r\n").await, "1\r\na\r\n0\r\nx-sum: 7\r\n\r\n");
}

#[tokio::test]
async fn fields_of_one_hop_stay_there() {
    let head = forwarded(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine, X-Forwarded-For, Authorization\r\nX-Mine: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nTE: gzip, trailers\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: x\r\nAuthorization: mine\r\nX_Forwarded_For: 1.1.1.1\r\n\r\n",
    )
    .await;
    for gone in ["connection", "x-mine", "keep-alive", "proxy-", "upgrade", "http2-settings", "x_forwarded", "gzip"] {
        assert!(!head.contains(gone), "{gone}: {head}");
    }
    for kept in ["te: trailers\r\n", "authorization: mine\r\n", "x-forwarded-for: 127.0.0.1\r\n"] {
        assert!(head.contains(kept), "{kept}: {head}");
    }
    let head = answered(
        "HTTP/1.1 200 OK\r\nConnection: close, X-Mine, Set-Cookie\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
         Upgrade: h2c\r\nSet-Cookie: a=b\r\nServer: theirs\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    for gone in ["connection", "x-mine", "keep-alive", "upgrade"] {
        assert!(!head.contains(gone), "{gone}: {head}");
    }
    assert!(head.contains("set-cookie: a=b\r\n") && head.contains("server: theirs\r\n"), "{head}");
}

#[tokio::test]
async fn what_clients_say_of_themselves_is_not_believed() {
    let head = forwarded(
        "GET / HTTP/1.1\r\nHost: A.test:8080\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: b\r\nX-Forwarded-Prefix: /x\r\nX-Real-IP: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\n\
         X-Original-URL: /x\r\nX-Request-ID: mine\r\n\r\n",
    )
    .await;
    for wrong in ["1.1.1.1", "https", "/x", "mine", "x-forwarded-host: b"] {
        assert!(!head.contains(wrong), "{wrong}: {head}");
    }
    for right in [
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-proto: http\r\n",
        "x-forwarded-host: A.test:8080\r\n",
        "x-real-ip: 127.0.0.1\r\n",
        "portico-hops: 1\r\n",
        "x-request-id: ",
    ] {
        assert!(head.contains(right), "{right}: {head}");
    }
}

#[tokio::test]
async fn what_trusted_proxies_say_is_kept_and_added_to() {
    let origin = Origin::new().await;
    let trust = |config: &mut portico_dataplane::Config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    };
    let proxy = Proxy::start(&[origin.address], trust).await;
    let _client = proxy
        .say(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Real-IP: 1.1.1.1\r\nX-Request-ID: mine\r\n\r\n",
        )
        .await;
    let (_upstream, head) = origin.request().await;
    for kept in [
        "x-forwarded-for: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n",
        "x-forwarded-proto: https\r\n",
        "x-forwarded-host: b\r\n",
        "x-real-ip: 1.1.1.1\r\n",
        "x-request-id: mine\r\n",
    ] {
        assert!(head.contains(kept), "{kept}: {head}");
    }
}

#[tokio::test]
async fn answers_that_could_be_read_in_two_ways_reach_nobody() {
    for answer in [
        "200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "200 OK\r\nContent-Length: +2\r\n\r\nok",
        "200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
        "200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        "200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
    ] {
        let head = answered(&format!("HTTP/1.1 {answer}")).await;
        assert_eq!(status(&head), 502, "{answer:?}: {head}");
    }
}

#[tokio::test]
async fn octets_behind_an_answer_reach_nobody() {
    for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"] {
        let origin = Origin::new().await;
        let proxy = Proxy::start(&[origin.address], |_| {}).await;
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut client = proxy.say(request).await;
        let (mut upstream, _) = origin.request().await;
        upstream.send(&format!("{answer}okHTTP/1.1 200 OK\r\nX-Poison: 1\r\nContent-Length: 0\r\n\r\n")).await;
        client.head().await;
        client.send(request).await;
        let (mut second, _) = origin.request().await;
        second.send(OK).await;
        let head = client.head().await;
        assert!(!head.contains("poison"), "{head}");
    }
}

#[tokio::test]
async fn interim_answers_are_swallowed_and_counted() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], |_| {}).await;
    let mut client = proxy.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = origin.request().await;
    upstream.send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n").await;
    upstream.send(OK).await;
    assert_eq!(status(&client.head().await), 200);
    assert_eq!(proxy.counted(|worker| worker.interim_dropped.get()), 2);
}
