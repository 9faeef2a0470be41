//! Drives one hyper connection under Portico's own timers and its drain.
//!
//! One coarse sleep per connection: it is moved forward only when it fires, and moved back only when a phase with a
//! shorter timer is still on after a poll. A request that comes and goes within a poll touches no timer.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::io::{Activity, Phase};
use crate::config::Timers;
use crate::observe::metrics::Limit;
use crate::overload::PRESSED;
use crate::parking::Spot;
use crate::request::Downstream;

/// What the worker keeps of a connection in order to end it.
#[derive(Debug, Default)]
pub(crate) struct Handle {
    leave: Cell<Leave>,
    /// Whether it is leaving already.
    leaving: Cell<bool>,
    /// Whether its time as a parked connection is over.
    expired: Cell<bool>,
    /// Where it is among the parked ones.
    pub(crate) spot: Spot,
    /// Whether it is cut when it does not get on.
    pressed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// How far a connection has been asked to leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leave {
    /// Stay.
    #[default]
    No,
    /// Finish what is in flight and close.
    Gracefully,
    /// Close now.
    AtOnce,
}

impl Handle {
    /// Asks the connection to leave; a weaker wish than before changes nothing. Asked again, it looks again whether it
    /// may leave now.
    pub(crate) fn leave(&self, how: Leave) {
        let stronger = how > self.leave.get();
        self.leave.set(how.max(self.leave.get()));
        if stronger || !self.leaving.get() {
            self.wake();
        }
    }

    /// How far it has been asked to leave.
    pub(crate) fn wish(&self) -> Leave {
        self.leave.get()
    }

    /// It is leaving: it need not be asked again.
    pub(crate) fn begin_leaving(&self) {
        self.leaving.set(true);
    }

    /// Its time as a parked connection begins.
    pub(crate) fn renew(&self) {
        self.expired.set(false);
    }

    /// Its time as a parked connection is over.
    pub(crate) fn expire(&self) {
        self.expired.set(true);
        self.wake();
    }

    /// Whether its time is over.
    pub(crate) fn expired(&self) -> bool {
        self.expired.get()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

impl Handle {
    /// Asks the connection to look whether its client takes what is written, and to end where it does not. Until it is
    /// told otherwise.
    pub(crate) fn press(&self, on: bool) {
        self.pressed.set(on);
        if on {
            self.wake();
        }
    }
}

/// A hyper connection that can be asked to finish.
pub(crate) trait Connection: Future<Output = hyper::Result<()>> {
    fn finish(self: Pin<&mut Self>);
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, in either way.
    Closed,
    /// Not at all: it is idle and can be parked.
    Idle,
    /// A timer ran out.
    Expired(Limit),
    /// It was cut at the end of the drain; whether a request was in flight.
    Cut(bool),
}

/// The future of one connection.
pub(crate) struct Driver<'a, C> {
    connection: Pin<&'a mut C>,
    sleep: Pin<&'a mut Sleep>,
    activity: &'a Activity,
    handle: &'a Handle,
    timers: Deadlines,
    /// The connection that may be parked.
    parking: Option<&'a Downstream>,
}

/// The timers of a connection, with those of its kind already chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    first_byte: Duration,
    head: Duration,
    keep_alive: Duration,
    park_after: Duration,
    write_stall: Duration,
}

/// What becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Limit(Limit),
    Parking,
}

impl Deadlines {
    pub(crate) fn new(timers: &Timers, trusted: bool) -> Self {
        Self {
            first_byte: if trusted { timers.first_byte_trusted } else { timers.first_byte },
            head: timers.head,
            keep_alive: timers.keep_alive,
            park_after: timers.park_after,
            write_stall: timers.write_stall,
        }
    }

    /// When the connection must have moved on, and what happens otherwise. `quiet` is one that can be parked.
    fn next(&self, activity: &Activity, quiet: bool) -> Option<(Instant, Due)> {
        let (phase, since) = activity.phase();
        let phase = match phase {
            Phase::Fresh => Some((since + self.first_byte, Limit::FirstByte)),
            Phase::Head => Some((since + self.head, Limit::Head)),
            Phase::Active => None,
            Phase::Idle if quiet && self.park_after < self.keep_alive => {
                return Some((since + self.park_after, Due::Parking));
            }
            Phase::Idle => Some((since + self.keep_alive, Limit::KeepAlive)),
        };
        let stalled = activity.stalled().map(|since| (since + self.write_stall, Limit::WriteStall));
        let block = activity.block().map(|since| (since + self.head, Limit::Head));
        let (at, limit) = [phase, stalled, block].into_iter().flatten().min_by_key(|(at, _)| *at)?;
        Some((at, Due::Limit(limit)))
    }
}

impl<'a, C: Connection> Driver<'a, C> {
    /// A driver that keeps its time in `sleep`, whatever that was set to.
    pub(crate) fn new(
        connection: Pin<&'a mut C>,
        mut sleep: Pin<&'a mut Sleep>,
        activity: &'a Activity,
        handle: &'a Handle,
        timers: Deadlines,
    ) -> Self {
        if let Some((at, _)) = timers.next(activity, false) {
            sleep.as_mut().reset(at);
        }
        Self { connection, sleep, activity, handle, timers, parking: None }
    }

