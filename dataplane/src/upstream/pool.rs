//! Open connections of one worker to one endpoint: idle HTTP/1 ones newest first, HTTP/2 ones shared.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::connect::{MOST_STREAMS, Sender, Streams, Transport, connect};
use crate::balance::Place;
use crate::config::Config;
use crate::gate::response::Line;
use crate::observe::metrics::{Limit, WorkerMetrics};
use crate::overload::Slots;
use crate::request::{ProxyError, RequestBody};
use crate::state::{EndpointState, InFlight};

/// The connections of one worker to one endpoint.
///
/// A connection comes back only when its request was sent and its response read to the end; any other is dropped,
/// because what follows on it may belong to nobody.
#[derive(Debug)]
pub(crate) struct EndpointPool {
    /// The endpoint's record, shared by all workers.
    pub(crate) endpoint: Arc<EndpointState>,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Vec<Shared>>,
    /// Held while a connection is opened that may turn out to be HTTP/2, so that a burst of requests opens one and not
    /// one each.
    opening: Mutex<()>,
    /// Openings under the lock that failed: who waited meanwhile fails with them instead of trying one after the other.
    failed: Cell<u64>,
    /// Whether the endpoint, asked by ALPN, chose HTTP/1.1 the last time: nothing to wait for then.
    exclusive: Cell<bool>,
    /// Whether new requests go elsewhere, so that nothing is kept for them.
    retired: Cell<bool>,
    metrics: Arc<WorkerMetrics>,
    slots: Arc<Slots>,
    most_idle: usize,
    /// This worker's share of the process's idle connections.
    share: u64,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    line: Arc<Line>,
    since: Instant,
    until: Instant,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    /// What the endpoint allows.
    allowed: Streams,
    lent: Rc<Lent>,
}

/// The streams of a shared connection that are lent now, and since when it has been as it is.
#[derive(Debug)]
struct Lent {
    streams: Cell<usize>,
    since: Cell<Instant>,
}

/// Which connection will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Any that is open, else a new one.
    Any,
    /// None that was idle for long: the request must not be sent twice, and an endpoint may be closing it just now.
    Recent,
    /// None that was idle: the last try found one that was closed.
    Fresh,
    /// A new one that speaks HTTP/1.1.
    Upgrade,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unopened {
    pub(crate) error: ProxyError,
    /// Whether the endpoint was tried for this request; otherwise another one has found out already.
    pub(crate) tried: bool,
}

/// A connection lent to one request.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Rc<EndpointPool>,
    sender: Option<LentSender>,
    /// How long the connection may lie idle afterwards.
    pub(crate) keep: Duration,
    /// Whether it had served requests before.
    pub(crate) reused: bool,
    _in_flight: InFlight,
}

/// The lent sender.
#[derive(Debug)]
pub(crate) enum LentSender {
    Http1(http1::SendRequest<RequestBody>, Arc<Line>),
    Http2 { sender: http2::SendRequest<RequestBody>, _stream: Stream },
}

/// A stream of a shared connection; counted while it lives.
#[derive(Debug)]
pub(crate) struct Stream(Rc<Lent>);

impl Stream {
    fn new(lent: &Rc<Lent>) -> Self {
        lent.streams.set(lent.streams.get() + 1);
        Self(lent.clone())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.since.set(Instant::now());
    }
}

impl Shared {
    /// Whether another request may go this way. One stream is always tried: an endpoint that allows none must not make
    /// every request open a connection.
    fn has_room(&self) -> bool {
        self.lent.streams.get() < self.allowed.most().clamp(1, MOST_STREAMS)
    }

    fn lend(&self) -> LentSender {
        LentSender::Http2 { sender: self.sender.clone(), _stream: Stream::new(&self.lent) }
    }
}

