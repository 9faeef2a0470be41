//! Clients that take their time. The product's timers are shortened by its flags, ten to sixty times; what must come is
//! waited for, and must not come before its time nor long after.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use portico_tests::client::{Raw, RawAnswer, Tls};
use portico_tests::recorder::Progress;
use portico_tests::{Echo, Ingress, Service, wait_until};
use tokio::time::sleep;

use super::test;
use crate::stage::{Stage, portico};

/// The shortened time of every timer here.
const TIME: Duration = Duration::from_secs(1);
/// How much later the end may be seen; a machine with other work is no failure.
const LATE: Duration = Duration::from_secs(4);

pub(crate) fn add(trials: &mut Vec<Trial>) {
    test(trials, "F01::connect_and_say_nothing", || silent(false));
    test(trials, "F01::say_nothing_behind_the_handshake", || silent(true));
    test(trials, "F02::head_in_drops", slow_head);
    test(trials, "F03::body_in_drops", || slow_body("Content-Length: 1000\r\n", "x"));
    test(trials, "F03::chunks_in_drops", || slow_body("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n"));
    test(trials, "F04::client_that_never_reads", never_reads);
}

fn in_time(begun: Instant, what: &str) {
    let elapsed = begun.elapsed();
    assert!(elapsed >= TIME - Duration::from_millis(50), "{what} ended after {elapsed:?}, before its time");
    assert!(elapsed < TIME + LATE, "{what} ended only after {elapsed:?}");
}

/// 400 connections that say nothing: each ends in its time, and nobody else waits for it. The default is 10 s.
async fn silent(handshake: bool) {
    let stage = Stage::start(&["--first-byte-timeout".to_owned(), "1s".to_owned()]).await;
    let count = if handshake { 50 } else { 400 };
    let begun = Instant::now();
    let mut open = Vec::new();
    for _ in 0..count {
        let last = Instant::now();
        let raw = if handshake {
            let tls = Tls::accepting_any().alpn(&["h2", "http/1.1"]);
            Raw::connect_tls(stage.portico.https(), &tls, "a.test").await.unwrap()
        } else {
            Raw::connect(stage.portico.http()).await
        };
        open.push((raw, last));
    }
    stage.is_well().await.unwrap();
    for (raw, since) in &mut open {
        raw.rest().await;
        assert!(since.elapsed() < TIME + LATE + begun.elapsed() / 2, "open for {:?}", since.elapsed());
    }
    assert!(begun.elapsed() >= TIME, "they had their time");
    wait_until("no connections", async || {
        let active = stage.portico.metric("portico_connections_active", &[]).await;
        if active <= 1.0 { Ok(()) } else { Err(active.to_string()) }
    })
    .await;
}

/// Sends `drop` again and again, faster than any silence would be noticed, until the answer comes.
async fn dripped(raw: Raw, drop: &'static str) -> RawAnswer {
    let (mut reader, mut writer) = tokio::io::split(raw.into_stream());
    let writing = async move {
        loop {
            if tokio::io::AsyncWriteExt::write_all(&mut writer, drop.as_bytes()).await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep(TIME / 10).await;
        }
    };
    let mut octets = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut octets);
    tokio::select! {
        never = writing => never,
        // However it ends, what came is what counts.
        _ = reading => {}
    }
    let text = String::from_utf8_lossy(&octets).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    RawAnswer { status, line: text, ..RawAnswer::default() }
}

/// A field a while. The default is 10 s for the whole head.
async fn slow_head() {
    let stage = Stage::start(&["--request-head-timeout".to_owned(), "1s".to_owned()]).await;
    for before in ["", "GET /aside/ HTTP/1.1\r\nHost: a.test\r\n\r\n"] {
        let mut raw = Raw::connect(stage.portico.http()).await;
        if !before.is_empty() {
            raw.send(before).await.answer().await;
        }
        let begun = Instant::now();
        raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n").await;
        let answer = dripped(raw, "X: 1\r\n").await;
        assert_eq!(answer.status, 408, "{answer:?}");
        assert!(answer.line.contains("connection: close"), "{answer:?}");
        in_time(begun, "the head");
    }
    assert!(stage.log.messages().is_empty(), "nothing went on");
    stage.is_well().await.unwrap();
}

/// 10 octets a second where 500 are asked for; the grace of 10 s is 1 s.
async fn slow_body(framing: &'static str, drop: &'static str) {
    let stage = Stage::start(&["--request-body-grace".to_owned(), "1s".to_owned()]).await;
    let mut raw = Raw::connect(stage.portico.http()).await;
    let begun = Instant::now();
    raw.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n")).await;
    let answer = dripped(raw, drop).await;
    assert_eq!(answer.status, 408, "{answer:?}");
    in_time(begun, "the body");
    stage
        .messages("the upstream's end", |messages| messages.iter().all(|message| message.progress == Progress::Cut))
        .await;
    stage.is_well().await.unwrap();
}

/// Bodies that nobody takes: the upstream is held back, little is kept, the end comes in its time. The default is 60 s.
async fn never_reads() {
    let echo = Echo::start("big").await;
    let documents =
        [Service::new("big").with(&[echo.address]), Ingress::new("big").host("big.test", "big").to_string()];
    let stage = Stage::with(portico().args(&["--write-timeout", "1s"]), &documents).await;
    let before = stage.portico.resident_kib();
    let mut clients = Vec::new();
    let begun = Instant::now();
    for _ in 0..20 {
        let mut raw = Raw::connect(stage.portico.http()).await;
        raw.send("GET / HTTP/1.1\r\nHost: big.test\r\nX-Echo-Size: 100000000\r\n\r\n").await;
        clients.push(raw);
    }
    wait_until("20 answers under way", async || match echo.requests() {
        20 => Ok(()),
        other => Err(format!("{other} are")),
    })
    .await;
    stage.is_well().await.unwrap();
    let grown = stage.portico.resident_kib().saturating_sub(before);
    // 64 KiB in each of four buffers on the way, what shares their memory, and the connections themselves.
    assert!(grown < 20 * 512, "{grown} KiB for 20 answers");
    wait_until("the end of all", async || match echo.seen.open.load(Ordering::SeqCst) {
        0 => Ok(()),
        left => Err(format!("{left} go on")),
    })
    .await;
    assert!(begun.elapsed() >= TIME, "they had their time");
    // What the kernel keeps on both sides is a few MB each; without back-pressure it would be 100.
    let sent = echo.seen.sent.load(Ordering::SeqCst) / 20;
    assert!(sent < 30_000_000, "the upstream sent {sent} octets each");
    stage.is_well().await.unwrap();
}
