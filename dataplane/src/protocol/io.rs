//! The I/O that hyper is given: every octet of a connection passes here, after TLS.
//!
//! HTTP/1 goes through the gate, HTTP/2 past the counter of frames. On the way it stamps what the timers need to know:
//! first octet, head begun, write stalled. The state is shared with the connection's driver through atomics, because
//! hyper's upgrades ask for `Send`; both sides run on the same thread.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::frames::Frames;
use crate::gate::request::{Requests, seems_http1, stand_in};
use crate::gate::{Fault, Sieve};
use crate::request::ProxyError;

/// What a connection is doing, as its timers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Accepted; no octet yet.
    Fresh,
    /// Part of a request head has come.
    Head,
    /// At least one request is being answered.
    Active,
    /// Between requests.
    Idle,
}

/// What driver, I/O and requests of one connection share.
#[derive(Debug)]
pub(crate) struct Activity {
    start: Instant,
    phase: AtomicU8,
    /// Begin of the phase, milliseconds since `start`.
    since: AtomicU64,
    /// Begin of the stalled write.
    stalled: Mark,
    /// Begin of the HTTP/2 header block that is under way.
    block: Mark,
    /// How often the connection's task had its turn.
    turns: AtomicU32,
    flooded: AtomicBool,
    broken: AtomicBool,
    upgraded: AtomicBool,
    /// Whether the connection has served its time.
    worn: AtomicBool,
    /// Whether part of an HTTP/1 head has come.
    partial: AtomicBool,
    /// Whether the time for it is over.
    late: AtomicBool,
    /// HTTP/1: while the I/O waits for a head and holds nothing, the messages before it plus one; otherwise 0.
    waiting: AtomicU64,
    /// Whether everything written is flushed; hyper flushes only when it holds nothing itself.
    flushed: AtomicBool,
    /// The number of the request that is refused, counted from 1, and why. It is the last one.
    refusal: OnceLock<(u32, ProxyError)>,
    /// Whether the connection might have begun as HTTP/2 in clear.
    either: AtomicBool,
    /// Whether the client gets no answer any more.
    mute: AtomicBool,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            phase: AtomicU8::new(Phase::Fresh as u8),
            since: AtomicU64::new(0),
            stalled: Mark::default(),
            block: Mark::default(),
            turns: AtomicU32::new(0),
            flooded: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            worn: AtomicBool::new(false),
            partial: AtomicBool::new(false),
            late: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            flushed: AtomicBool::new(false),
            refusal: OnceLock::new(),
            either: AtomicBool::new(false),
            mute: AtomicBool::new(false),
        }
    }

    /// The phase and its begin.
    pub(crate) fn phase(&self) -> (Phase, Instant) {
        let phase = match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Fresh,
            1 => Phase::Head,
            2 => Phase::Active,
            _ => Phase::Idle,
        };
        (phase, self.start + Duration::from_millis(self.since.load(Ordering::Relaxed)))
    }

    /// Enters a phase; `now` is the time.
    pub(crate) fn enter(&self, phase: Phase, now: Instant) {
        let since = u64::try_from((now - self.start).as_millis()).unwrap_or(u64::MAX);
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.since.store(since, Ordering::Relaxed);
    }

    /// The connection's task has its turn: tasks that it started before have had theirs.
    pub(crate) fn turn(&self) {
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The last request has ended. A head that has begun meanwhile has its whole time from now on.
    pub(crate) fn rest(&self, now: Instant) {
        self.flushed.store(false, Ordering::Relaxed);
        self.enter(if self.partial.load(Ordering::Relaxed) { Phase::Head } else { Phase::Idle }, now);
    }

    /// The time for a head is over: the gate may refuse it when it is asked next. False when it was told before.
    pub(crate) fn call_time(&self) -> bool {
        !self.late.swap(true, Ordering::Relaxed)
    }

    /// HTTP/1: whether the connection is between two messages, `begun` requests having begun: the I/O waits for a head
    /// with nothing in hand, hyper has begun everything that passed, and the last answer was flushed to its end.
    pub(crate) fn quiet(&self, begun: u32) -> bool {
        self.phase().0 == Phase::Idle
            && self.waiting.load(Ordering::Relaxed) == u64::from(begun) + 1
            && self.flushed.load(Ordering::Relaxed)
    }

    /// The connection is built anew: what was known of the I/O before is over.
    pub(crate) fn resume(&self) {
        self.waiting.store(0, Ordering::Relaxed);
        self.flushed.store(false, Ordering::Relaxed);
    }

    /// Which request is refused, counted from 1, and why.
    pub(crate) fn refusal(&self) -> Option<(u32, ProxyError)> {
        self.refusal.get().copied()
    }

    /// The connection is on an address that speaks HTTP/2 in clear as well, and has not begun with its preface.
    pub(crate) fn either(&self) {
        self.either.store(true, Ordering::Relaxed);
    }

    /// Begin of the write that is stalled.
    pub(crate) fn stalled(&self) -> Option<Instant> {
        self.stalled.get(self.start)
    }

    /// Begin of the HTTP/2 request head that is under way.
    pub(crate) fn block(&self) -> Option<Instant> {
        self.block.get(self.start)
    }

    /// Whether the client sent too many HTTP/2 control frames.
    pub(crate) fn flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }

    /// An answer that ends with the connection ends too soon: only a reset can say so.
    pub(crate) fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Whether the connection must not end cleanly.
    pub(crate) fn broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// The connection is to end with what is in flight.
    pub(crate) fn wear_out(&self) {
        self.worn.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end, and nobody has been told yet. True once.
    pub(crate) fn just_worn(&self) -> bool {
        self.worn.load(Ordering::Relaxed) && self.worn.swap(false, Ordering::Relaxed)
    }

    /// The connection speaks another protocol now.
    pub(crate) fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// Whether what comes after our end was said is still for somebody.
    pub(crate) fn upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }

    /// HTTP/1: whether part of a head has come. Outside a request its time begins.
    fn partial(&self, partial: bool) {
        self.partial.store(partial, Ordering::Relaxed);
        if partial && matches!(self.phase().0, Phase::Fresh | Phase::Idle) {
            self.enter(Phase::Head, Instant::now());
        }
    }

    /// HTTP/2: frames tell when a head is under way; others are no sign of life.
    fn read_http2(&self, frames: &Frames) {
        if self.phase().0 == Phase::Fresh {
            self.enter(Phase::Idle, Instant::now());
        }
        if frames.flooded() {
            self.flooded.store(true, Ordering::Relaxed);
        }
        self.block.set(frames.in_head(), self.start);
    }
}

