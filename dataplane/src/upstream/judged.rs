//! The I/O of an upstream connection that speaks HTTP/1: hyper's client reads what the gate lets pass.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gate::Sieve;
use crate::gate::response::{Line, Responses};
use crate::observe::metrics::WorkerMetrics;
use crate::overload::Reset;

/// A connection to an endpoint, after TLS.
#[derive(Debug)]
pub(super) struct Judged<S: Reset> {
    stream: S,
    line: Arc<Line>,
    sieve: Sieve<Responses>,
}

impl<S: Reset> Judged<S> {
    /// `most` is the size of the largest response head.
    pub(super) fn new(stream: S, line: Arc<Line>, metrics: Arc<WorkerMetrics>, most: usize) -> Self {
        let sieve = Sieve::new(Responses::new(line.clone(), metrics, most));
        Self { stream, line, sieve }
    }

    /// Octets are about to go out; not for a request that nobody waits for.
    fn begin_writing(&self) -> io::Result<()> {
        if self.line.is_abandoned() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.line.sent();
        Ok(())
    }
}

impl<S: Reset> Drop for Judged<S> {
    /// A request that nobody waits for does not go on in the buffers of the system.
    fn drop(&mut self) {
        if self.line.is_abandoned() && self.line.is_laden() {
            self.stream.reset();
        }
    }
}

impl<S: AsyncRead + Reset + Unpin> AsyncRead for Judged<S> {
    /// What passes; an error once something came that does not, which ends the connection.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, line, sieve } = &mut *self;
        let before = buffer.filled().len();
        while buffer.filled().len() == before && !sieve.give(buffer) {
            if let Some(fault) = sieve.fault() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault.why)));
            }
            if sieve.is_shut() {
                break;
            }
            ready!(Pin::new(&mut *stream).poll_read(cx, buffer))?;
            if buffer.filled().len() == before {
                break;
            }
            sieve.take(buffer, before);
            if sieve.is_shut() {
                line.spoil();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Reset + Unpin> AsyncWrite for Judged<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.begin_writing()?;
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin_writing()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if polled.is_ready() {
            self.line.unload();
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
