//! HTTP/2 from clients: what is taken, what is refused, trailers, resets, flow control.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use portico_dataplane::Config;
use portico_dataplane::observe::metrics::Limit;
use portico_shared::ir::Protocol;

use crate::kit::h2::{ask, read, request};
use crate::kit::{Origin, Proxy, eventually, soon, status, table_of};

fn h2c(config: &mut Config) {
    config.bindings[0].h2c = true;
}

/// In front of an endpoint that speaks HTTP/2, too.
async fn end_to_end(origin: &Origin) -> Proxy {
    Proxy::with(table_of(&[origin.address], |upstream, _| upstream.protocol = Protocol::H2c), h2c).await
}

#[tokio::test]
async fn prior_knowledge_is_taken_where_the_binding_says_so() {
    let proxy = Proxy::start(&[], h2c).await;
    let head = ask(&proxy.h2().await, request(Method::GET)).await.expect("an answer");
    assert_eq!((head.status(), head.version()), (StatusCode::SERVICE_UNAVAILABLE, Version::HTTP_2));
    assert_eq!(status(&proxy.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.head().await), 503, "HTTP/1 as well");
    assert_eq!(status(&proxy.say("PRI * HTTP/1.1\r\nHost: a\r\n\r\n").await.head().await), 400);
    let proxy = Proxy::start(&[], |_| {}).await;
    let (answer, _) = proxy.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.rest().await;
    assert!(!answer.contains("503"), "{answer}");
}

#[tokio::test]
async fn heads_are_checked_as_on_http_1() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], h2c).await;
    let client = proxy.h2().await;
    let build = |method: &str, uri: &str| Request::builder().method(method).uri(uri);
    for (request, expected) in [
        (build("GET", "https://a/"), 400),
        (build("GET", "http://a/").header("host", "b"), 400),
        (build("GET", "http://a/../b"), 400),
        (build("GET", "http://u@a/"), 400),
        (build("GET", "http://a,b/"), 400),
        (build("GET", "http://a:99999/"), 400),
        (build("GET", "http://a/b\\c"), 400),
        (build("GET", "http://a/..;/b"), 400),
        (build("GET", "http://a/").header("x", " a"), 400),
        (build("GET", "http://a/").header("x", "a\t"), 400),
        (build("CONNECT", "a:22"), 405),
        (build("TRACE", "http://a/"), 405),
        (build("GET", "http://a/").header("portico-hops", "10"), 508),
        (build("GET", "http://a/").header("expect", "x"), 417),
    ] {
        let request = request.body(()).expect("a request");
        let text = format!("{request:?}");
        let head = ask(&client, request).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(head.status().as_u16(), expected, "{text}");
        read(head.into_body()).await.expect("a whole answer");
    }
    assert_eq!(proxy.counted(|worker| worker.pool_opened.get()), 0);
}

#[tokio::test]
async fn answers_to_head_have_no_octets() {
    let proxy = Proxy::start(&[], h2c).await;
    let head = ask(&proxy.h2().await, request(Method::HEAD)).await.expect("an answer");
    assert_eq!(head.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_ne!(head.headers()["content-length"], "0");
    assert!(head.body().is_end_stream());
}

#[tokio::test]
async fn requests_become_http_1_for_endpoints_that_speak_it() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], h2c).await;
    let client = proxy.h2().await;
    let asked = Request::builder()
        .uri("http://A.test:81/x?y")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .header("expect", "100-continue");
    let answer = ask(&client, asked.body(()).expect("a request"));
    let (upstream, answer) = tokio::join!(
        async {
            let (mut upstream, head) = origin.request().await;
            for field in ["GET /x?y HTTP/1.1\r\n", "host: A.test:81\r\n", "cookie: a=1; b=2\r\n", "te: trailers\r\n"] {
                assert!(head.contains(field), "{field}: {head}");
            }
            assert!(!head.contains("expect"), "{head}");
            upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n").await;
            upstream.send("2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Forwarded-For: b\r\n\r\n").await;
            upstream
        },
        answer
    );
    let head = answer.expect("an answer");
    assert!(!head.headers().contains_key("transfer-encoding"));
    let (body, trailers) = read(head.into_body()).await.expect("a whole body");
    assert_eq!(body, b"ok");
    let trailers = trailers.expect("trailers");
    assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &HeaderValue::from_static("7")));
    drop(upstream);
}

