//! HTTP/2 frame by frame: floods of what is cheap to send end the connection, and what is malformed ends its stream.

use portico_dataplane::observe::metrics::Limit;
use tokio::io::AsyncWriteExt;

use crate::kit::{Origin, Proxy, Wire, eventually};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `:method: GET`, `:scheme: http`, `:path: /`, `:authority: a`.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
/// The same without `:authority`.
const NOBODY: &[u8] = &[0x82, 0x86, 0x84];
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

async fn open(proxy: &Proxy) -> Wire {
    let mut client = proxy.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.send(&frame(SETTINGS, 0, 0, &[])).await;
    client
}

async fn h2c(origin: &Origin) -> Proxy {
    Proxy::start(&[origin.address], |config| config.bindings[0].h2c = true).await
}

/// Sends one frame after another until the connection ends; panics when it never does.
async fn flood(mut client: Wire, name: &str, mut next: impl FnMut(u32) -> Vec<u8>) {
    let (mut reader, mut writer) = client.stream.split();
    let read = async {
        let mut scrap = Vec::new();
        // Broken or closed, it is over.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut scrap).await;
    };
    let write = async {
        for round in 0..40 {
            let burst: Vec<u8> = (round * 1000..(round + 1) * 1000).flat_map(&mut next).collect();
            if writer.write_all(&burst).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        tokio::select! {
            () = read => {}
            () = write => {}
        }
    });
    assert!(ended.await.is_ok(), "{name}: still open");
}

#[tokio::test]
async fn control_frames_in_masses_end_the_connection() {
    let origin = Origin::new().await;
    for (name, one) in [
        ("D07 PING", frame(PING, 0, 0, b"12345678")),
        ("D07 SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("D08 PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("D08 unknown", frame(0xbe, 0, 0, b"x")),
    ] {
        let proxy = h2c(&origin).await;
        flood(open(&proxy).await, name, |_| one.clone()).await;
        eventually(name, || proxy.limit(Limit::H2ControlFrames) == 1).await;
    }
}

#[tokio::test]
async fn streams_that_are_only_begun_end_the_connection() {
    let origin = Origin::new().await;
    let get = |number: u32| frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, GET);
    for name in ["D01 reset", "D02 window", "D03 continuation", "D06 empty"] {
        let proxy = h2c(&origin).await;
        flood(open(&proxy).await, name, |number| match (name, number) {
            ("D01 reset", _) => [get(number), frame(RESET, 0, number * 2 + 1, &[0, 0, 0, 8])].concat(),
            ("D02 window", _) => [get(number), frame(WINDOW, 0, number * 2 + 1, &[0; 4])].concat(),
            ("D03 continuation", 0) => frame(HEADERS, END_STREAM, 1, GET),
            ("D03 continuation", _) => frame(CONTINUATION, 0, 1, &[]),
            (_, 0) => frame(HEADERS, END_HEADERS, 1, GET),
            _ => frame(DATA, 0, 1, &[]),
        })
        .await;
        eventually("over", || proxy.running.metrics().requests_in_flight() == 0).await;
        assert_eq!(proxy.counted(|worker| worker.panics.get()), 0, "{name}");
    }
}

#[tokio::test]
async fn malformed_requests_reach_nobody() {
    let literal = |name: &str, value: &str| {
        let mut field = vec![0, u8::try_from(name.len()).expect("short")];
        field.extend(name.bytes());
        field.push(u8::try_from(value.len()).expect("short"));
        field.extend(value.bytes());
        field
    };
    let origin = Origin::new().await;
    let proxy = h2c(&origin).await;
    for (name, base, field) in [
        ("B04 nobody", NOBODY, Vec::new()),
        ("B04 twice", GET, literal("host", "b")),
        ("D10 CR LF", GET, literal("x", "a\r\nb: c")),
        ("D10 NUL", GET, literal("x", "\0")),
        ("D10 name", GET, literal("x y", "a")),
        ("D10 colon", GET, literal("x:y", "a")),
        ("D10 upper", GET, literal("X", "a")),
        ("D11 connection", GET, literal("connection", "close")),
        ("D11 coding", GET, literal("transfer-encoding", "chunked")),
        ("D11 te", GET, literal("te", "gzip")),
        ("D12 long", GET, literal("content-length", "5")),
        ("D13 before", GET, literal("x", " a")),
        ("D13 behind", GET, literal("x", "a\t")),
        ("A04 lengths", GET, [literal("content-length", "0"), literal("content-length", "0")].concat()),
    ] {
        let mut client = open(&proxy).await;
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[base, &field].concat())).await;
        client.send(&frame(PING, 0, 0, b"finished")).await;
        let refused = async {
            // Either an answer of ours to read and then a PING, or the end.
            let mut octets = [0; 1024];
            let mut seen = Vec::new();
            while !seen.windows(8).any(|window| window == b"finished") {
                match tokio::io::AsyncReadExt::read(&mut client.stream, &mut octets).await {
                    Ok(0) | Err(_) => return,
                    Ok(length) => seen.extend_from_slice(&octets[..length]),
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(5), refused).await.expect(name);
        eventually(name, || proxy.running.metrics().requests_in_flight() == 0).await;
    }
    assert_eq!(proxy.counted(|worker| worker.pool_opened.get()), 0, "nothing was sent on");
}
