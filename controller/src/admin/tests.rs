//! The service behind both addresses, through real sockets: methods, paths, bounds, stopping.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use portico_tests::client::{Call, Raw};
use tokio::sync::watch;

use super::{Answers, Debug, Listener, Reply};

struct Echo;

impl Answers for Echo {
    fn answer(&self, path: &str, query: Option<&str>) -> Option<Reply> {
        assert_ne!(path, "/panic", "on purpose");
        (path == "/echo").then(|| Reply::text(StatusCode::OK, query.unwrap_or("nothing")))
    }
}

async fn start() -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let (stop, stopped) = watch::channel(false);
    (listener.address(), stop, tokio::spawn(listener.serve(Arc::new(Echo), stopped)))
}

#[tokio::test]
async fn only_known_paths_and_reading_methods() {
    let (address, _stop, _ended) = start().await;
    for (method, target, status, body) in [
        ("GET", "/echo?a=b", 200, "a=b\n"),
        ("HEAD", "/echo", 200, ""),
        ("POST", "/echo", 405, "only GET and HEAD\n"),
        ("DELETE", "/echo", 405, "only GET and HEAD\n"),
        ("GET", "/", 404, "not found\n"),
        ("GET", "/echo/", 404, "not found\n"),
        ("GET", "/x/../echo", 404, "not found\n"),
        ("GET", "/panic", 500, "the answer could not be made\n"),
        ("GET", "/echo", 200, "nothing\n"),
    ] {
        let answer = Call::new(method, target).to(address).await.expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{method} {target}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let refused = Call::new("PUT", "/echo").to(address).await.expect("an answer");
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn what_is_for_this_machine_is_not_told_under_foreign_names() {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let (address, (_stop, stopped)) = (listener.address(), watch::channel(false));
    tokio::spawn(listener.serve(Arc::new(Debug::new(Arc::default())), stopped));
    for (host, status) in [
        ("localhost:9091", 200),
        ("127.0.0.1", 200),
        ("[::1]:9091", 200),
        ("portico.evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ] {
        let mut raw = Raw::connect(address).await;
        raw.send(format!("GET /routes HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(raw.answer().await.status, status, "{host:?}");
    }
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let (address, _stop, _ended) = start().await;
    let many = "x: y\r\n".repeat(70);
    let long = format!("x: {}\r\n", "y".repeat(20_000));
    for fields in [many, long] {
        let mut raw = Raw::connect(address).await;
        raw.send(format!("GET /echo HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
        assert_eq!(raw.answer().await.status, 431);
        raw.closed().await;
    }
}

#[tokio::test]
async fn stopping_closes_idle_connections() {
    let (address, stop, ended) = start().await;
    let mut raw = Raw::connect(address).await;
    raw.send("GET /echo HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    stop.send(true).expect("it listens");
    raw.closed().await;
    ended.await.expect("no panic").expect("no error");
}

#[test]
fn port_in_use_is_an_error() {
    let taken = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let error = Listener::bind(taken.address()).expect_err("it is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
