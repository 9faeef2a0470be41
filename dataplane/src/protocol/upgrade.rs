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
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Octets that went each way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tunnelled {
    /// From the client.
    pub(crate) up: u64,
    /// To the client.
    pub(crate) down: u64,
    /// Whether it ended because nothing came for too long.
    pub(crate) expired: bool,
}

/// Waits for both sides to switch and copies until the end.
pub(crate) async fn tunnel(downstream: OnUpgrade, upstream: OnUpgrade, idle: Duration) -> Tunnelled {
    let Ok((downstream, upstream)) = futures_util::future::try_join(downstream, upstream).await else {
        return Tunnelled::default();
    };
    let life = Rc::new(Life { last: Cell::new(Instant::now()), ended: Cell::new(false), ending: Notify::new() });
    let mut downstream = Watched::new(downstream, &life);
    let mut upstream = Watched::new(upstream, &life);
    let expired = tokio::select! {
        _ = tokio::io::copy_bidirectional_with_sizes(&mut downstream, &mut upstream, BUFFER, BUFFER) => false,
        () = life.silence(idle) => !life.ended.get(),
    };
    Tunnelled { up: downstream.read, down: upstream.read, expired }
}

/// What both sides know of each other.
struct Life {
    /// When an octet came last.
    last: Cell<Instant>,
    /// Whether one side has said everything.
    ended: Cell<bool>,
    ending: Notify,
}

impl Life {
    /// Ends when nothing has come from either side for `idle`; sooner once one side has ended, because then the other
    /// one only has to take its leave.
    async fn silence(&self, idle: Duration) {
        loop {
            let longest = if self.ended.get() { idle.min(LEAVE) } else { idle };
            let until = self.last.get() + longest;
            if until <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.ending.notified() => {}
            }
        }
    }
}

/// One side, counting and stamping what is read.
struct Watched {
    stream: TokioIo<Upgraded>,
    life: Rc<Life>,
    read: u64,
}

impl Watched {
    fn new(stream: Upgraded, life: &Rc<Life>) -> Self {
        Self { stream: TokioIo::new(stream), life: life.clone(), read: 0 }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = buffer.filled().len() - before;
        if read > 0 {
            self.read += read as u64;
        } else if polled.is_ready() {
            self.life.ended.set(true);
            self.life.ending.notify_one();
        }
        if polled.is_ready() {
            self.life.last.set(Instant::now());
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
/// How long one side may stay silent after the other has ended.
const LEAVE: Duration = Duration::from_secs(10);
