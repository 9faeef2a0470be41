//! TLS handshakes in turns: what makes them dear is done for a few of them before the worker looks after its connections.
//!
//! A client's first octets set off the key exchange and the signature, a thousand times the work of a request. When many
//! come back at once - after a restart, say - those who are served already would wait for all of them. Invariant: whoever
//! has not said its hello to the end holds no turn, so nobody can keep others from theirs.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::listener::socket::Socket;
use crate::observe::metrics::Gauge;

/// The turns of one worker.
#[derive(Debug)]
pub(super) struct Turns(Semaphore);

impl Turns {
    /// So many handshakes in one turn, at least one.
    pub(super) fn new(at_once: usize) -> Self {
        Self(Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS)))
    }

    /// Shakes hands with a client once its hello is here and it has its turn.
    pub(super) async fn handshake(&self, acceptor: &TlsAcceptor, mut socket: Socket) -> io::Result<TlsStream<Socket>> {
        // What does not begin like a record is refused by who knows better.
        socket.hello().await;
        self.begin(acceptor.accept(socket)).await
    }

    /// Takes a turn for the first step of `shaking`, and keeps it until the worker's other tasks have had theirs.
    async fn begin<S>(&self, shaking: impl Future<Output = io::Result<S>>) -> io::Result<S>
    where
        S: AsyncRead + AsyncWrite,
    {
        let mut shaking = pin!(shaking);
        let turn = self.0.acquire().await.map_err(io::Error::other)?;
        let first = std::future::poll_fn(|cx| Poll::Ready(shaking.as_mut().poll(cx))).await;
        if let Poll::Ready(done) = first {
            return done;
        }
        tokio::task::yield_now().await;
        drop(turn);
        shaking.await
    }
}

/// Counts while it lives.
#[derive(Debug)]
pub(super) struct Active<'a>(&'a Gauge);

impl<'a> Active<'a> {
    pub(super) fn begin(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::io::{DuplexStream, duplex};
    use tokio::task::{LocalSet, yield_now};

    use super::*;

    /// A handshake of two steps that counts those begun.
    async fn two_steps(begun: Rc<Cell<usize>>) -> io::Result<DuplexStream> {
        begun.set(begun.get() + 1);
        yield_now().await;
        Ok(duplex(1).0)
    }

    #[tokio::test]
    async fn no_more_than_a_turn_of_them_begins_between_two_looks_at_others() {
        let begun = Rc::new(Cell::new(0));
        LocalSet::new()
            .run_until(async {
                let turns = Rc::new(Turns::new(3));
                let all: Vec<_> = (0..30)
                    .map(|_| {
                        let (turns, begun) = (turns.clone(), begun.clone());
                        tokio::task::spawn_local(async move { turns.begin(two_steps(begun)).await.is_ok() })
                    })
                    .collect();
                let (mut before, mut most) = (0, 0);
                while begun.get() < 30 {
                    yield_now().await;
                    most = most.max(begun.get() - before);
                    before = begun.get();
                }
                for one in all {
                    assert!(one.await.expect("it does not panic"));
                }
                assert!((1..=3).contains(&most), "{most}");
            })
            .await;
    }
}
