//! One end of a connection, octet by octet. Every wait ends after [`PATIENCE`], so that a hang is a failure that names
//! its place.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for anything that is to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Awaits what must happen soon.
#[track_caller]
pub(crate) fn soon<F: Future>(what: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, what).await {
            Ok(output) => output,
            Err(_) => panic!("nothing happened at {place}"),
        }
    }
}

/// How the other side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With FIN.
    Closed,
    /// With RST, or without the end of TLS.
    Broken,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Wire<S = TcpStream> {
    pub(crate) stream: S,
    /// Read from the stream and not yet asked for.
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Sends octets.
    #[track_caller]
    pub(crate) fn send<'a>(&'a mut self, octets: &'a (impl AsRef<[u8]> + ?Sized)) -> impl Future<Output = ()> + 'a {
        let write = self.stream.write_all(octets.as_ref());
        let sent = soon(write);
        async { sent.await.expect("the other side reads") }
    }

    /// The next head, with its last empty line.
    #[track_caller]
    pub(crate) fn head(&mut self) -> impl Future<Output = String> + '_ {
        self.until("\r\n\r\n")
    }

    /// The next head, however long it takes to come; `None` at the end of the connection.
    pub(crate) async fn next_head(&mut self) -> Option<String> {
        while self.read.is_empty() {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.head().await)
    }

    /// Everything up to and with `end`.
    #[track_caller]
    pub(crate) fn until<'a>(&'a mut self, end: &'a str) -> impl Future<Output = String> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let found = async {
                loop {
                    if let Some(at) = self.read.windows(end.len()).position(|window| window == end.as_bytes()) {
                        return at + end.len();
                    }
                    if !self.fill().await {
                        let read = String::from_utf8_lossy(&self.read);
                        panic!("the end came before {end:?} at {place}: {read:?}");
                    }
                }
            };
            let Ok(length) = tokio::time::timeout(PATIENCE, found).await else {
                panic!("{end:?} never came at {place}");
            };
            String::from_utf8_lossy(&self.read.drain(..length).collect::<Vec<_>>()).into_owned()
        }
    }

    /// That many octets.
    #[track_caller]
    pub(crate) fn octets(&mut self, length: usize) -> impl Future<Output = Vec<u8>> + '_ {
        soon(async move {
            while self.read.len() < length {
                assert!(self.fill().await, "the end came after {} octets of {length}", self.read.len());
            }
            self.read.drain(..length).collect()
        })
    }

    /// Everything up to the end, and what kind of end that is.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> impl Future<Output = (String, Ended)> + '_ {
        soon(async move {
            let ended = match self.stream.read_to_end(&mut self.read).await {
                Ok(_) => Ended::Closed,
                Err(_) => Ended::Broken,
            };
            (String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned(), ended)
        })
    }

    /// Whether nothing comes for that long.
    pub(crate) async fn silent(&mut self, time: Duration) -> bool {
        self.read.is_empty() && tokio::time::timeout(time, self.fill()).await.is_err()
    }

    /// Reads once; false at the end.
    async fn fill(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.read).await.unwrap_or(0);
        read > 0
    }
}
