//! Upgraded connections: octets both ways until one side ends, falls silent for too long or the drain is over.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::websocket::{Frames, GOING_AWAY};

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

/// Waits for both sides to switch and copies until the end, or until `leave` says that there is no more time: then the
/// client is told, if what it has got so far lets it understand.
pub(crate) async fn tunnel(
    downstream: OnUpgrade,
    upstream: OnUpgrade,
    idle: Duration,
    leave: impl Future<Output = ()>,
) -> Tunnelled {
    let Ok((downstream, upstream)) = futures_util::future::try_join(downstream, upstream).await else {
        return Tunnelled::default();
    };
    let life = Rc::new(Life { last: Cell::new(Instant::now()), ended: Cell::new(false), ending: Notify::new() });
    let mut downstream = Watched::new(downstream, &life);
    let mut upstream = Watched::new(upstream, &life);
    let expired = tokio::select! {
        _ = tokio::io::copy_bidirectional_with_sizes(&mut downstream, &mut upstream, BUFFER, BUFFER) => false,
        () = life.silence(idle) => !life.ended.get(),
        () = leave => {
            downstream.take_leave().await;
            false
        }
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
    /// What was written.
    written: Frames,
}

impl Watched {
    fn new(stream: Upgraded, life: &Rc<Life>) -> Self {
        Self { stream: TokioIo::new(stream), life: life.clone(), read: 0, written: Frames::default() }
    }

    /// Says that we go away. Who does not take it is not waited for.
    async fn take_leave(&mut self) {
        if self.written.may_close() {
            let said = async {
                self.stream.write_all(&GOING_AWAY).await?;
                self.stream.shutdown().await
            };
            let _ = tokio::time::timeout(FAREWELL, said).await;
        }
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
        let polled = Pin::new(&mut self.stream).poll_write(cx, octets);
        if let Poll::Ready(Ok(written)) = polled {
            self.written.follow(&octets[..written]);
        }
        polled
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
/// How long a client is given to be told that we go away.
const FAREWELL: Duration = Duration::from_millis(50);
/// How long one side may stay silent after the other has ended.
const LEAVE: Duration = Duration::from_secs(10);
