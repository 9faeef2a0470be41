//! Handshakes that stall, come in pieces, or speak of something else.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use portico_tests::certificate::Authority;
use portico_tests::client::{Pieces, Raw, Tls, leaf};
use portico_tests::frames::{END_HEADERS, END_STREAM, frame, hello, kind};
use portico_tests::recorder::{Log, Progress, Recorder};
use portico_tests::{Ingress, Service, secret, wait_until};
use rustix::net::{Shutdown, shutdown};
use tokio::time::sleep;

use super::test;
use crate::http2::block;
use crate::stage::{Stage, portico};

const GET: &str = "GET /aside/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

pub(crate) fn add(trials: &mut Vec<Trial>) {
    test(trials, "E05::hello_in_pieces", hello_in_pieces);
    test(trials, "E05::hello_beyond_all_bounds", hello_without_end);
    test(trials, "E13::handshakes_that_stall", stalled);
    test(trials, "E14::the_end_of_tls_is_missing", truncated);
    test(trials, "E16::other_protocols_than_agreed", confused);
}

/// Whole or cut, it is the same hello.
async fn hello_in_pieces() {
    let authority = Authority::default();
    let documents = [secret("a", &authority.issue(&["a.test"]))];
    let stage = Stage::shaped(portico(), |site| site.tls(&["a.test"], "a"), &documents).await;
    for pieces in [Pieces::Whole, Pieces::Records, Pieces::Segments, Pieces::Both] {
        for tls in [Tls::trusting(&authority), Tls::version_1_2(), Tls::version_1_3(), Tls::post_quantum_only()] {
            // The authority is trusted by the first one alone: a certificate for another name would fail it.
            let answer = tls.alpn(&["http/1.1"]).in_pieces(stage.portico.https(), "a.test", pieces, GET).await;
            let answer = answer.unwrap_or_else(|error| panic!("{pieces:?}: {error}"));
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("aside"), "{pieces:?}: {answer}");
        }
    }
}

/// A hello that announces 70,000 octets, and one that is none: closed, little kept, nobody harmed.
async fn hello_without_end() {
    let stage = Stage::start(&["--tls-handshake-timeout".to_owned(), "2s".to_owned()]).await;
    let before = stage.portico.resident_kib();
    let mut announced = vec![1, 1, 0x11, 0x70];
    announced.resize(16_000, 0);
    let record = |kind: u8, payload: &[u8]| {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 3, 1, length[0], length[1]], payload].concat()
    };
    let long = [record(22, &announced), record(22, &[0; 16_000]).repeat(4)].concat();
    for octets in [
        long,
        record(22, &[1, 0xff, 0xff, 0xff]),
        record(22, &[]).repeat(1000),
        record(23, b"hello"),
        record(21, &[2, 0]),
        vec![0x80; 20_000],
        vec![22, 3, 1, 0xff, 0xff],
        b"EHLO a.test\r\nSTARTTLS\r\n".to_vec(),
        GET.as_bytes().to_vec(),
        vec![22; 5],
    ] {
        let begun = Instant::now();
        let mut raw = Raw::connect(stage.portico.https()).await;
        raw.send(&octets).await;
        let answer = raw.rest().await;
        assert!(begun.elapsed() < Duration::from_secs(6), "open for {:?}: {:?}", begun.elapsed(), &octets[..5]);
        assert!(answer.len() < 100, "nothing but an alert comes back");
    }
    let grown = stage.portico.resident_kib().saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB");
    stage.is_well().await.unwrap();
}

/// 200 half handshakes and one in drops; the 10 s are 1 s here.
async fn stalled() {
    let stage = Stage::start(&["--tls-handshake-timeout".to_owned(), "1s".to_owned()]).await;
    let hello = Tls::accepting_any().hello("a.test").unwrap();
    let begun = Instant::now();
    let mut halves = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::connect(stage.portico.https()).await;
        raw.send(&hello[..hello.len() / 2]).await;
        halves.push((raw, Instant::now()));
    }
    let mut dripped = Raw::connect(stage.portico.https()).await;
    let drips = async {
        for octet in &hello[..20] {
            dripped.send([*octet]).await;
            sleep(Duration::from_millis(100)).await;
        }
        dripped.rest().await;
    };
    drips.await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    for (raw, since) in &mut halves {
        raw.rest().await;
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    }
    let tls = Tls::accepting_any().alpn(&["http/1.1"]);
    let answer = tls.in_pieces(stage.portico.https(), "a.test", Pieces::Whole, GET).await.unwrap();
    assert!(answer.ends_with("aside"), "{answer}");
    wait_until("no connections", async || {
        let active = stage.portico.metric("portico_connections_active", &[]).await;
        if active <= 1.0 { Ok(()) } else { Err(active.to_string()) }
    })
    .await;
}

/// A FIN within a body, without the end of TLS being said: the message is not whole.
async fn truncated() {
    let log = Log::default();
    let recorder = Recorder::start("web", &log).await;
    let documents =
        [Service::new("web").with(&[recorder.address]), Ingress::new("web").host("a.test", "web").to_string()];
    let portico = portico().manifests(documents).start().await;
    for (number, body) in
        ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"].iter().enumerate()
    {
        let tls = Tls::accepting_any().alpn(&["http/1.1"]);
        let mut raw = Raw::connect_tls(portico.https(), &tls, "a.test").await.unwrap();
        raw.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{body}")).await;
        wait_until("the head", async || if log.messages().len() > number { Ok(()) } else { Err("not yet") }).await;
        let stream = raw.into_stream();
        shutdown(stream.tcp(), Shutdown::Write).unwrap();
        wait_until("the end at the upstream", async || {
            let message = log.messages().pop().unwrap();
            if message.progress == Progress::Cut { Ok(()) } else { Err(format!("{message:?}")) }
        })
        .await;
    }
}

/// What was agreed on by ALPN is spoken, nothing else.
async fn confused() {
    let stage = Stage::start(&["--h2c".to_owned()]).await;
    let https = stage.portico.https();
    let mut raw = Raw::connect_tls(https, &Tls::accepting_any().alpn(&["h2"]), "a.test").await.unwrap();
    let answer = raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.rest().await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "{answer:?}");
    let head = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block(&[], true, ""));
    for tls in [Tls::accepting_any().alpn(&["http/1.1"]), Tls::accepting_any()] {
        let mut raw = Raw::connect_tls(https, &tls, "a.test").await.unwrap();
        let answer = raw.send([hello(&[]), head.clone()].concat()).await.answer().await;
        assert_eq!(answer.status, 400, "HTTP/2 is not guessed: {answer:?}");
        raw.closed().await;
    }
    for unknown in ["ftp", "imap", "h3", "spdy/3.1", "HTTP/1.1", "h2c"] {
        let connected = Raw::connect_tls(https, &Tls::accepting_any().alpn(&[unknown]), "a.test").await;
        assert!(connected.is_err(), "{unknown} was agreed on");
    }
    assert!(stage.log.messages().is_empty(), "nothing went on");
    stage.is_well().await.unwrap();
    // Without a proposal it is HTTP/1.
    let stream = Tls::accepting_any().connect(https, "a.test").await.unwrap();
    assert!(leaf(&stream).is_some());
    let answer = Raw::new(stream).send(GET).await.answer().await;
    assert_eq!(answer.text(), "aside", "{answer:?}");
}
