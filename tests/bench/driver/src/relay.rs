//! A relay that copies bytes between two sockets and looks at nothing: the floor of what a proxy in user space can cost.
//! One thread, one upstream connection for each connection of a client.

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Octets that are read at once.
const BUFFER: usize = 64 * 1024;

/// Serves `PORT=PORT` pairs on loopback until it is killed.
pub(crate) async fn run(arguments: &[String]) -> Result<()> {
    let mut relays = JoinSet::new();
    for pair in arguments {
        let (from, to) = pair.split_once('=').with_context(|| format!("{pair} is not PORT=PORT"))?;
        let (from, to): (u16, u16) = (from.parse()?, to.parse()?);
        let listener = TcpListener::bind(("127.0.0.1", from)).await?;
        relays.spawn(accept(listener, to));
    }
    relays.join_next().await.context("there is nothing to relay")??
}

async fn accept(listener: TcpListener, to: u16) -> Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(async move {
            // Whatever ends one connection ends the other; who asked sees it.
            let _ended = relay(client, to).await;
        });
    }
}

async fn relay(mut client: TcpStream, to: u16) -> std::io::Result<()> {
    let mut backend = TcpStream::connect(("127.0.0.1", to)).await?;
    client.set_nodelay(true)?;
    backend.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER).await?;
    Ok(())
}
