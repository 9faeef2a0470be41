//! A downstream connection in either form, with octets that were read ahead of whoever reads it next.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::listener::socket::Socket;

/// A connection below HTTP, in clear or inside TLS.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: Stream,
    /// Read already, and to be read again before anything else.
    ahead: Bytes,
}

#[derive(Debug)]
enum Stream {
    Clear(Socket),
    /// Boxed: a session is over a kilobyte, and moves whenever its connection is parked or built anew.
    Tls(Box<TlsStream<Socket>>),
}

impl From<Socket> for Transport {
    fn from(socket: Socket) -> Self {
        Self { stream: Stream::Clear(socket), ahead: Bytes::new() }
    }
}

impl From<TlsStream<Socket>> for Transport {
    fn from(stream: TlsStream<Socket>) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), ahead: Bytes::new() }
    }
}

impl Transport {
    /// The same in memory of its own age. A session is made among much that goes before it, and in its old place it would
    /// keep a whole page of the allocator from being given back.
    pub(crate) fn renewed(self) -> Self {
        let stream = match self.stream {
            Stream::Clear(socket) => Stream::Clear(socket),
            Stream::Tls(session) => Stream::Tls(Box::new(*session)),
        };
        Self { stream, ahead: self.ahead }
    }

    /// Puts octets in front of what is read next, nothing being there from before. They are copied, because the buffer
    /// they come in may be much larger than they are.
    pub(crate) fn feed(&mut self, octets: &[u8]) {
        debug_assert!(self.ahead.is_empty(), "octets are fed once");
        self.ahead = Bytes::copy_from_slice(octets);
    }
}

/// Hands a call to whichever stream there is.
macro_rules! stream {
    ($transport:expr, $stream:ident => $call:expr) => {
        match &mut $transport.stream {
            Stream::Clear($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return stream!(self, stream => stream.poll_read(cx, buffer));
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..length]);
        self.ahead.advance(length);
        if self.ahead.is_empty() {
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        stream!(self, stream => stream.poll_write(cx, octets))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        stream!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Clear(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream!(self, stream => stream.poll_shutdown(cx))
    }
}