impl EndpointPool {
    pub(crate) fn new(endpoint: Arc<EndpointState>, worker: &Place) -> Self {
        let config = &worker.settings;
        Self {
            endpoint,
            idle: RefCell::default(),
            shared: RefCell::default(),
            opening: Mutex::new(()),
            failed: Cell::new(0),
            exclusive: Cell::new(false),
            retired: Cell::new(false),
            metrics: worker.metrics.clone(),
            slots: worker.slots.clone(),
            most_idle: config.upstream.idle_per_endpoint,
            share: (config.upstream.idle_total / config.workers.max(1)) as u64,
        }
    }

    /// Lends a connection, an open one if possible; `now` is the time.
    pub(crate) async fn lend(
        self: &Rc<Self>,
        transport: &Transport,
        config: &Config,
        wanted: Wanted,
        now: Instant,
    ) -> Result<Lease, Unopened> {
        // Counted from here on, so that an endpoint that takes its time to accept does not look idle.
        let in_flight = InFlight::new(&self.endpoint);
        let (sender, reused) = match self.take(config, wanted, now).await {
            Some(sender) => (sender, true),
            // Opening is rare and its future large: on the heap it costs ordinary requests nothing.
            None => Box::pin(self.open(transport, config, wanted == Wanted::Upgrade)).await?,
        };
        if reused {
            self.metrics.pool_reused.inc();
        }
        Ok(Lease {
            pool: self.clone(),
            sender: Some(sender),
            keep: config.upstream.idle,
            reused,
            _in_flight: in_flight,
        })
    }

    /// A connection that is open already.
    async fn take(&self, config: &Config, wanted: Wanted, now: Instant) -> Option<LentSender> {
        if wanted == Wanted::Upgrade {
            return None;
        }
        if let Some(sender) = self.take_shared() {
            return Some(sender);
        }
        let longest_idle = match wanted {
            Wanted::Any => Duration::MAX,
            Wanted::Recent => config.upstream.idle_unsafe,
            Wanted::Fresh | Wanted::Upgrade => return None,
        };
        loop {
            let Idle { mut sender, line, since, until } = self.idle.borrow_mut().pop()?;
            self.metrics.pool_idle.dec();
            if sender.is_closed() || !line.is_clean() || now >= until {
                continue;
            }
            if now - since > longest_idle {
                // Those below have been idle for even longer; this one goes back for a request that may use it.
                self.metrics.pool_idle.inc();
                self.idle.borrow_mut().push(Idle { sender, line, since, until });
                return None;
            }
            // One that is not ready has octets to write that the endpoint does not take, or is closing.
            if sender.is_ready() || matches!(timeout(READY, sender.ready()).await, Ok(Ok(()))) {
                return Some(LentSender::Http1(sender, line));
            }
        }
    }

