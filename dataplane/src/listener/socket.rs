//! A downstream socket below TLS: octets read too early are given back, and closing lingers.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::protocol::io::Activity;

/// An accepted TCP connection.
///
/// Shutting it down sends FIN and then reads on for a moment: a socket that is closed with unread octets answers with a
/// reset, which destroys the response on its way to the client. After an upgrade others read it.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    early: BytesMut,
    /// Turns of [`LINGER_READS`] taken, and the end, once closing lingers.
    linger: Option<(usize, Pin<Box<Sleep>>)>,
    activity: Arc<Activity>,
}

impl Socket {
    /// A socket whose first octets were already read into `early`.
    pub(crate) fn new(stream: TcpStream, early: BytesMut, activity: Arc<Activity>) -> Self {
        Self { stream, early, linger: None, activity }
    }

    /// Whether the connection begins with these octets; they stay to be read. A closed connection does not.
    pub(crate) async fn begins_with(&mut self, expected: &[u8]) -> bool {
        while self.early.len() < expected.len() && expected.starts_with(&self.early) {
            if !matches!(self.stream.read_buf(&mut self.early).await, Ok(1..)) {
                return false;
            }
        }
        self.early.starts_with(expected)
    }

    /// Waits until the first record of TLS is here as a whole, or something that is no handshake; either stays to be read.
    ///
    /// rustls doubles its buffer for a record that comes in parts, and mimalloc never takes back the half that rustls later
    /// gives up: a connection would keep twice the memory for as long as it lasts.
    pub(crate) async fn hello(&mut self) {
        while !is_whole(&self.early) {
            // Nothing is held for who says nothing.
            if self.early.is_empty() && self.stream.readable().await.is_err() {
                return;
            }
            self.early.reserve(HELLO);
            if !matches!(self.stream.read_buf(&mut self.early).await, Ok(1..)) {
                return;
            }
        }
    }

    /// Reads and forgets until the client closes or the time is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = || Box::pin(tokio::time::sleep_until(Instant::now() + LINGER));
        let (_, sleep) = self.linger.get_or_insert_with(|| (0, until()));
        let over = sleep.as_mut().poll(cx).is_ready();
        let mut scrap = [0; 4096];
        for _ in 0..LINGER_READS {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if over => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        let Some((turns, _)) = self.linger.as_mut().filter(|(turns, _)| !over && *turns < MAX_LINGER_TURNS) else {
            return Poll::Ready(());
        };
        *turns += 1;
        // Others have their turn before more is read.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether there is a whole record of a handshake, or something that does not become one (RFC 8446 section 5.1).
fn is_whole(early: &[u8]) -> bool {
    match *early {
        [HANDSHAKE, _, _, high, low, ref content @ ..] => {
            let length = usize::from(u16::from_be_bytes([high, low]));
            content.len() >= length || length > LONGEST_CONTENT
        }
        [] | [HANDSHAKE, ..] => false,
        _ => true,
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.activity.broken() {
            // Closing with RST; where that cannot be had, FIN must do.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.early.len().min(buffer.remaining());
        buffer.put_slice(&self.early[..length]);
        self.early.advance(length);
        if self.early.is_empty() {
            // An idle connection keeps no memory.
            self.early = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.activity.upgraded() {
            return Poll::Ready(Ok(()));
        }
        self.poll_linger(cx).map(Ok)
    }
}

/// Type of the record that a handshake begins with, and the longest content of a record in clear.
const HANDSHAKE: u8 = 22;
const LONGEST_CONTENT: usize = 1 << 14;
/// Room for a hello; with a key share that resists quantum computers it has some 1,500 octets.
const HELLO: usize = 2048;
/// How long a closed connection is read for what the client had already sent.
const LINGER: Duration = Duration::from_secs(1);
/// Reads of 4 KiB in one turn while lingering: 256 KiB.
const LINGER_READS: usize = 64;
/// Further turns: 8 MiB in all. Closing with octets unread is a reset, which may take the answer away with it.
const MAX_LINGER_TURNS: usize = 31;

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn a_hello_is_whole_when_its_record_is() {
        let mut hello = [0; 600];
        hello[..5].copy_from_slice(&[22, 3, 1, 2, 0]);
        assert_eq!((0..=hello.len()).find(|length| is_whole(&hello[..*length])), Some(5 + 512));
        assert!(is_whole(&hello), "and more");
    }

    #[test]
    fn what_is_no_hello_is_not_waited_for() {
        assert!(is_whole(b"G"));
        assert!(is_whole(&[21, 3, 1]), "an alert");
        assert!(!is_whole(&[22, 3, 1, 0x40, 0]));
        assert!(is_whole(&[22, 3, 1, 0x40, 1]), "longer than a record can be");
    }
}
