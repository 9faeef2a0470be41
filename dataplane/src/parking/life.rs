//! The life of a connection, served and parked by turns: the one future that its task keeps throughout.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Parked;
use super::parked::Woken;
use crate::protocol::{End, Version, serve};

/// What serves a connection for the time being.
pub(crate) type Service = Pin<Box<dyn Future<Output = Served>>>;

/// How serving a connection came to its end.
pub(crate) enum Served {
    /// This serves it from here on, and what was needed before is given up.
    By(Service),
    /// With the connection.
    Ended(End),
    /// It is idle.
    Parked(Box<Parked>),
}

/// A connection from its acceptance to its end.
///
/// Small, because a parked connection's task is as large as this: what serves lives in a box of its own.
pub(crate) struct Life(State);

enum State {
    Served(Service),
    /// Empty only while it is built anew.
    Parked(Option<Box<Parked>>),
}

impl Life {
    /// The life that begins with this service.
    pub(crate) fn new(served: impl Future<Output = Served> + 'static) -> Self {
        Self(State::Served(Box::pin(served)))
    }
}

impl Future for Life {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            self.0 = match &mut self.0 {
                State::Served(served) => match ready!(served.as_mut().poll(cx)) {
                    Served::By(service) => State::Served(service),
                    Served::Ended(end) => return Poll::Ready(end),
                    Served::Parked(parked) => State::Parked(Some(parked)),
                },
                State::Parked(parked) => {
                    let woken =
                        parked.as_mut().map_or(Poll::Ready(Woken::Ended(End::Closed)), |parked| parked.poll(cx));
                    match (ready!(woken), parked.take()) {
                        (Woken::Octets, Some(parked)) => {
                            let (transport, downstream, handle) = parked.leave();
                            State::Served(serve(transport, Version::Http1, downstream, handle))
                        }
                        (Woken::Ended(end), _) => return Poll::Ready(end),
                        (Woken::Octets, None) => return Poll::Ready(End::Closed),
                    }
                }
            };
        }
    }
}
