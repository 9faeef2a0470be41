//! Drivers for what wrk, h2load and oha do not do. Each is a process of one thread that prints one line when it is done.

mod handshake;
mod idle;
mod pace;
mod websocket;

use anyhow::{Context as _, Result, bail};

use pace::Paced;
pub(crate) use pace::outcome;

/// Upgrades a connection and echoes once.
pub(crate) async fn websocket_once(port: u16) -> Result<()> {
    websocket::echo(&mut websocket::open(port).await?).await
}

/// `handshake full|resumed PORT CONNECTIONS SECONDS RATE`, `websocket PORT CONNECTIONS SECONDS RATE` (a rate of 0 is as
/// fast as it goes) or `idle plain|http/1.1|h2 PORT CONNECTIONS`.
pub(crate) async fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["handshake", kind, port, connections, seconds, rate] => {
            let paced = Paced::parse(connections, seconds, rate)?;
            handshake::run(kind == "resumed", port.parse()?, paced).await
        }
        ["websocket", port, connections, seconds, rate] => {
            websocket::run(port.parse()?, Paced::parse(connections, seconds, rate)?).await
        }
        ["idle", protocol, port, connections] => {
            let alpn = (protocol != "plain").then_some(protocol);
            idle::run(alpn, port.parse()?, connections.parse().context("connections")?).await
        }
        _ => bail!("load takes handshake, websocket or idle with their arguments"),
    }
}
