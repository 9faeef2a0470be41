//! Request bodies: what the client owes, how fast, and what may have to be sent again.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::super::context::{Busy, Downstream};
use super::super::error::ProxyError;
use super::{BodyError, Polled, filter_trailers};
use crate::config::Timers;
use crate::gate::response::Line;
use crate::observe::metrics::Limit;
use crate::overload::{Level, Overload};

/// What a request body must keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyRules {
    /// Octets; more is [`ProxyError::BodyTooLarge`].
    pub(crate) most: Option<u64>,
    /// Longest silence.
    pub(crate) idle: Duration,
    /// Octets a second after the grace; `None` for gRPC.
    pub(crate) rate: Option<(u64, Duration)>,
    /// Whether trailers may pass.
    pub(crate) trailers: bool,
    /// Whether the protocol marks the end: a stream that is reset without an error looks as if it had ended, too.
    pub(crate) marked: bool,
}

impl BodyRules {
    /// `stream` for gRPC.
    pub(crate) fn new(timers: &Timers, most: Option<u64>, stream: bool, trailers: bool, version: Version) -> Self {
        let idle = if stream { timers.stream_idle } else { timers.body_idle };
        let rate = (!stream).then_some((timers.body_rate, timers.body_rate_grace));
        Self { most, idle, rate, trailers, marked: version == Version::HTTP_2 }
    }
}

/// A request body as the upstream connection reads it.
#[derive(Clone, Debug)]
pub(crate) enum RequestBody {
    /// None, and none to come.
    Empty,
    /// The client's.
    Streaming(Rc<Upload>),
}

/// A body coming from the client; shared by whoever sends it and whoever waits for the response.
#[derive(Debug)]
pub(crate) struct Upload {
    rules: BodyRules,
    octets: Cell<u64>,
    /// When the last octet was handed on; `None` while more is to come.
    ended: Cell<Option<Instant>>,
    /// When octets were handed on last.
    moved: Cell<Instant>,
    fault: Cell<Option<ProxyError>>,
    answered: Cell<bool>,
    /// Most octets of the whole body, once the response is over.
    drained: Cell<Option<u64>>,
    /// Time spent waiting for the client; time that the upstream takes is not the client's.
    waited: Cell<Duration>,
    stream: RefCell<Stream>,
    /// The HTTP/1 connection on which it is sent.
    line: RefCell<Option<Arc<Line>>>,
    overload: Arc<Overload>,
    /// Held until the client has sent everything.
    busy: RefCell<Option<Busy>>,
}

#[derive(Debug)]
struct Stream {
    /// `None` once the client is not listened to any more.
    body: Option<Incoming>,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// While nothing is read for want of memory.
    pause: Option<Pin<Box<Sleep>>>,
    /// What was handed on so far, while it may have to be sent again.
    record: Option<Vec<Bytes>>,
    /// What has to be sent again, last first.
    again: Vec<Bytes>,
}

impl Stream {
    fn is_end(&self) -> bool {
        self.again.is_empty() && self.body.as_ref().is_some_and(Body::is_end_stream)
    }
}

impl RequestBody {
    /// The client's body; nothing for one that is empty.
    pub(crate) fn new(body: Incoming, rules: BodyRules, downstream: &Rc<Downstream>) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let now = Instant::now();
        Self::Streaming(Rc::new(Upload {
            rules,
            octets: Cell::new(0),
            ended: Cell::new(None),
            moved: Cell::new(now),
            fault: Cell::new(None),
            answered: Cell::new(false),
            drained: Cell::new(None),
            waited: Cell::new(Duration::ZERO),
            stream: RefCell::new(Stream {
                body: Some(body),
                waiting: None,
                pause: None,
                record: None,
                again: Vec::new(),
            }),
            line: RefCell::new(None),
            overload: downstream.worker.overload.clone(),
            busy: RefCell::new(Some(Busy::new(downstream, now))),
        }))
    }

    /// The body, when there is one.
    pub(crate) fn upload(&self) -> Option<&Rc<Upload>> {
        match self {
            Self::Empty => None,
            Self::Streaming(upload) => Some(upload),
        }
    }
}

