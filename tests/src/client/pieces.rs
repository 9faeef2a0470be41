//! A TLS client whose first message comes in pieces, and one that tries to send early data.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Tls;
use crate::Error;

/// How the ClientHello is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// Not at all.
    Whole,
    /// Each octet of the message in a record of its own.
    Records,
    /// Each octet in a segment of its own.
    Segments,
    /// Both.
    Both,
}

impl Tls {
    /// Shakes hands with a ClientHello in pieces, sends a request and returns what comes back.
    ///
    /// # Errors
    /// When the handshake fails or the connection does.
    pub async fn in_pieces(
        &self,
        address: SocketAddr,
        name: &str,
        pieces: Pieces,
        request: &str,
    ) -> Result<String, Error> {
        let mut tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let mut tls = ClientConnection::new(self.config(), ServerName::try_from(name.to_owned())?)?;
        let mut hello = Vec::new();
        tls.write_tls(&mut hello)?;
        if matches!(pieces, Pieces::Records | Pieces::Both) {
            hello = cut(&hello);
        }
        if matches!(pieces, Pieces::Segments | Pieces::Both) {
            for octet in &hello {
                tcp.write_all(&[*octet]).await?;
                tokio::task::yield_now().await;
            }
        } else {
            tcp.write_all(&hello).await?;
        }
        while tls.is_handshaking() {
            turn(&mut tls, &mut tcp).await?;
        }
        tls.writer().write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        loop {
            match turn(&mut tls, &mut tcp).await {
                Ok(()) => {}
                Err(error) if answer.is_empty() => return Err(error),
                Err(_) => break,
            }
            let mut part = vec![0; 64 * 1024];
            match tls.reader().read(&mut part) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(&part[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The ClientHello that would be sent to this name.
    ///
    /// # Errors
    /// When the name is none.
    pub fn hello(&self, name: &str) -> Result<Vec<u8>, Error> {
        let mut tls = ClientConnection::new(self.config(), ServerName::try_from(name.to_owned())?)?;
        let mut hello = Vec::new();
        tls.write_tls(&mut hello)?;
        Ok(hello)
    }

    /// Whether a session with this name that was had before lets early data be sent (RFC 8446 section 4.2.10).
    ///
    /// # Errors
    /// When the name is none.
    pub fn may_send_early(&self, name: &str) -> Result<bool, Error> {
        let mut config = (*self.config()).clone();
        config.enable_early_data = true;
        let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned())?)?;
        Ok(tls.early_data().is_some())
    }
}

/// Sends what is to be sent, then reads once.
async fn turn(tls: &mut ClientConnection, tcp: &mut TcpStream) -> Result<(), Error> {
    while tls.wants_write() {
        let mut octets = Vec::new();
        tls.write_tls(&mut octets)?;
        tcp.write_all(&octets).await?;
    }
    let mut octets = vec![0; 64 * 1024];
    let read = tcp.read(&mut octets).await?;
    if read == 0 {
        return Err("the connection ended".into());
    }
    let mut rest = &octets[..read];
    while !rest.is_empty() {
        tls.read_tls(&mut rest)?;
        tls.process_new_packets()?;
    }
    Ok(())
}

/// Each octet of the records' payload in a record of its own (RFC 8446 section 5.1).
fn cut(records: &[u8]) -> Vec<u8> {
    let (mut cut, mut rest) = (Vec::new(), records);
    while let [kind, major, minor, high, low, payload @ ..] = rest {
        let length = usize::from(*high) << 8 | usize::from(*low);
        let (payload, after) = payload.split_at(length);
        for octet in payload {
            cut.extend_from_slice(&[*kind, *major, *minor, 0, 1, *octet]);
        }
        rest = after;
    }
    cut
}