#[tokio::test]
async fn bodies_without_a_length_reach_http_1_endpoints_in_chunks() {
    for method in [Method::GET, Method::POST] {
        let origin = Origin::new().await;
        let proxy = Proxy::start(&[origin.address], h2c).await;
        let mut client = proxy.h2().await;
        let (answer, mut body) = client.send_request(request(method), false).expect("sent");
        body.send_data("hello".into(), true).expect("sent");
        let (mut upstream, head) = origin.request().await;
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        assert_eq!(upstream.until("0\r\n\r\n").await, "5\r\nhello\r\n0\r\n\r\n");
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(soon(answer).await.expect("an answer").status(), StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn grpc_passes_with_trailers_both_ways() {
    let origin = Origin::new().await;
    let proxy = end_to_end(&origin).await;
    let mut client = proxy.h2().await;
    let asked = Request::post("http://a/pkg.Service/Call").header("content-type", "application/grpc");
    let asked = asked.header("te", "trailers").body(()).expect("a request");
    let (answer, mut body) = client.send_request(asked, false).expect("sent");
    body.send_data("ping".into(), false).expect("sent");
    let mut upstream = origin.h2().await;
    let mut call = upstream.call().await;
    assert_eq!(call.request.uri(), "http://a/pkg.Service/Call");
    assert_eq!(call.request.headers()["te"], "trailers");
    let data = soon(call.request.body_mut().data()).await.expect("data").expect("good data");
    assert_eq!(data, "ping", "before the request has ended");
    let mut sending = call.respond.send_response(http::Response::new(()), false).expect("sent");
    sending.send_data("pong".into(), false).expect("sent");
    let mut head = soon(answer).await.expect("an answer");
    let data = soon(head.body_mut().data()).await.expect("data").expect("good data");
    assert_eq!(data, "pong", "before either has ended");
    let of =
        |name: &'static str| HeaderMap::from_iter([(name.parse().expect("a name"), HeaderValue::from_static("0"))]);
    body.send_trailers(of("x-request-trailer")).expect("sent");
    let (rest, trailers) = read(call.request.into_body()).await.expect("a whole body");
    assert_eq!((rest.len(), trailers), (0, Some(of("x-request-trailer"))));
    sending.send_trailers(of("grpc-status")).expect("sent");
    assert_eq!(read(head.into_body()).await.expect("a whole body").1, Some(of("grpc-status")));
}

#[tokio::test]
async fn grpc_callers_get_our_errors_in_their_own_form() {
    for (endpoints, path, code) in [(true, "/x", "4"), (false, "/x", "14")] {
        let origin = Origin::new().await;
        let endpoints = if endpoints { vec![origin.address] } else { Vec::new() };
        let table = table_of(&endpoints, |_, policies| policies.request_timeout = Some(Duration::from_millis(100)));
        let proxy = Proxy::with(table, h2c).await;
        let asked = Request::post(format!("http://a{path}")).header("content-type", "application/grpc+proto");
        let head = ask(&proxy.h2().await, asked.body(()).expect("a request")).await.expect("an answer");
        assert_eq!((head.status(), &head.headers()["grpc-status"]), (StatusCode::OK, &HeaderValue::from_static(code)));
        assert!(head.body().is_end_stream(), "trailers only");
    }
}

#[tokio::test]
async fn a_reset_cancels_the_request_upstream() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], h2c).await;
    let mut client = proxy.h2().await;
    let (answer, mut stream) = client.send_request(request(Method::GET), true).expect("sent");
    let (mut upstream, _) = origin.request().await;
    stream.send_reset(Reason::CANCEL);
    assert_eq!(upstream.rest().await.0, "", "closed");
    assert!(soon(answer).await.is_err());
    eventually("over", || proxy.counted(|worker| worker.requests_in_flight.get()) == 0).await;

    let origin = Origin::new().await;
    let proxy = end_to_end(&origin).await;
    let mut client = proxy.h2().await;
    let (_answer, mut stream) = client.send_request(request(Method::POST), false).expect("sent");
    let mut upstream = origin.h2().await;
    let mut call = upstream.call().await;
    stream.send_reset(Reason::CANCEL);
    let reset = soon(futures_util::future::poll_fn(|cx| call.respond.poll_reset(cx))).await;
    assert_eq!(reset.expect("a reset"), Reason::CANCEL);
    let answer = tokio::spawn(ask(&client, request(Method::GET)));
    upstream.call().await.answer("next");
    assert_eq!(answer.await.expect("no panic").expect("an answer").status(), StatusCode::OK, "on the same connection");
}

