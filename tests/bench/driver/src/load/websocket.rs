//! Short frames to a WebSocket echo and back, one under way on each connection.

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::pace::Paced;
use crate::site;

/// Octets of a message.
const PAYLOAD: usize = 64;

/// Drives the connections until the time is over.
pub(crate) async fn run(port: u16, paced: Paced) -> Result<()> {
    let drive = paced.drive(move |_, turns| async move {
        let mut stream = open(port).await;
        let mut turn = 0;
        while let Some(begin) = turns.next(turn).await {
            let result = match &mut stream {
                Ok(stream) => echo(stream).await,
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            let broken = result.is_err();
            turns.count(begin, &result);
            if broken {
                break;
            }
            turn += 1;
        }
        turns
    });
    drive.await
}

/// Connects and upgrades.
pub(super) async fn open(port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        site::HOST
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < 4096, "the answer to the upgrade is too long");
        head.push(stream.read_u8().await.context("the connection ended within the answer to the upgrade")?);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101 "), "not upgraded: {}", String::from_utf8_lossy(&head));
    Ok(stream)
}

/// One frame there and back. The mask is zero, so the payload goes as it is.
pub(super) async fn echo(stream: &mut TcpStream) -> Result<()> {
    let mut frame = [b'w'; 6 + PAYLOAD];
    frame[..6].copy_from_slice(&[0x82, 0x80 | PAYLOAD as u8, 0, 0, 0, 0]);
    stream.write_all(&frame).await?;
    let mut answer = [0; 2 + PAYLOAD];
    stream.read_exact(&mut answer).await?;
    ensure!(answer[0] == 0x82 && answer[2..] == frame[6..], "the echo differs");
    Ok(())
}