/// Since when something has been the case: milliseconds since the connection's start plus one; 0 when it is not.
#[derive(Debug, Default)]
struct Mark(AtomicU64);

impl Mark {
    fn set(&self, on: bool, start: Instant) {
        let set = self.0.load(Ordering::Relaxed) != 0;
        if on && !set {
            let now = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.0.store(now + 1, Ordering::Relaxed);
        } else if !on && set {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    fn get(&self, start: Instant) -> Option<Instant> {
        self.0.load(Ordering::Relaxed).checked_sub(1).map(|at| start + Duration::from_millis(at))
    }
}

/// A downstream connection after TLS, judged and stamped; hyper gets it inside a `TokioIo`.
#[derive(Debug)]
pub(crate) struct Stamped<S> {
    stream: S,
    activity: Arc<Activity>,
    watch: Watch,
}

/// What looks at the octets that come.
#[derive(Debug)]
enum Watch {
    Http1(Box<Sieve<Requests>>),
    /// Beside the frames what was read and has to wait.
    Http2(Frames, BytesMut),
}

impl<S> Stamped<S> {
    /// An HTTP/1 connection, whose requests `judge` judges.
    /// `messages` passed before it was last parked.
    pub(crate) fn http1(stream: S, activity: Arc<Activity>, judge: Requests, messages: u32) -> Self {
        activity.resume();
        Self { stream, activity, watch: Watch::Http1(Box::new(Sieve::behind(messages, judge))) }
    }

    /// An HTTP/2 connection.
    pub(crate) fn http2(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, watch: Watch::Http2(Frames::new(), BytesMut::new()) }
    }

    /// What lies below.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stamped<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, activity, watch } = &mut *self;
        match watch {
            Watch::Http1(sieve) => {
                let polled = poll_judged(stream, activity, sieve, cx, buffer);
                let between = polled.is_pending() && sieve.is_between();
                let waiting = if between { u64::from(sieve.messages()) + 1 } else { 0 };
                activity.waiting.store(waiting, Ordering::Relaxed);
                polled
            }
            Watch::Http2(frames, held) => poll_followed(stream, activity, (frames, held), cx, buffer),
        }
    }
}

