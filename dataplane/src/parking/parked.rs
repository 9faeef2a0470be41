//! A parked connection: what it keeps, and what it does with whatever wakes it.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Transport;
use crate::observe::metrics::Limit;
use crate::protocol::{End, Handle, Leave};
use crate::request::Downstream;

/// An idle HTTP/1 connection without its HTTP.
#[derive(Debug)]
pub(crate) struct Parked {
    transport: Transport,
    stay: Stay,
    /// Whether the end was begun: everything is said but for what the transport says itself.
    closing: bool,
}

/// What ended the stay.
#[derive(Debug)]
pub(crate) enum Woken {
    /// Octets came: the connection must be built anew.
    Octets,
    Ended(End),
}

/// A parked connection in its worker's books, whichever way it leaves them.
#[derive(Debug)]
struct Stay {
    downstream: Rc<Downstream>,
    handle: Rc<Handle>,
}

impl Parked {
    /// Parks a connection that is between two messages; `read` is what was read of the next one.
    pub(crate) fn new(transport: Transport, read: &[u8], downstream: Rc<Downstream>, handle: Rc<Handle>) -> Self {
        let mut transport = transport.renewed();
        transport.feed(read);
        let worker = &downstream.worker;
        let (_, since) = downstream.activity.phase();
        worker.parked().insert(&handle, since + worker.config.timers.keep_alive);
        worker.metrics.connections_parked.inc();
        Self { transport, stay: Stay { downstream, handle }, closing: false }
    }

    /// What a connection is built anew from.
    pub(crate) fn leave(self) -> (Transport, Rc<Downstream>, Rc<Handle>) {
        let Self { transport, stay, .. } = self;
        (transport, stay.downstream.clone(), stay.handle.clone())
    }

    /// Waits for octets or the end. What TLS says to itself - tickets, new keys - is dealt with and wakes nobody.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Woken> {
        if self.closing {
            return self.poll_close(cx);
        }
        let mut room = [MaybeUninit::uninit(); READ];
        let mut buffer = ReadBuf::uninit(&mut room);
        match Pin::new(&mut self.transport).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                self.transport.feed(buffer.filled());
                return Poll::Ready(Woken::Octets);
            }
            Poll::Ready(Ok(())) => return self.close(cx),
            Poll::Ready(Err(_)) => return Poll::Ready(Woken::Ended(End::Closed)),
            Poll::Pending => {}
        }
        // An alert of the session's own; there is nothing else to be sent.
        let _ = Pin::new(&mut self.transport).poll_flush(cx);
        match self.stay.handle.wish() {
            Leave::No if self.stay.handle.expired() => {
                // Said as far as it can be said at once.
                let _ = Pin::new(&mut self.transport).poll_shutdown(cx);
                Poll::Ready(Woken::Ended(End::Expired(Limit::KeepAlive)))
            }
            Leave::No => Poll::Pending,
            Leave::Gracefully => self.close(cx),
            Leave::AtOnce => Poll::Ready(Woken::Ended(End::Cut(false))),
        }
    }

    /// Begins the end: FIN, and whatever TLS has to say before.
    fn close(&mut self, cx: &mut Context<'_>) -> Poll<Woken> {
        self.closing = true;
        let Stay { downstream, handle } = &self.stay;
        handle.begin_leaving();
        let longest = downstream.worker.config.timers.write_stall;
        downstream.worker.parked().insert(handle, Instant::now() + longest);
        self.poll_close(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Woken> {
        if self.stay.handle.wish() == Leave::AtOnce {
            return Poll::Ready(Woken::Ended(End::Cut(false)));
        }
        if self.stay.handle.expired() {
            return Poll::Ready(Woken::Ended(End::Expired(Limit::WriteStall)));
        }
        let _ = ready!(Pin::new(&mut self.transport).poll_shutdown(cx));
        Poll::Ready(Woken::Ended(End::Closed))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let worker = &self.downstream.worker;
        worker.parked().remove(&self.handle);
        worker.metrics.connections_parked.dec();
    }
}

/// Octets that a wake-up reads; what is more is read by the connection that is built.
const READ: usize = 4096;
