//! Upgraded connections: octets both ways until one side ends, falls silent for too long or the drain is over.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// Octets that went each way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tunnelled {
    /// From the client.
    pub(crate) up: u64,
    /// To the client.
    pub(crate) down: u64,
}

/// Waits for both sides to switch and copies until the end.
pub(crate) async fn tunnel(downstream: OnUpgrade, upstream: OnUpgrade, idle: Duration) -> Tunnelled {
    let Ok((downstream, upstream)) = futures_util::future::try_join(downstream, upstream).await else {
        return Tunnelled::default();
    };
    let last = Rc::new(Cell::new(Instant::now()));
    let mut downstream = Watched::new(downstream, &last);
    let mut upstream = Watched::new(upstream, &last);
    let copied = tokio::select! {
        copied = tokio::io::copy_bidirectional_with_sizes(&mut downstream, &mut upstream, BUFFER, BUFFER) => copied.is_ok(),
        () = silence(&last, idle) => false,
    };
    tracing::trace!(clean = copied, "upgraded connection ended");
    Tunnelled { up: downstream.read, down: upstream.read }
}

/// Ends when nothing has come from either side for `idle`.
async fn silence(last: &Cell<Instant>, idle: Duration) {
    loop {
        let until = last.get() + idle;
        sleep_until(until).await;
        if last.get() + idle <= until {
            return;
        }
    }
}

/// One side, counting and stamping what is read.
struct Watched {
    stream: TokioIo<Upgraded>,
    last: Rc<Cell<Instant>>,
    read: u64,
}

impl Watched {
    fn new(stream: Upgraded, last: &Rc<Cell<Instant>>) -> Self {
        Self { stream: TokioIo::new(stream), last: last.clone(), read: 0 }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = buffer.filled().len() - before;
        if read > 0 {
            self.read += read as u64;
            self.last.set(Instant::now());
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Copy buffer of each direction in octets.
const BUFFER: usize = 16 * 1024;
