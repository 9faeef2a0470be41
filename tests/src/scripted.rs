//! Upstreams that misbehave to the letter: exact bytes out, exact bytes recorded, or no answer at all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A listening upstream whose every connection runs the same script.
#[derive(Debug)]
pub struct Scripted {
    /// Where it listens.
    pub address: SocketAddr,
    received: Received,
    task: JoinHandle<()>,
}

/// What each connection received.
type Received = Arc<Mutex<Vec<Vec<u8>>>>;

impl Scripted {
    /// Runs `script` on every connection.
    pub async fn with<F, R>(script: F) -> Self
    where
        F: Fn(Exchange) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback address can be bound");
        let address = listener.local_addr().expect("a listener has an address");
        let received = Received::default();
        let records = received.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut records = records.lock().expect("no script panics while recording");
                    records.push(Vec::new());
                    records.len() - 1
                };
                connections.spawn(script(Exchange { stream, number, received: records.clone(), read: 0 }));
            }
        });
        Self { address, received, task }
    }

    /// Answers every request head with the same bytes and keeps the connection.
    pub async fn answering(bytes: &'static str) -> Self {
        Self::with(move |mut exchange| async move {
            while exchange.head().await.is_some() {
                exchange.send(bytes).await;
            }
        })
        .await
    }

    /// Answers one request head with these bytes and closes.
    pub async fn answering_once(bytes: &'static str) -> Self {
        Self::with(move |mut exchange| async move {
            if exchange.head().await.is_some() {
                exchange.send(bytes).await;
            }
        })
        .await
    }

    /// Takes everything and answers nothing.
    pub async fn silent() -> Self {
        Self::with(|mut exchange| async move { while exchange.more().await {} }).await
    }

    /// Resets every connection once it has sent a request head.
    pub async fn resetting() -> Self {
        Self::with(|mut exchange| async move {
            exchange.head().await;
            exchange.reset();
        })
        .await
    }

    /// What each connection received so far.
    #[must_use]
    pub fn received(&self) -> Vec<String> {
        let received = self.received.lock().expect("no script panics while recording");
        received.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// Number of request heads over all connections.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.received().iter().map(|text| text.matches(" HTTP/1.1\r\n").count()).sum()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection of a scripted upstream.
#[derive(Debug)]
pub struct Exchange {
    stream: TcpStream,
    /// Number of the connection, from 0.
    pub number: usize,
    received: Received,
    /// Octets of the record that earlier heads took.
    read: usize,
}

impl Exchange {
    /// Reads up to the end of the next request head; `None` when the connection ends first.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            let rest = self.record(|record| record[self.read..].to_vec());
            if let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
                self.read += end + 4;
                return Some(String::from_utf8_lossy(&rest[..end + 4]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads something; false at the end.
    pub async fn more(&mut self) -> bool {
        let mut chunk = vec![0; 64 * 1024];
        match self.stream.read(&mut chunk).await {
            Ok(read @ 1..) => {
                self.record(|record| record.extend_from_slice(&chunk[..read]));
                true
            }
            Ok(0) | Err(_) => false,
        }
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The other end may have gone; tests ask that other end.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("TCP takes the option");
    }

    fn record<T>(&self, with: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        with(&mut self.received.lock().expect("no script panics while recording")[self.number])
    }
}

/// An address that refuses connections for as long as this lives: bound, so that nobody else gets it, not listening.
#[derive(Debug)]
pub struct Refusing {
    /// The address.
    pub address: SocketAddr,
    _socket: Socket,
}

impl Refusing {
    /// On a port of 127.0.0.1.
    ///
    /// # Panics
    /// When the system has no port left.
    #[must_use]
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a loopback address can be bound");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an internet address");
        Self { address, _socket: socket }
    }
}

impl Default for Refusing {
    fn default() -> Self {
        Self::new()
    }
}