    /// Lets it end as [`End::Idle`] once it has been quiet for long enough.
    pub(crate) fn parking(mut self, downstream: &'a Downstream) -> Self {
        self.parking = Some(downstream).filter(|_| !self.timers.park_after.is_zero());
        self
    }

    /// Whether nothing is left of any request, neither here nor on the way to the client.
    fn quiet(&self) -> bool {
        self.parking.is_some_and(|downstream| self.activity.quiet(downstream.begun()))
    }

    /// Does what the drain asks for; `Some` ends the connection.
    fn poll_leave(&mut self) -> Option<End> {
        match self.handle.leave.get() {
            Leave::No => None,
            Leave::Gracefully if self.handle.leaving.get() || self.about_to_ask() => None,
            Leave::Gracefully => {
                self.handle.leaving.set(true);
                self.connection.as_mut().finish();
                None
            }
            Leave::AtOnce => Some(End::Cut(self.activity.phase().0 == Phase::Active)),
        }
    }

    /// Whether memory is needed that the client keeps by not taking what was written for it.
    fn is_pressed(&self) -> bool {
        self.handle.pressed.get() && self.activity.stalled().is_some_and(|since| since.elapsed() >= PRESSED)
    }

    /// Whether a request is probably on its way: a head that has begun, or a connection so young that its first one may
    /// not have arrived. It will be answered with `Connection: close`.
    fn about_to_ask(&self) -> bool {
        match self.activity.phase() {
            (Phase::Head, _) => true,
            (Phase::Fresh, since) => since.elapsed() < YOUNG,
            (Phase::Active | Phase::Idle, _) => false,
        }
    }

    /// Whether the connection has ended, by itself or by a timer.
    fn judge(&mut self, polled: Poll<hyper::Result<()>>, cx: &mut Context<'_>) -> Option<End> {
        match polled {
            Poll::Ready(ended) => Some(ended.err().as_ref().and_then(limit_of).map_or(End::Closed, End::Expired)),
            Poll::Pending => self.poll_timers(cx),
        }
    }

    /// Lets the sleep fire no later than the next deadline; `Some` when that is over.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Option<End> {
        loop {
            let next = self.timers.next(self.activity, self.quiet());
            if let Some((at, _)) = next
                && at < self.sleep.deadline()
            {
                self.sleep.as_mut().reset(at);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return None;
            }
            let now = Instant::now();
            match next {
                Some((at, Due::Limit(limit))) if at <= now => return Some(End::Expired(limit)),
                Some((at, Due::Parking)) if at <= now => return Some(End::Idle),
                Some((at, _)) => self.sleep.as_mut().reset(at),
                None => self.sleep.as_mut().reset(now + self.timers.keep_alive.max(SHORTEST)),
            }
        }
    }
}

impl<C: Connection> Future for Driver<'_, C> {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        if self.handle.waker.borrow().is_none() {
            self.handle.waker.replace(Some(cx.waker().clone()));
        }
        self.activity.turn();
        // Octets that came before the wish to leave are read first: their request is still answered.
        let mut polled = self.connection.as_mut().poll(cx);
        if polled.is_pending() && self.handle.leave.get() != Leave::No {
            if let Some(end) = self.poll_leave() {
                return Poll::Ready(end);
            }
            polled = self.connection.as_mut().poll(cx);
        }
        if polled.is_pending() && self.activity.just_worn() {
            self.connection.as_mut().finish();
            polled = self.connection.as_mut().poll(cx);
        }
        if polled.is_pending() && self.is_pressed() {
            return Poll::Ready(End::Expired(Limit::WriteStall));
        }
        if polled.is_pending() && self.activity.flooded() {
            // One GOAWAY, if it can still be written, and no further work.
            self.connection.as_mut().finish();
            let _ = self.connection.as_mut().poll(cx);
            return Poll::Ready(End::Expired(Limit::H2ControlFrames));
        }
        let mut end = self.judge(polled, cx);
        if end == Some(End::Expired(Limit::Head)) && self.activity.stalled().is_none() && self.activity.call_time() {
            // The gate refuses the head; its answer goes the way of every other.
            let polled = self.connection.as_mut().poll(cx);
            end = self.judge(polled, cx);
        }
        if end == Some(End::Expired(Limit::KeepAlive)) {
            // A client that is about to send something is told that it will not be looked at.
            self.connection.as_mut().finish();
            let _ = self.connection.as_mut().poll(cx);
        }
        end.map_or(Poll::Pending, Poll::Ready)
    }
}

/// The limit that hyper kept by itself.
fn limit_of(error: &hyper::Error) -> Option<Limit> {
    error.is_timeout().then_some(Limit::H2Ping)
}

/// How long a new connection is given for its first request while the worker drains.
const YOUNG: Duration = Duration::from_secs(1);

/// Shortest time between two looks at the timers while none is on.
const SHORTEST: Duration = Duration::from_secs(1);
