//! A TCP connection, a TLS handshake, a small request and the end, again and again.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use rustls::HandshakeKind;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use super::pace::Paced;
use crate::{client, site};

/// With `resumed`, each task resumes the session of its request before; a handshake that is not as asked is an error.
pub(crate) async fn run(resumed: bool, port: u16, paced: Paced) -> Result<()> {
    let drive = paced.drive(move |number, turns| async move {
        let connector = connector(resumed);
        let mut turn = 0;
        while let Some(begin) = turns.next(turn).await {
            let result = match &connector {
                Ok(connector) => once(connector, number, port, resumed && turn > 0).await,
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            turns.count(begin, &result);
            turn += 1;
        }
        turns
    });
    drive.await
}

fn connector(resumed: bool) -> Result<TlsConnector> {
    let mut config = client::trusting("http/1.1")?;
    if resumed {
        config.resumption = Resumption::in_memory_sessions(4);
    }
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn once(connector: &TlsConnector, number: u32, port: u16, resumed: bool) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    // An address for each task: closed connections hold a port for a while, and one address would run out of them.
    let address = Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 1, 1).to_bits() + number);
    socket.bind((address, 0).into())?;
    let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
    stream.set_nodelay(true)?;
    let mut stream = connector.connect(ServerName::try_from(site::HOST)?, stream).await?;
    let kind = stream.get_ref().1.handshake_kind();
    let wanted = if resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
    ensure!(kind == Some(wanted), "the handshake was {kind:?}, not {wanted:?}");
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", site::HOST).as_bytes()).await?;
    let (mut answer, mut length) = ([0; 4096], 0);
    while !answer[..length].ends_with(site::SMALL.as_bytes()) {
        let octets = stream.read(&mut answer[length..]).await?;
        ensure!(octets > 0, "the connection ended within the answer");
        length += octets;
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "the answer is not 200");
    // The other side may close first.
    let _closed = stream.shutdown().await;
    Ok(())
}
