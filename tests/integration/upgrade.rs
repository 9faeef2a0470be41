//! WebSocket through Portico: large frames, close handshake, and no interest in table changes.

use portico_tests::client::{Call, Raw, Tls};
use portico_tests::stream::Stream;
use portico_tests::websocket::{Message, WebSocket, WebSocketEcho};
use portico_tests::{Echo, Ingress, Portico, wait_until};
use tokio::net::TcpStream;

use crate::portico;
use crate::site::one;

const MEBIBYTE: usize = 1024 * 1024;

async fn serve() -> (WebSocketEcho, Portico) {
    let echo = WebSocketEcho::start("web").await;
    let portico = portico().manifests(one(echo.address)).args(&["--hold-off", "5ms"]).start().await;
    (echo, portico)
}

async fn open(portico: &Portico) -> WebSocket {
    let stream = Stream::Plain(TcpStream::connect(portico.http()).await.unwrap());
    WebSocket::open(stream, "a.test", "/chat?room=1").await.unwrap()
}

#[tokio::test]
async fn frames_of_1_mib_are_echoed_in_clear_and_over_tls() {
    let (_echo, portico) = serve().await;
    let tls = Tls::accepting_any().alpn(&["http/1.1"]).connect(portico.https(), "a.test").await.unwrap();
    let sockets = [open(&portico).await, WebSocket::open(tls, "a.test", "/chat").await.unwrap()];
    for mut socket in sockets {
        assert_eq!(socket.opening.headers()["x-echo-path"], "/chat");
        for round in 0..4_u8 {
            let message = Message::binary(vec![round; MEBIBYTE]);
            assert_eq!(socket.exchange(message.clone()).await.unwrap(), message);
        }
        assert_eq!(socket.exchange(Message::text("hello")).await.unwrap(), Message::text("hello"));
        socket.close().await.unwrap();
    }
    wait_until("the end of both", async || {
        let active = portico.metric("portico_upgrades_active", &[]).await;
        if active == 0.0 { Ok(()) } else { Err(active) }
    })
    .await;
}

#[tokio::test]
async fn it_survives_100_table_generations() {
    let (echo, portico) = serve().await;
    let other = Echo::start("other").await;
    let mut socket = open(&portico).await;
    let first = portico.metric("portico_table_generation", &[]).await;
    for round in 0..100 {
        // The very route changes, and its endpoints go back and forth.
        let mut documents = one(if round % 2 == 0 { other.address } else { echo.address });
        documents[0] = Ingress::new("web").host("a.test", "web").host(&format!("b{round}.test"), "web").to_string();
        portico.apply(documents);
        let target = first + f64::from(round) + 1.0;
        wait_until("the next generation", async || {
            let now = portico.metric("portico_table_generation", &[]).await;
            if now >= target { Ok(()) } else { Err(now) }
        })
        .await;
        let message = Message::text(format!("round {round}"));
        assert_eq!(socket.exchange(message.clone()).await.unwrap(), message);
    }
    socket.close().await.unwrap();
}

#[tokio::test]
async fn an_upgrade_that_the_upstream_declines_is_an_ordinary_answer() {
    let echo = Echo::start("web").await;
    let portico = portico().manifests(one(echo.address)).start().await;
    let call = Call::get("/x")
        .host("a.test")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = call.to(portico.http()).await.unwrap();
    assert_eq!((answer.status, answer.backend()), (200, Some("web")), "{answer}");
    assert_eq!(answer.received_header("upgrade").as_deref(), Some("websocket"));
    assert_eq!(answer.received_header("connection").map(|it| it.to_ascii_lowercase()).as_deref(), Some("upgrade"));
}

#[tokio::test]
async fn either_end_may_close_and_the_other_sees_it() {
    let (echo, portico) = serve().await;
    let mut socket = open(&portico).await;
    assert!(socket.exchange(Message::text("x")).await.is_ok());
    drop(echo);
    assert!(socket.next().await.is_err());
}

/// Octets that follow the request in the same segment belong to the upgraded connection.
#[tokio::test]
async fn octets_sent_along_with_the_upgrade_are_not_lost() {
    let (_echo, portico) = serve().await;
    let mut raw = Raw::connect(portico.http()).await;
    // A masked text frame "hi" with the mask 0 (RFC 6455 section 5.2).
    let mut request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    request.extend([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    let answer = raw.send(request).await.answer_head().await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(raw.exactly(4).await, [0x81, 0x02, b'h', b'i']);
}