/// Reads what passes the gate. A head that is refused becomes its stand-in, behind which nothing comes.
fn poll_judged<S: AsyncRead + Unpin>(
    stream: &mut S,
    activity: &Activity,
    sieve: &mut Sieve<Requests>,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = buffer.filled().len();
    while buffer.filled().len() == before && !sieve.give(buffer) {
        if let Some(fault) = due(activity, sieve) {
            refuse(activity, sieve, fault)?;
            continue;
        }
        if sieve.holds() && activity.upgraded() {
            sieve.open();
            continue;
        }
        if sieve.is_shut() || sieve.holds() && sieve.held().len() >= MOST_HELD {
            // Whoever waits for more is woken by a timer or by what it waits for besides.
            return Poll::Pending;
        }
        ready!(Pin::new(&mut *stream).poll_read(cx, buffer))?;
        if buffer.filled().len() == before {
            break;
        }
        sieve.take(buffer, before);
        activity.partial(sieve.at_head() && !sieve.held().is_empty());
    }
    Poll::Ready(Ok(()))
}

/// Reads HTTP/2 past the counter of frames. Behind a burst of heads the connection waits for its next turn, so that
/// their requests are dealt with before more of them are read into memory.
fn poll_followed<S: AsyncRead + Unpin>(
    stream: &mut S,
    activity: &Activity,
    (frames, held): (&mut Frames, &mut BytesMut),
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    frames.turn(activity.turns.load(Ordering::Relaxed));
    if frames.is_burst() {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    let before = buffer.filled().len();
    if held.is_empty() {
        ready!(Pin::new(stream).poll_read(cx, buffer))?;
    } else {
        let length = held.len().min(buffer.remaining());
        buffer.put_slice(&held.split_to(length));
    }
    let read = &buffer.filled()[before..];
    if read.is_empty() {
        return Poll::Ready(Ok(()));
    }
    let passed = frames.follow(read);
    if passed < read.len() {
        let rest = std::mem::take(held);
        held.extend_from_slice(&read[passed..]);
        held.extend_from_slice(&rest);
        buffer.set_filled(before + passed);
    }
    activity.read_http2(frames);
    Poll::Ready(Ok(()))
}

/// What there is to refuse: what the gate found, or a head that is not whole in time.
fn due(activity: &Activity, sieve: &mut Sieve<Requests>) -> Option<Fault<ProxyError>> {
    let late = || activity.late.load(Ordering::Relaxed) && sieve.at_head();
    late().then_some(Fault { why: ProxyError::HeadTimeout, whole: true }).or_else(|| sieve.fault())
}

/// Refuses the message that is being judged; one whose head has passed can only be broken off.
fn refuse(activity: &Activity, sieve: &mut Sieve<Requests>, fault: Fault<ProxyError>) -> io::Result<()> {
    if !fault.whole {
        sieve.shut(&[]);
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the request body is broken"));
    }
    let number = sieve.messages().wrapping_add(1);
    // A broken preface of HTTP/2 ends the connection (RFC 9113 section 3.4); words of HTTP/1 would be broken frames.
    let malformed = number == 1 && matches!(fault.why, ProxyError::Malformed(_));
    if malformed && activity.either.load(Ordering::Relaxed) && !seems_http1(sieve.held()) {
        activity.mute.store(true, Ordering::Relaxed);
    }
    if activity.refusal.set((number, fault.why)).is_ok() {
        let stand_in = stand_in(sieve.held());
        sieve.shut(&stand_in);
    }
    activity.partial(false);
    Ok(())
}

/// Octets that are kept of what a client sends before it is known whether its connection is upgraded.
const MOST_HELD: usize = 64 * 1024;

impl<S: AsyncWrite + Unpin> AsyncWrite for Stamped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if self.activity.mute.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(octets.len()));
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.activity.flushed.store(false, Ordering::Relaxed);
        self.activity.stalled.set(polled.is_pending(), self.activity.start);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.activity.mute.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.activity.flushed.store(false, Ordering::Relaxed);
        self.activity.stalled.set(polled.is_pending(), self.activity.start);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.activity.flushed.store(matches!(polled, Poll::Ready(Ok(()))), Ordering::Relaxed);
        self.activity.stalled.set(polled.is_pending(), self.activity.start);
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
