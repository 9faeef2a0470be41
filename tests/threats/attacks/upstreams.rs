//! Upstreams that speak HTTP/2 and mean harm.

use libtest_mimic::Trial;
use portico_tests::client::Raw;
use portico_tests::frames::{END_HEADERS, END_STREAM, PREFACE, frame, kind, literal};
use portico_tests::{Ingress, Service};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::test;
use crate::stage::{Stage, portico};

pub(crate) fn add(trials: &mut Vec<Trial>) {
    test(trials, "D16::trailers_of_20_kb_of_an_http_2_upstream", || trailers(20_000));
    test(trials, "D16::trailers_of_1_mb_of_an_http_2_upstream", || trailers(1_000_000));
    test(trials, "D16::an_http_2_answer_without_an_end", || trailers(0));
}

/// Answers the first request of a connection with trailers of that size; without any it just ends the connection.
async fn answer(mut stream: TcpStream, size: usize) {
    let mut read = vec![0; PREFACE.len()];
    if stream.read_exact(&mut read).await.is_err() {
        return;
    }
    let _ = stream.write_all(&frame(kind::SETTINGS, 0, 0, &[])).await;
    let request = loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        match head[3] {
            kind::SETTINGS if head[4] == 0 => {
                let _ = stream.write_all(&frame(kind::SETTINGS, END_STREAM, 0, &[])).await;
            }
            kind::HEADERS => break u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            _ => {}
        }
    };
    // `:status: 200` is the static table's entry 8.
    let _ = stream.write_all(&frame(kind::HEADERS, END_HEADERS, request, &[0x88])).await;
    let _ = stream.write_all(&frame(kind::DATA, 0, request, b"half")).await;
    if size == 0 {
        return;
    }
    let block = literal(b"x", &vec![b'x'; 1000]).repeat(size / 1000);
    let parts: Vec<&[u8]> = block.chunks(16_000).collect();
    for (number, part) in parts.iter().enumerate() {
        let end = if number + 1 == parts.len() { END_HEADERS } else { 0 };
        let (kind, flags) = if number == 0 { (kind::HEADERS, END_STREAM | end) } else { (kind::CONTINUATION, end) };
        if stream.write_all(&frame(kind, flags, request, part)).await.is_err() {
            return;
        }
    }
    // Stays for whatever the other end has to say.
    while matches!(stream.read(&mut read).await, Ok(1..)) {}
}

/// Whatever comes of it, the client never sees a whole answer.
async fn trailers(size: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(answer(stream, size));
        }
    });
    let documents = [
        Service::new("two").app_protocol("kubernetes.io/h2c").with(&[address]),
        Ingress::new("two").host("two.test", "two").to_string(),
    ];
    let stage = Stage::with(portico(), &documents).await;
    let before = stage.portico.resident_kib();
    for _ in 0..5 {
        let mut raw = Raw::connect(stage.portico.http()).await;
        raw.send("GET / HTTP/1.1\r\nHost: two.test\r\nTE: trailers\r\n\r\n").await;
        let text = String::from_utf8_lossy(&raw.rest().await).into_owned();
        assert!(text.starts_with("HTTP/1.1 502") || !text.contains("0\r\n\r\n") && !text.contains("xxxx"), "{text}");
    }
    let grown = stage.portico.resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more");
    stage.is_well().await.unwrap();
}
