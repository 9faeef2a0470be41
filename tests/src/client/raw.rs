//! Requests as bytes and responses as they come: for what a well-behaved client library cannot send or would hide.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Tls;
use crate::stream::Stream;
use crate::{Error, PATIENCE};

/// A connection for bytes.
#[derive(Debug)]
pub struct Raw {
    stream: Stream,
    /// Read but not yet asked for.
    buffer: Vec<u8>,
}

impl Raw {
    /// In clear.
    ///
    /// # Panics
    /// When nothing listens.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("something listens");
        stream.set_nodelay(true).expect("TCP takes the option");
        Self::new(Stream::Plain(stream))
    }

    /// Over TLS to a name.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn connect_tls(address: SocketAddr, tls: &Tls, name: &str) -> Result<Self, Error> {
        Ok(Self::new(tls.connect(address, name).await?))
    }

    /// Over any stream.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes. A connection that the other end has closed shows when it is read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        // The answer to what could be sent is what a test asks about.
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
        self
    }

    /// Sends the end of the request stream; the answer can still be read.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads one response to a request that was no HEAD.
    pub async fn answer(&mut self) -> RawAnswer {
        let head = self.answer_head().await;
        self.body(head).await
    }

    /// Reads the head of a response.
    pub async fn answer_head(&mut self) -> RawAnswer {
        let end = self.fill_until(b"\r\n\r\n").await;
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        RawAnswer::parse(&String::from_utf8_lossy(&head))
    }

    async fn body(&mut self, mut answer: RawAnswer) -> RawAnswer {
        if matches!(answer.status, 100..200 | 204 | 304) {
            return answer;
        }
        if answer.header("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked")) {
            loop {
                let line = self.line().await;
                let size = line.split(';').next().and_then(|size| usize::from_str_radix(size, 16).ok());
                let size = size.unwrap_or_else(|| panic!("chunk size {line:?}"));
                if size == 0 {
                    break;
                }
                answer.body.extend(self.exactly(size).await);
                assert_eq!(self.exactly(2).await, b"\r\n", "a chunk ends with a line end");
            }
            loop {
                let line = self.line().await;
                let Some((name, value)) = line.split_once(':') else { break };
                answer.trailers.push((name.to_owned(), value.trim().to_owned()));
            }
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().expect("a length");
            answer.body = self.exactly(length).await;
        } else {
            answer.body = self.rest().await;
        }
        answer
    }

    async fn line(&mut self) -> String {
        let end = self.fill_until(b"\r\n").await;
        let line: Vec<u8> = self.buffer.drain(..end).collect();
        String::from_utf8_lossy(&line[..line.len() - 2]).into_owned()
    }

    /// Exactly so many bytes.
    ///
    /// # Panics
    /// When the connection ends first.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            let more = self.more().await.unwrap_or_else(|e| panic!("{e} after {:?}", self.seen()));
            assert!(more, "the connection ended after {:?}", self.seen());
        }
        self.buffer.drain(..length).collect()
    }

    /// Everything up to the end of the connection, however it ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        while let Ok(true) = self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Waits for the end of the connection.
    ///
    /// # Panics
    /// When anything comes before it, or it does not come.
    pub async fn closed(&mut self) {
        match self.more().await {
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => panic!("the connection is still open"),
            // A reset is an end, too.
            Err(_) => {}
            Ok(true) => panic!("not closed but {:?}", self.seen()),
        }
    }

    /// Whether nothing comes, not even the end, for this long.
    pub async fn silent(&mut self, time: Duration) -> bool {
        self.buffer.is_empty() && tokio::time::timeout(time, self.more()).await.is_err()
    }

    /// The stream itself, once nothing is left that was read ahead.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        assert!(self.buffer.is_empty(), "bytes read ahead would be lost");
        self.stream
    }

    async fn fill_until(&mut self, mark: &[u8]) -> usize {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                return at + mark.len();
            }
            let more = self.more().await.unwrap_or_else(|e| panic!("{e} after {:?}", self.seen()));
            assert!(more, "the connection ended after {:?}", self.seen());
        }
    }

    /// Reads something; false at the end.
    async fn more(&mut self) -> io::Result<bool> {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(|read| read > 0)
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

/// A response as it came.
#[derive(Clone, Debug, Default)]
pub struct RawAnswer {
    /// Status code.
    pub status: u16,
    /// The first line.
    pub line: String,
    /// Header fields in order, in the case in which they came.
    pub headers: Vec<(String, String)>,
    /// Body without its framing.
    pub body: Vec<u8>,
    /// Trailer fields in order.
    pub trailers: Vec<(String, String)>,
}

impl RawAnswer {
    fn parse(head: &str) -> Self {
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        let headers = lines.map(|line| field(line).unwrap_or_else(|| panic!("no field: {line:?}"))).collect();
        Self { status, line, headers, ..Self::default() }
    }

    /// The first value of a header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
