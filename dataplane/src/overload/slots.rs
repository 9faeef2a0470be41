//! Descriptors for connections to upstreams, process-wide: what clients leave is shared by all workers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How many connections to upstreams may be open at once.
#[derive(Debug)]
pub(crate) struct Slots {
    most: usize,
    taken: AtomicUsize,
}

impl Slots {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    /// A slot, if one is left; it is given back when it is dropped.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        let slot = Slot(self.clone());
        (self.taken.fetch_add(1, Relaxed) < self.most).then_some(slot)
    }

    /// How many are taken now.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }
}

/// A slot that is taken.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

/// A connection with its slot: whoever owns the one owns the other, after an upgrade, too.
#[derive(Debug)]
pub(crate) struct Held<S> {
    stream: S,
    _slot: Slot,
}

impl<S> Held<S> {
    pub(crate) fn new(stream: S, slot: Slot) -> Self {
        Self { stream, _slot: slot }
    }
}

/// A connection that can be ended with a reset: what the peer has not taken yet is not kept for it.
pub(crate) trait Reset {
    /// Makes closing it a reset; where that cannot be had, an ordinary end must do.
    fn reset(&self);
}

impl Reset for Held<TcpStream> {
    fn reset(&self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

impl Reset for TlsStream<Held<TcpStream>> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
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
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_back_whoever_drops_them() {
        let slots = Slots::new(2);
        let (one, two) = (slots.take(), slots.take());
        assert!(one.is_some() && two.is_some() && slots.take().is_none());
        assert_eq!(slots.taken(), 2, "a refusal takes none");
        drop(one);
        let held = Held::new(tokio::io::empty(), slots.take().expect("one is free"));
        assert!(slots.take().is_none());
        drop(held);
        drop(two);
        assert_eq!(slots.taken(), 0);
    }
}