    fn take_shared(&self) -> Option<LentSender> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        shared.retain(|connection| !connection.sender.is_closed());
        shared.iter().find(|connection| connection.has_room()).map(Shared::lend)
    }

    /// Opens a connection; beside it whether it turned out that another request had done so.
    async fn open(
        &self,
        transport: &Transport,
        config: &Config,
        upgrade: bool,
    ) -> Result<(LentSender, bool), Unopened> {
        if upgrade || !transport.may_share() || self.exclusive.get() {
            return Ok((self.open_now(transport, config, upgrade).await?, false));
        }
        let failed = self.failed.get();
        let opening = self.opening.lock().await;
        if let Some(sender) = self.take_shared() {
            return Ok((sender, true));
        }
        if self.failed.get() != failed {
            return Err(Unopened { error: ProxyError::Connect, tried: false });
        }
        if self.exclusive.get() {
            drop(opening);
            return Ok((self.open_now(transport, config, upgrade).await?, false));
        }
        let opened = self.open_now(transport, config, upgrade).await;
        if opened.is_err() {
            self.failed.set(failed + 1);
        }
        opened.map(|sender| (sender, false))
    }

    async fn open_now(&self, transport: &Transport, config: &Config, upgrade: bool) -> Result<LentSender, Unopened> {
        let Some(slot) = self.slots.take() else {
            // That says nothing of the endpoint.
            let error = ProxyError::Overloaded(Limit::UpstreamConnections);
            return Err(Unopened { error, tried: false });
        };
        let to = (self.endpoint.address, slot);
        let sender = connect(to, transport, upgrade, config, &self.metrics).await.inspect_err(|error| {
            self.metrics.connect_failures.inc();
            if *error == ProxyError::ConnectTimeout {
                self.metrics.limit(Limit::UpstreamConnect);
            }
        });
        let sender = sender.map_err(|error| Unopened { error, tried: true })?;
        self.metrics.pool_opened.inc();
        Ok(match sender {
            Sender::Http1(sender, line) => {
                self.exclusive.set(!upgrade && transport.may_share());
                LentSender::Http1(sender, line)
            }
            Sender::Http2(sender, allowed) => {
                self.exclusive.set(false);
                let lent = Rc::new(Lent { streams: Cell::new(0), since: Cell::new(Instant::now()) });
                let shared = Shared { sender, allowed, lent };
                let sender = shared.lend();
                if !self.retired.get() {
                    self.shared.borrow_mut().push(shared);
                }
                sender
            }
        })
    }

    /// Drops what has been idle for longer than its time, or than `keep` where it is shared. Called now and then by the
    /// worker.
    pub(crate) fn sweep(&self, now: Instant, keep: Duration) {
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|idle| now < idle.until && !idle.sender.is_closed() && idle.line.is_clean());
        self.metrics.pool_idle.sub((before - idle.len()) as u64);
        self.shared.borrow_mut().retain(|connection| {
            let lent = &connection.lent;
            !connection.sender.is_closed() && (lent.streams.get() > 0 || now < lent.since.get() + keep)
        });
    }

    /// The endpoint gets no new requests: idle connections are closed, busy ones when their requests have ended. Without
    /// this they would stay for as long as any request holds the pool, which for a WebSocket can be hours.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        let idle = self.idle.take();
        self.metrics.pool_idle.sub(idle.len() as u64);
        self.shared.take();
    }

    /// Whether it keeps no connections any more.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    fn give_back(&self, sender: http1::SendRequest<RequestBody>, line: Arc<Line>, since: Instant, keep: Duration) {
        let mut idle = self.idle.borrow_mut();
        let full = idle.len() >= self.most_idle || self.metrics.pool_idle.get() >= self.share;
        if sender.is_closed() || !line.is_clean() || full || keep.is_zero() || self.retired.get() {
            self.metrics.pool_discarded.inc();
            return;
        }
        idle.push(Idle { sender, line, since, until: since + keep });
        self.metrics.pool_idle.inc();
    }
}

impl Drop for EndpointPool {
    fn drop(&mut self) {
        self.metrics.pool_idle.sub(self.idle.borrow().len() as u64);
    }
}

/// Longest wait for an idle connection to be ready.
const READY: Duration = Duration::from_millis(50);

impl Transport {
    /// Whether its connections can carry several requests at once.
    pub(crate) fn may_share(&self) -> bool {
        matches!(self, Self::Clear(portico_shared::ir::Protocol::H2c) | Self::Tls { .. })
    }
}

impl Lease {
    /// The sender, for sending the one request.
    pub(crate) fn sender(&mut self) -> &mut LentSender {
        self.sender.as_mut().expect("a lease keeps its sender until it is finished")
    }

    /// The response was read to its end. `sent` tells whether the request was, too: an answer that came early leaves
    /// a connection on which nobody knows what the endpoint reads next. `now` is the time.
    pub(crate) fn finish(mut self, sent: bool, now: Instant) {
        match self.sender.take() {
            Some(LentSender::Http1(sender, line)) if sent => self.pool.give_back(sender, line, now, self.keep),
            Some(LentSender::Http1(..)) => self.pool.metrics.pool_discarded.inc(),
            Some(LentSender::Http2 { .. }) | None => {}
        }
    }
}

impl Drop for Lease {
    /// What was not finished goes no further.
    fn drop(&mut self) {
        if let Some(LentSender::Http1(_, line)) = &self.sender {
            line.abandon();
        }
    }
}
