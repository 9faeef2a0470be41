//! The PROXY protocol: required from those networks, taken from nobody else (the protocol's text, versions 1 and 2).

use portico_tests::client::Raw;
use portico_tests::stream::Stream;
use portico_tests::{Echo, Portico};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};

use crate::site::simple_with;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

async fn serve() -> (Echo, Portico) {
    simple_with(&["--proxy-protocol-from", "127.0.0.1/32", "--first-byte-timeout", "2s"]).await
}

/// The client that the upstream was told of, or the end of the connection.
async fn client(portico: &Portico, header: &[u8]) -> Option<String> {
    let mut raw = Raw::connect(portico.http()).await;
    raw.send(header).await.send(REQUEST).await;
    let text = String::from_utf8_lossy(&raw.rest().await).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{text}");
    let json: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"));
    let fields = json["headers"].as_array().unwrap();
    fields.iter().find(|pair| pair[0] == "x-forwarded-for").map(|pair| pair[1].as_str().unwrap().to_owned())
}

/// A version 2 header: command, family and transport, addresses.
fn version_2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, addresses].concat()
}

#[tokio::test]
async fn version_1() {
    let (_echo, portico) = serve().await;
    for (header, expected) in [
        ("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n", "192.0.2.7"),
        ("PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n", "2001:db8::7"),
        ("PROXY UNKNOWN\r\n", "127.0.0.1"),
        ("PROXY UNKNOWN 1 2 3 4\r\n", "127.0.0.1"),
    ] {
        assert_eq!(client(&portico, header.as_bytes()).await.as_deref(), Some(expected), "{header:?}");
    }
}

#[tokio::test]
async fn version_2_with_addresses() {
    let (_echo, portico) = serve().await;
    let v4 = [192, 0, 2, 7, 192, 0, 2, 1, 0x12, 0x67, 0, 80];
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    v6[15] = 7;
    // A type-length-value after the addresses is skipped.
    let with_extra = [&v4[..], &[0x04, 0, 1, 0]].concat();
    for (header, expected) in [
        (version_2(1, 0x11, &v4), "192.0.2.7"),
        (version_2(1, 0x11, &with_extra), "192.0.2.7"),
        (version_2(1, 0x21, &v6), "2001:db8::7"),
        (version_2(0, 0x00, &[]), "127.0.0.1"),
        (version_2(0, 0x11, &v4), "127.0.0.1"),
    ] {
        assert_eq!(client(&portico, &header).await.as_deref(), Some(expected), "{header:?}");
    }
}

#[tokio::test]
async fn what_is_no_header_closes_the_connection() {
    let (echo, portico) = serve().await;
    let long = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
    for header in [
        b"".as_slice(),
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 192.0.2.999 192.0.2.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 99999 80\r\n",
        b"PROXY TCP5 192.0.2.7 192.0.2.1 1 2\r\n",
        b"proxy TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
        long.as_bytes(),
        &version_2(7, 0x11, &[0; 12]),
        &version_2(1, 0x11, &[0; 4]),
        &[SIGNATURE, &[0x31, 0x11, 0, 12]].concat(),
    ] {
        assert_eq!(client(&portico, header).await, None, "{:?}", String::from_utf8_lossy(header));
    }
    assert_eq!(echo.requests(), 0);
    assert!(portico.metric("portico_proxy_protocol_errors_total", &[]).await >= 1.0);
}

#[tokio::test]
async fn others_may_not_send_one_and_need_none() {
    let (_echo, portico) = serve().await;
    let connect = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let stream: TcpStream = socket.connect(portico.http()).await.unwrap();
        Raw::new(Stream::Plain(stream))
    };
    let mut plain = connect().await;
    assert_eq!(plain.send(REQUEST).await.answer().await.status, 200);
    let mut spoofing = connect().await;
    spoofing.send("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n").await.send(REQUEST).await;
    let text = String::from_utf8_lossy(&spoofing.rest().await).into_owned();
    assert!(!text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test]
async fn a_header_before_tls() {
    let (_echo, portico) = serve().await;
    let mut stream = TcpStream::connect(portico.https()).await.unwrap();
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, header).await.unwrap();
    let tls = portico_tests::client::Tls::accepting_any().over(stream, "a.test").await.unwrap();
    let mut raw = Raw::new(Stream::Tls(Box::new(tls)));
    let answer = raw.send(REQUEST).await.answer().await;
    assert!(answer.text().contains("192.0.2.7"), "{answer:?}");
}
