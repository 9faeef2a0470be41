//! Floods of HTTP/2 frames: cheap to send, so they must be cheap to take, and end.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use portico_tests::client::Raw;
use portico_tests::frames::{END_HEADERS, END_STREAM, Frames, frame, hello, kind};
use portico_tests::recorder::{Script, When};
use portico_tests::{Echo, Ingress, PATIENCE, Portico, Service, wait_until};
use tokio::io::AsyncWriteExt as _;

use super::test;
use crate::http2::{block, connect};
use crate::stage::{ASIDE, Stage, portico};

/// Longest answer to another client while a flood lasts; on a machine with other work, unoptimised.
const OTHERS: Duration = Duration::from_secs(2);

pub(crate) fn add(trials: &mut Vec<Trial>) {
    test(trials, "D01::rapid_reset", || resets(false));
    test(trials, "D02::resets_that_the_client_provokes", || resets(true));
    test(trials, "D04::crumbs_on_streams_that_stay", crumbs);
    test(trials, "D06::data_octet_by_octet", single_octets);
    for (name, flood) in [
        ("D07::pings_that_nobody_reads_answers_to", frame(kind::PING, 0, 0, b"12345678")),
        ("D07::settings_that_nobody_reads_answers_to", frame(kind::SETTINGS, 0, 0, &[])),
        ("D08::priorities", frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("D08::frames_of_an_unknown_type", frame(0xbe, 0, 0, b"x")),
        ("D08::frames_of_an_unknown_type_without_payload", frame(0xbf, 0, 0, &[])),
    ] {
        test(trials, name, || cheap_frames(flood));
    }
    test(trials, "D09::window_that_stays_shut", shut_window);
}

async fn stage(flags: &[&str]) -> Stage {
    let mut flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    flags.push("--h2c".to_owned());
    Stage::start(&flags).await
}

/// Asks for something as another client until `flood` is over; panics when an answer takes too long.
async fn beside<T>(portico: &Portico, flood: impl Future<Output = T>) -> T {
    let others = async {
        loop {
            let begun = Instant::now();
            let answer = Raw::connect(portico.http()).await.send(ASIDE).await.answer().await;
            assert_eq!(answer.text(), "aside", "{answer:?}");
            assert!(begun.elapsed() < OTHERS, "another client waited {:?}", begun.elapsed());
        }
    };
    tokio::select! {
        never = others => never,
        done = flood => done,
    }
}

/// Opens streams and has them reset, by RST_STREAM or by a window update that is none.
async fn resets(provoked: bool) {
    let stage = stage(&[]).await;
    for tls in [false, true] {
        stage.log.clear();
        stage.log.script(Script { when: When::Never, ..Script::default() });
        let before = stage.log.connections();
        let mut client = Frames::new(connect(&stage, tls).await);
        let most = beside(&stage.portico, async {
            client.stream.write_all(&hello(&[])).await.unwrap();
            let block = block(&[], tls, "");
            let mut most = 0;
            for burst in 0..200_u32 {
                let octets: Vec<u8> = (burst * 100..(burst + 1) * 100)
                    .flat_map(|number| {
                        let stream = number * 2 + 1;
                        let end = if provoked {
                            frame(kind::WINDOW, 0, stream, &[0; 4])
                        } else {
                            frame(kind::RESET, 0, stream, &8_u32.to_be_bytes())
                        };
                        [frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block), end].concat()
                    })
                    .collect();
                if client.stream.write_all(&octets).await.is_err() {
                    break;
                }
                most = most.max(stage.log.open());
                tokio::task::yield_now().await;
            }
            client.read_until("the end of the connection", |client| client.goaway.is_some_and(|code| code != 0)).await;
            most
        })
        .await;
        let limit = if provoked { 1100 } else { 200 };
        let reached = stage.log.messages().len();
        assert!(reached <= limit, "{reached} requests reached the upstream");
        // 100 streams, and what serves the other clients.
        assert!(most <= 110, "{most} requests were at the upstream at once");
        assert!(stage.log.connections() - before <= limit + 200, "connections are bounded, too");
        // Work that nobody waits for is given up.
        drop(client);
        wait_until("the end of all requests at the upstream", async || {
            let open = stage.log.messages().iter().any(|message| message.connection > before) && stage.log.open() > 2;
            if open { Err(format!("{} connections are open", stage.log.open())) } else { Ok(()) }
        })
        .await;
        stage.is_well().await.unwrap();
    }
}