impl Upload {
    /// Octets handed on.
    pub(crate) fn octets(&self) -> u64 {
        self.octets.get()
    }

    /// When the body had been handed on whole; `None` before.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended.get()
    }

    /// Since when it is the upstream's turn: to answer, or to take more of the body. Now while the client owes octets,
    /// because then its own timers run.
    pub(crate) fn upstream_turn(&self) -> Instant {
        let owed = || self.stream.borrow().waiting.is_some().then(Instant::now);
        self.ended.get().or_else(owed).unwrap_or(self.moved.get())
    }

    /// It is sent on this connection from now on, or on one of HTTP/2.
    pub(crate) fn goes_by(&self, line: Option<&Arc<Line>>) {
        self.line.replace(line.cloned());
    }

    /// While memory is scarce, or was lately, nothing is read before the connection to the endpoint has taken what was read before, for
    /// which HTTP/2 has windows; when there is next to none, nothing at all.
    fn poll_room(&self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.overload.level() < Level::Closed {
                let line = self.line.borrow();
                let line = line.as_ref().filter(|_| self.overload.is_scarce());
                return line.map_or(Poll::Ready(()), |line| line.poll_unladen(cx));
            }
            let pause = stream.pause.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
            ready!(pause.as_mut().poll(cx));
            stream.pause = None;
        }
    }

    /// Since when the endpoint has taken nothing of what it was sent; `None` while there is nothing that it could take.
    pub(crate) fn untaken(&self) -> Option<Instant> {
        let taken = self.line.borrow().as_ref().map_or(self.stream.borrow().waiting.is_some(), |line| !line.is_laden());
        (!taken && self.ended.get().is_none()).then(|| self.moved.get())
    }

    /// The client has sent everything.
    fn end(&self) {
        self.ended.set(Some(Instant::now()));
        self.busy.replace(None);
    }

    /// What the client did wrong, if that broke the request off.
    pub(crate) fn fault(&self) -> Option<ProxyError> {
        self.fault.get()
    }

    /// From now on the response flows: slowness alone is no fault any more, and nothing will be sent again.
    pub(crate) fn answer(&self) {
        self.answered.set(true);
        self.stream.borrow_mut().record = None;
    }

    /// The response is over before the body: what is still to come has [`DRAIN_TIME`] and [`MOST_DRAINED`] octets, for the
    /// sake of clients that read nothing before they have sent everything. Then their connection ends.
    pub(crate) fn drain(self: &Rc<Self>) {
        if self.ended.get().is_some() || self.drained.get().is_some() {
            return;
        }
        self.drained.set(Some(self.octets() + MOST_DRAINED));
        let upload = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            sleep(DRAIN_TIME).await;
            if let Some(upload) = upload.upgrade() {
                upload.cut();
            }
        });
    }

    /// Hears the client no more, which ends its connection once the response is out, and tells the upstream's at once.
    fn cut(&self) {
        let stream = &mut *self.stream.borrow_mut();
        stream.body = None;
        self.busy.replace(None);
        if let Some((_, sleep)) = &mut stream.waiting {
            sleep.as_mut().reset(Instant::now());
        }
    }

    /// Remembers what is handed on from here, up to [`MOST_RECORDED`] octets.
    pub(crate) fn record(&self) {
        self.stream.borrow_mut().record.get_or_insert_default();
    }

    /// Puts everything handed on so far in front again; false when it was not remembered.
    pub(crate) fn rewind(&self) -> bool {
        let stream = &mut *self.stream.borrow_mut();
        let Some(record) = stream.record.take() else { return false };
        stream.again.extend(record.into_iter().rev());
        stream.record = Some(Vec::new());
        self.octets.set(0);
        self.ended.set(None);
        true
    }

    fn fail(&self, fault: ProxyError, error: BodyError) -> Polled {
        self.fault.set(Some(fault));
        Poll::Ready(Some(Err(error)))
    }

    fn late(&self, limit: Limit) -> Polled {
        let fault = ProxyError::BodyTimeout(limit);
        self.fail(fault, BodyError::Limit(fault))
    }

    fn too_slow(&self, waited: Duration) -> bool {
        let Some((rate, grace)) = self.rules.rate.filter(|_| !self.answered.get()) else { return false };
        waited > grace && u128::from(self.octets()) * 1000 < u128::from(rate) * waited.as_millis()
    }

    /// Keeps the time while the client owes us octets.
    fn poll_waiting(&self, stream: &mut Stream, cx: &mut Context<'_>) -> Polled {
        let idle = self.rules.idle;
        let step = self.rules.rate.map_or(idle, |(_, grace)| grace.min(idle));
        let (since, sleep) = stream.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now + step)))
        });
        while sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let silence = now - *since;
            if silence >= idle {
                return self.late(Limit::BodyIdle);
            }
            if self.too_slow(self.waited.get() + silence) {
                return self.late(Limit::BodyRate);
            }
            sleep.as_mut().reset((now + step).min(*since + idle));
        }
        Poll::Pending
    }

    fn poll(&self, cx: &mut Context<'_>) -> Polled {
        let stream = &mut *self.stream.borrow_mut();
        ready!(self.poll_room(stream, cx));
        if let Some(data) = stream.again.pop() {
            return self.pass(stream, Frame::data(data));
        }
        let Some(body) = &mut stream.body else {
            return Poll::Ready(Some(Err(BodyError::Downstream)));
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        if polled.is_pending() {
            return self.poll_waiting(stream, cx);
        }
        if let Some((since, _)) = stream.waiting.take() {
            self.waited.set(self.waited.get() + since.elapsed());
        }
        match ready!(polled) {
            Some(Ok(frame)) => self.pass(stream, frame),
            Some(Err(_)) => self.fail(ProxyError::BodyBroken, BodyError::Downstream),
            None if self.rules.marked && !body.is_end_stream() => {
                self.fail(ProxyError::BodyBroken, BodyError::Downstream)
            }
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn pass(&self, stream: &mut Stream, frame: Frame<Bytes>) -> Polled {
        let frame = match frame.into_trailers() {
            Ok(mut trailers) => {
                filter_trailers(&mut trailers);
                stream.record = None;
                if !self.rules.trailers {
                    self.end();
                    return Poll::Ready(None);
                }
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        };
        if let Some(line) = &*self.line.borrow() {
            line.load();
        }
        if let Some(data) = frame.data_ref() {
            self.octets.set(self.octets() + data.len() as u64);
            match &mut stream.record {
                Some(record) if self.octets() <= MOST_RECORDED => record.push(data.clone()),
                record => *record = None,
            }
        }
        if self.rules.most.is_some_and(|most| self.octets() > most) {
            return self.fail(ProxyError::BodyTooLarge, BodyError::Limit(ProxyError::BodyTooLarge));
        }
        if self.drained.get().is_some_and(|most| self.octets() > most) {
            stream.body = None;
            return Poll::Ready(Some(Err(BodyError::Downstream)));
        }
        if self.too_slow(self.waited.get()) {
            return self.late(Limit::BodyRate);
        }
        self.moved.set(Instant::now());
        if stream.is_end() {
            self.end();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn size_hint(&self) -> SizeHint {
        let stream = self.stream.borrow();
        let again: u64 = stream.again.iter().map(|data| data.len() as u64).sum();
        let rest = stream.body.as_ref().map_or_else(SizeHint::new, Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + again);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + again);
        }
        hint
    }

    fn is_end_stream(&self) -> bool {
        self.stream.borrow().is_end()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match &*self {
            Self::Empty => Poll::Ready(None),
            Self::Streaming(upload) => upload.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.upload().is_none_or(|upload| upload.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.upload().map_or_else(|| SizeHint::with_exact(0), |upload| upload.size_hint())
    }
}

/// Time between two looks whether there is memory again.
const PAUSE: Duration = Duration::from_millis(20);

/// Longest time for what a client still sends after the whole response.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Most octets of it.
const MOST_DRAINED: u64 = 64 * 1024;

/// Most octets of a request body that are kept for sending it again.
const MOST_RECORDED: u64 = 64 * 1024;
