//! gRPC through Portico: streams both ways at once, status in the trailers, no interest in table changes.

use portico_tests::client::{Connection, Raw, Tls};
use portico_tests::grpc::{GrpcCall, GrpcEcho};
use portico_tests::stream::Stream;
use portico_tests::{Ingress, Portico, Service, wait_until};
use tokio::net::TcpStream;

use crate::portico;

fn documents(address: std::net::SocketAddr, extra: &str) -> [String; 2] {
    let ingress = Ingress::new("web").host("a.test", "web").host(extra, "web");
    [ingress.to_string(), Service::new("web").app_protocol("kubernetes.io/h2c").with(&[address])]
}

async fn serve(flags: &[&str]) -> (GrpcEcho, Portico) {
    let echo = GrpcEcho::start().await;
    let portico = portico().manifests(documents(echo.address, "b.test")).args(flags).start().await;
    (echo, portico)
}

async fn connect(portico: &Portico) -> Connection {
    Connection::tls_http2(portico.https(), &Tls::accepting_any(), "a.test").await.unwrap()
}

async fn converse(call: &mut GrpcCall) {
    for number in 0..10 {
        let message = format!("message {number}");
        assert_eq!(call.exchange(message.as_bytes()).await.unwrap(), message);
    }
    let large = vec![b'x'; 1024 * 1024];
    assert_eq!(call.exchange(&large).await.unwrap(), large);
}

#[tokio::test]
async fn a_bidirectional_stream_with_trailers() {
    let (_echo, portico) = serve(&[]).await;
    let mut connection = connect(&portico).await;
    let mut call = GrpcCall::begin(&mut connection, "a.test", "/echo.Echo/Stream").await.unwrap();
    assert_eq!(call.headers["content-type"], "application/grpc");
    converse(&mut call).await;
    call.finish().await.unwrap();
    assert_eq!(call.status(), Some("0"));
    assert!(call.trailers.is_some(), "the status comes in trailers");
}

#[tokio::test]
async fn many_streams_share_a_connection() {
    let (_echo, portico) = serve(&[]).await;
    let mut connection = connect(&portico).await;
    let mut calls = Vec::new();
    for _ in 0..20 {
        calls.push(GrpcCall::begin(&mut connection, "a.test", "/echo.Echo/Stream").await.unwrap());
    }
    for (number, call) in calls.iter_mut().enumerate() {
        let message = number.to_string();
        assert_eq!(call.exchange(message.as_bytes()).await.unwrap(), message);
    }
    for call in &mut calls {
        call.finish().await.unwrap();
        assert_eq!(call.status(), Some("0"));
    }
}

#[tokio::test]
async fn a_status_without_body_passes() {
    let (_echo, portico) = serve(&[]).await;
    let mut connection = connect(&portico).await;
    let mut call = GrpcCall::begin(&mut connection, "a.test", "/echo.Echo/Unknown").await.unwrap();
    call.finish().await.unwrap();
    assert_eq!(call.status(), Some("12"));
}

#[tokio::test]
async fn h2c_downstream_by_flag() {
    let (_echo, portico) = serve(&["--h2c"]).await;
    let stream = Stream::Plain(TcpStream::connect(portico.http()).await.unwrap());
    let mut connection = Connection::http2(stream).await.unwrap();
    let mut call = GrpcCall::begin(&mut connection, "a.test", "/echo.Echo/Stream").await.unwrap();
    converse(&mut call).await;
    // HTTP/1.1 still works on the same port.
    assert_eq!(portico_tests::client::get(portico.http(), "nobody.test", "/").await.unwrap().status, 404);
}

#[tokio::test]
async fn h2c_downstream_closes_on_what_is_neither() {
    let (_echo, portico) = serve(&["--h2c"]).await;
    for (first, answer) in [
        ("INVALID CONNECTION PREFACE\r\n\r\n", ""),
        ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", ""),
        ("GET / HTTP/1.2\r\n\r\n", "HTTP/1.1 505 "),
        ("GET /\r\n\r\n", ""),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "),
    ] {
        let before = portico.metric("portico_requests_total", &["4xx"]).await;
        let mut client = Raw::connect(portico.http()).await;
        client.send(first).await;
        let octets = client.rest().await;
        let text = String::from_utf8_lossy(&octets);
        assert!(text.starts_with(answer) && (text.is_empty() == answer.is_empty()), "{first:?}: {text:?}");
        if answer.is_empty() {
            // Refused like any other: only nobody is told.
            assert!(portico.metric("portico_requests_total", &["4xx"]).await > before, "{first:?}");
        }
    }
    // A second message is HTTP/1 whatever it looks like.
    let mut client = Raw::connect(portico.http()).await;
    client.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\nINVALID CONNECTION PREFACE\r\n\r\n").await;
    let octets = client.rest().await;
    let text = String::from_utf8_lossy(&octets);
    assert!(text.starts_with("HTTP/1.1 404 ") && text.contains("HTTP/1.1 400 "), "{text}");
}

#[tokio::test]
async fn h2c_downstream_is_off_by_default() {
    let (_echo, portico) = serve(&[]).await;
    let stream = Stream::Plain(TcpStream::connect(portico.http()).await.unwrap());
    let call = match Connection::http2(stream).await {
        Ok(mut connection) => GrpcCall::begin(&mut connection, "a.test", "/echo.Echo/Stream").await,
        Err(error) => Err(error),
    };
    assert!(call.is_err());
}

#[tokio::test]
async fn it_survives_100_table_generations() {
    let (echo, portico) = serve(&["--hold-off", "5ms"]).await;
    let mut connection = connect(&portico).await;
    let mut call = GrpcCall::begin(&mut connection, "a.test", "/echo.Echo/Stream").await.unwrap();
    let first = portico.metric("portico_table_generation", &[]).await;
    for round in 0..100 {
        portico.apply(documents(echo.address, &format!("b{round}.test")));
        let target = first + f64::from(round) + 1.0;
        wait_until("the next generation", async || {
            let now = portico.metric("portico_table_generation", &[]).await;
            if now >= target { Ok(()) } else { Err(now) }
        })
        .await;
        let message = format!("round {round}");
        assert_eq!(call.exchange(message.as_bytes()).await.unwrap(), message);
    }
    call.finish().await.unwrap();
    assert_eq!(call.status(), Some("0"));
}