/// 400 cookies of an octet each on 100 streams whose answers wait for a window: what is pinned is little.
async fn crumbs() {
    const CONNECTIONS: u64 = 10;
    let stage = stage(&[]).await;
    stage.is_well().await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Frames::new(connect(&stage, false).await);
        client.stream.write_all(&hello(&[(4, 0)])).await.unwrap();
        clients.push(client);
    }
    let before = stage.portico.resident_kib();
    // `cookie` with an empty value goes into the table; each further octet names it again.
    let mut block = block(&[], false, "");
    block.extend([0x60, 0]);
    block.resize(block.len() + 399, 0xbe);
    for client in &mut clients {
        let streams = (0..100).flat_map(|stream| frame(kind::HEADERS, END_HEADERS, stream * 2 + 1, &block));
        client.stream.write_all(&streams.collect::<Vec<_>>()).await.unwrap();
    }
    for client in &mut clients {
        client
            .read_until("100 refusals", |client| {
                (0..100).all(|stream| client.fate(stream * 2 + 1).status == Some(431)) || client.goaway.is_some()
            })
            .await;
    }
    // What was needed for a moment goes back to the system a little later.
    wait_until("memory to be given back", async || {
        let each = stage.portico.resident_kib().saturating_sub(before) / CONNECTIONS;
        if each <= 1024 { Ok(()) } else { Err(format!("{each} KiB a connection")) }
    })
    .await;
    stage.is_well().await.unwrap();
    drop(clients);
}

/// 100,000 frames, without reading what they are answered with.
async fn cheap_frames(one: Vec<u8>) {
    let stage = stage(&[]).await;
    for tls in [false, true] {
        stage.is_well().await.unwrap();
        let before = stage.portico.resident_kib();
        let mut client = Frames::new(connect(&stage, tls).await);
        let burst = one.repeat(1000);
        beside(&stage.portico, async {
            client.stream.write_all(&hello(&[])).await.unwrap();
            let sending = async {
                for _ in 0..100 {
                    if client.stream.write_all(&burst).await.is_err() {
                        return;
                    }
                }
            };
            let sent = tokio::time::timeout(PATIENCE, sending).await;
            assert!(sent.is_ok(), "the proxy neither reads nor closes");
            client.read_until("the end of the connection", |client| client.goaway.is_some()).await;
        })
        .await;
        let grown = stage.portico.resident_kib().saturating_sub(before);
        assert!(grown < 8 * 1024, "{grown} KiB more");
        stage.is_well().await.unwrap();
    }
}

/// 60,000 frames of one octet to an upstream that takes nothing: they are refused, or cost little more than they hold.
async fn single_octets() {
    let stage = stage(&[]).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let documents = [
        Service::new("silent").with(&[silent.local_addr().unwrap()]),
        Ingress::new("silent").host("s.test", "silent").to_string(),
    ];
    stage.portico.write("silent.yaml", &portico_tests::manifest::join(documents));
    wait_until("the host", async || {
        let routes = stage.portico.admin("/routes").await.text();
        if routes.contains("s.test") { Ok(()) } else { Err("not yet") }
    })
    .await;
    let before = stage.portico.resident_kib();
    let mut client = Frames::new(connect(&stage, false).await);
    client.stream.write_all(&hello(&[])).await.unwrap();
    let fields =
        [(":method", "POST"), (":authority", "s.test")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    client.stream.write_all(&frame(kind::HEADERS, END_HEADERS, 1, &block(&fields, false, ""))).await.unwrap();
    let burst = frame(kind::DATA, 0, 1, b"x").repeat(1000);
    for _ in 0..60 {
        if client.stream.write_all(&burst).await.is_err() {
            break;
        }
    }
    // A marker behind everything: answered, or the connection has ended.
    let _ = client.stream.write_all(&frame(kind::PING, 0, 0, b"finished")).await;
    client.read_until("the marker", |client| client.pongs > 0 || client.goaway.is_some()).await;
    let grown = stage.portico.resident_kib().saturating_sub(before);
    assert!(client.goaway.is_some() || client.closed || grown < 2 * 1024, "{grown} KiB for 60 KB");
    stage.is_well().await.unwrap();
}

/// Bodies that the client asked for and does not take.
async fn shut_window() {
    let echo = Echo::start("big").await;
    let documents =
        [Service::new("big").with(&[echo.address]), Ingress::new("big").host("big.test", "big").to_string()];
    let setup = portico().args(&["--h2c", "--write-timeout", "1s"]);
    let stage = Stage::with(setup, &documents).await;
    for tls in [false, true] {
        let before = stage.portico.resident_kib();
        let mut client = Frames::new(connect(&stage, tls).await);
        // Window 0 (RFC 9113 section 6.5.2).
        client.stream.write_all(&hello(&[(4, 0)])).await.unwrap();
        let fields = [(":authority", "big.test"), ("x-echo-size", "50000000")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let block = block(&fields, tls, "");
        for stream in 0..20 {
            let head = frame(kind::HEADERS, END_HEADERS | END_STREAM, stream * 2 + 1, &block);
            client.stream.write_all(&head).await.unwrap();
        }
        client
            .read_until("the end of all streams", |client| {
                (0..20).all(|stream| client.fate(stream * 2 + 1).reset.is_some())
                    || client.goaway.is_some_and(|code| code != 0)
            })
            .await;
        let grown = stage.portico.resident_kib().saturating_sub(before);
        // 64 KiB that wait and as much that was read ahead, each stream, and the streams themselves.
        assert!(grown < 20 * 256, "{grown} KiB for 20 streams");
        wait_until("the end at the upstream", async || match echo.seen.open.load(Ordering::SeqCst) {
            0 => Ok(()),
            left => Err(format!("{left} requests go on")),
        })
        .await;
        stage.is_well().await.unwrap();
    }
}