#[tokio::test]
async fn an_upload_that_breaks_off_never_ends_cleanly() {
    for (reason, answered) in [(Reason::NO_ERROR, false), (Reason::NO_ERROR, true), (Reason::CANCEL, false)] {
        let origin = Origin::new().await;
        let proxy = Proxy::start(&[origin.address], h2c).await;
        let mut client = proxy.h2().await;
        let (answer, mut stream) = client.send_request(request(Method::POST), false).expect("sent");
        stream.send_data("part".into(), false).expect("sent");
        let (mut upstream, _) = origin.request().await;
        assert_eq!(upstream.until("part\r\n").await, "4\r\npart\r\n");
        if answered {
            upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            soon(answer).await.expect("an answer");
        }
        stream.send_reset(reason);
        let (rest, _) = upstream.rest().await;
        assert_eq!(rest, "", "{reason} {answered}: no last chunk");

        let origin = Origin::new().await;
        let proxy = end_to_end(&origin).await;
        let mut client = proxy.h2().await;
        let (_answer, mut stream) = client.send_request(request(Method::POST), false).expect("sent");
        stream.send_data("part".into(), false).expect("sent");
        let mut upstream = origin.h2().await;
        let call = upstream.call().await;
        stream.send_reset(reason);
        assert!(read(call.request.into_body()).await.is_err(), "{reason}");
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_never_ends_cleanly() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], h2c).await;
    for framing in ["Content-Length: 10\r\n\r\npart", "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"] {
        let answer = ask(&proxy.h2().await, request(Method::GET));
        let ((), answer) = tokio::join!(
            async {
                let (mut upstream, _) = origin.request().await;
                upstream.send(&format!("HTTP/1.1 200 OK\r\n{framing}")).await;
            },
            answer
        );
        assert!(read(answer.expect("a head").into_body()).await.is_err(), "{framing}");
    }
    for (length, reason) in [(None, Reason::INTERNAL_ERROR), (Some("10"), Reason::NO_ERROR)] {
        let origin = Origin::new().await;
        let proxy = end_to_end(&origin).await;
        let mut client = proxy.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut upstream = origin.h2().await;
        let mut call = upstream.call().await;
        let mut head = http::Response::new(());
        if let Some(length) = length {
            head.headers_mut().insert("content-length", HeaderValue::from_static(length));
        }
        let mut stream = call.respond.send_response(head, false).expect("sent");
        stream.send_data("part".into(), false).expect("sent");
        client.head().await;
        client.until("part").await;
        stream.send_reset(reason);
        let (rest, ended) = client.rest().await;
        assert!(!rest.contains('0'), "{reason}: no last chunk: {rest:?} {ended:?}");
    }
}

