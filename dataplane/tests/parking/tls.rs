//! What TLS says to itself while nothing is asked.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::kit::{Ended, soon};

async fn idle_session(proxy: &Proxy) -> Wire<TlsStream<TcpStream>> {
    let mut client = Wire::new(tls(proxy.connect().await.stream, &[&TLS13]).await);
    client.send(GET).await;
    client.until("\r\n\r\n/ 0").await;
    parked(proxy, 1).await;
    client
}

#[tokio::test]
async fn new_keys_wake_nobody_and_count() {
    let proxy = proxy(Kind::Tls13, |_| {}).await;
    let mut client = idle_session(&proxy).await;
    for _ in 0..3 {
        client.stream.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
        soon(client.stream.flush()).await.expect("sent");
        assert!(client.silent(LONGER).await);
        assert_eq!(count(&proxy), 1, "there is nothing to serve");
    }
    client.send(GET).await;
    client.until("\r\n\r\n/ 0").await;
    client.stream.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
    client.send(&(GET.to_owned() + GET)).await;
    client.until("\r\n\r\n/ 0").await;
    client.until("\r\n\r\n/ 0").await;
    parked(&proxy, 1).await;
}

/// A record that comes in two parts: the first of them is nothing to serve yet.
#[tokio::test]
async fn half_a_record_waits_for_the_other_half() {
    let proxy = proxy(Kind::Tls13, |_| {}).await;
    let mut client = idle_session(&proxy).await;
    let mut record = Vec::new();
    let (stream, session) = client.stream.get_mut();
    std::io::Write::write_all(&mut session.writer(), GET.as_bytes()).expect("room");
    session.write_tls(&mut record).expect("a record");
    for half in [&record[..3], &record[3..20]] {
        soon(stream.write_all(half)).await.expect("sent");
        let answered = tokio::time::timeout(LONGER, stream.readable()).await;
        assert!(answered.is_err() && count(&proxy) == 1);
    }
    soon(stream.write_all(&record[20..])).await.expect("sent");
    client.until("\r\n\r\n/ 0").await;
    parked(&proxy, 1).await;
}

#[tokio::test]
async fn the_end_of_the_session_is_answered_by_ours() {
    let proxy = proxy(Kind::Tls13, |_| {}).await;
    let mut client = idle_session(&proxy).await;
    let (stream, session) = client.stream.get_mut();
    session.send_close_notify();
    let mut alert = Vec::new();
    session.write_tls(&mut alert).expect("an alert");
    soon(stream.write_all(&alert)).await.expect("sent");
    assert_eq!(client.rest().await, (String::new(), Ended::Closed), "with its close_notify, not cut short");
    eventually("gone", || proxy.counted(|worker| worker.connections_active.get()) == 0).await;
}

#[tokio::test]
async fn what_is_no_record_ends_it() {
    let proxy = proxy(Kind::Tls13, |_| {}).await;
    let mut client = idle_session(&proxy).await;
    let (stream, _) = client.stream.get_mut();
    soon(stream.write_all(b"GET / HTTP/1.1\r\n\r\n")).await.expect("sent");
    let mut rest = Vec::new();
    // The alert, if it can still be sent; in any case the end.
    let _ = soon(stream.read_to_end(&mut rest)).await;
    eventually("gone", || proxy.counted(|worker| worker.connections_active.get()) == 0).await;
    assert_eq!(count(&proxy), 0);
}
