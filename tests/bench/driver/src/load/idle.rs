//! Many connections that ask once, do nothing until they are told to ask again, and end.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::{client, site};

/// Connections that are being opened or asked on at once; so the proxy needs few upstream connections.
const AT_ONCE: usize = 16;

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// Prints `ready` when every connection has its answer, and for every line that it is sent asks on all of them again and
/// prints `ready`. Ends when there is no more line.
pub(crate) async fn run(alpn: Option<&str>, port: u16, connections: usize) -> Result<()> {
    let alpn = alpn.map(str::to_owned);
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for _ in 0..connections {
        let (permits, alpn) = (Arc::clone(&permits), alpn.clone());
        opening.spawn(async move {
            let _permit = permits.acquire().await?;
            let mut sender = open(port, alpn.as_deref()).await?;
            ask(&mut sender).await?;
            anyhow::Ok(sender)
        });
    }
    let mut senders = opening.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        let mut lost = 0;
        for sender in &mut senders {
            lost += u32::from(ask(sender).await.is_err());
        }
        ensure!(lost == 0, "{lost} of {connections} idle connections were lost");
        println!("ready");
    }
    Ok(())
}

async fn open(port: u16, alpn: Option<&str>) -> Result<Sender> {
    let io = TokioIo::new(client::connect(port, alpn).await?);
    Ok(if alpn == Some("h2") {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        Sender::Two(sender)
    } else {
        let (sender, connection) = http1::handshake(io).await?;
        tokio::spawn(connection);
        Sender::One(sender)
    })
}

async fn ask(sender: &mut Sender) -> Result<()> {
    let response = match sender {
        Sender::One(sender) => {
            sender.ready().await?;
            sender.send_request(Request::get("/").header("host", site::HOST).body(Full::default())?).await?
        }
        Sender::Two(sender) => {
            let uri = format!("https://{}/", site::HOST);
            sender.send_request(Request::get(uri).body(Full::default())?).await?
        }
    };
    ensure!(response.status() == 200, "the answer is {}", response.status());
    let body = response.into_body().collect().await.context("the body broke off")?;
    ensure!(body.to_bytes() == site::SMALL, "the body is another");
    Ok(())
}