#[tokio::test]
async fn an_endpoint_may_answer_early_and_reset_the_rest() {
    let origin = Origin::new().await;
    let proxy = end_to_end(&origin).await;
    let mut client = proxy.h2().await;
    let (answer, mut stream) = client.send_request(request(Method::POST), false).expect("sent");
    stream.send_data("part".into(), false).expect("sent");
    let mut upstream = origin.h2().await;
    let mut call = upstream.call().await;
    let mut sending = call.respond.send_response(http::Response::new(()), false).expect("sent");
    sending.send_data("enough".into(), true).expect("sent");
    let head = soon(answer).await.expect("an answer");
    sending.send_reset(Reason::NO_ERROR);
    assert_eq!(read(head.into_body()).await.expect("whole").0, b"enough");
    drop(stream);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_reset_and_the_connection_lives_on() {
    let origin = Origin::new().await;
    let stall = Duration::from_millis(300);
    let proxy = Proxy::start(&[origin.address], |config| {
        h2c(config);
        config.timers.write_stall = stall;
    })
    .await;
    let mut closed = h2::client::Builder::new();
    closed.initial_window_size(10);
    let client = proxy.h2_with(&closed).await;
    let begun = std::time::Instant::now();
    let answer = ask(&client, request(Method::GET));
    let (mut upstream, answer) = tokio::join!(
        async {
            let (mut upstream, _) = origin.request().await;
            upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(50_000))).await;
            upstream
        },
        answer
    );
    let mut body = answer.expect("a head").into_body();
    let mut octets = 0;
    let error = loop {
        match soon(body.data()).await.expect("no end") {
            Ok(data) => octets += data.len(),
            Err(error) => break error,
        }
    };
    assert_eq!((octets, error.reason()), (10, Some(Reason::CANCEL)));
    assert!(begun.elapsed() >= stall, "{:?}", begun.elapsed());
    upstream.rest().await;
    eventually("counted", || proxy.limit(Limit::WriteStall) == 1).await;
    eventually("over", || proxy.counted(|worker| worker.requests_in_flight.get()) == 0).await;
    let answer = ask(&client, request(Method::GET));
    let ((), answer) = tokio::join!(
        async {
            let (mut upstream, _) = origin.request().await;
            upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        },
        answer
    );
    assert_eq!(read(answer.expect("a head").into_body()).await.expect("whole").0, b"ok");
}

#[tokio::test]
async fn a_stream_that_is_read_slowly_is_left_alone() {
    let origin = Origin::new().await;
    let stall = Duration::from_millis(400);
    let proxy = Proxy::start(&[origin.address], |config| {
        h2c(config);
        config.timers.write_stall = stall;
    })
    .await;
    let mut narrow = h2::client::Builder::new();
    narrow.initial_window_size(4096);
    let client = proxy.h2_with(&narrow).await;
    let answer = ask(&client, request(Method::GET));
    let (_upstream, answer) = tokio::join!(
        async {
            let (mut upstream, _) = origin.request().await;
            upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: 40960\r\n\r\n{}", "x".repeat(40_960))).await;
            upstream
        },
        answer
    );
    let mut body = answer.expect("a head").into_body();
    let mut octets = 0;
    while let Some(data) = soon(body.data()).await {
        let data: Bytes = data.expect("not reset");
        octets += data.len();
        tokio::time::sleep(Duration::from_micros(12 * data.len() as u64)).await;
        body.flow_control().release_capacity(data.len()).expect("capacity");
    }
    assert_eq!(octets, 40_960);
}

#[tokio::test]
async fn draining_says_goaway_and_finishes_what_is_in_flight() {
    let origin = Origin::new().await;
    let proxy = Proxy::start(&[origin.address], h2c).await;
    let client = proxy.h2().await;
    let answer = tokio::spawn(ask(&client, request(Method::GET)));
    let (mut upstream, _) = origin.request().await;
    let drained = tokio::spawn(proxy.running.drain());
    let refused = async {
        loop {
            match client.clone().ready().await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    };
    assert!(soon(refused).await.is_go_away());
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let head = answer.await.expect("no panic").expect("an answer");
    assert_eq!(read(head.into_body()).await.expect("whole").0, b"ok");
    assert_eq!(soon(drained).await.expect("no panic"), 0);
}
