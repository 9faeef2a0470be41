//! Open connections of one worker to one endpoint: idle HTTP/1 ones newest first, HTTP/2 ones shared.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::connect::{Sender, Transport, connect};
use crate::config::Config;
use crate::observe::metrics::WorkerMetrics;
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
    /// Held while an HTTP/2 connection is opened, so that a burst of requests opens one and not one each.
    opening: Mutex<()>,
    metrics: Arc<WorkerMetrics>,
    most_idle: usize,
    /// This worker's share of the process's idle connections.
    share: u64,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
    until: Instant,
}

#[derive(Clone, Debug)]
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    streams: Rc<Cell<usize>>,
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
    Http1(http1::SendRequest<RequestBody>),
    Http2 { sender: http2::SendRequest<RequestBody>, _stream: Stream },
}

/// A stream of a shared connection; counted while it lives.
#[derive(Debug)]
pub(crate) struct Stream(Rc<Cell<usize>>);

impl Stream {
    fn new(streams: &Rc<Cell<usize>>) -> Self {
        streams.set(streams.get() + 1);
        Self(streams.clone())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl EndpointPool {
    pub(crate) fn new(endpoint: Arc<EndpointState>, metrics: Arc<WorkerMetrics>, config: &Config) -> Self {
        Self {
            endpoint,
            idle: RefCell::default(),
            shared: RefCell::default(),
            opening: Mutex::new(()),
            metrics,
            most_idle: config.upstream.idle_per_endpoint,
            share: (config.upstream.idle_total / config.workers.max(1)) as u64,
        }
    }

    /// Lends a connection, an open one if possible. `replayable` requests may take one that has been idle for longer;
    /// `upgrade` always opens a new HTTP/1.1 connection.
    pub(crate) async fn lend(
        self: &Rc<Self>,
        transport: &Transport,
        config: &Config,
        replayable: bool,
        upgrade: bool,
    ) -> Result<Lease, ProxyError> {
        if !upgrade {
            let longest_idle = if replayable { Duration::MAX } else { config.upstream.idle_unsafe };
            if let Some(sender) = self.take(longest_idle).await {
                self.metrics.pool_reused.inc();
                return Ok(self.lease(sender, config, true));
            }
        }
        // Opening is rare and its future large: on the heap it costs ordinary requests nothing.
        let sender = Box::pin(self.open(transport, config, upgrade)).await?;
        Ok(self.lease(sender, config, false))
    }

    fn lease(self: &Rc<Self>, sender: LentSender, config: &Config, reused: bool) -> Lease {
        let in_flight = InFlight::new(&self.endpoint);
        Lease { pool: self.clone(), sender: Some(sender), keep: config.upstream.idle, reused, _in_flight: in_flight }
    }

    /// A connection that is open already.
    async fn take(&self, longest_idle: Duration) -> Option<LentSender> {
        if let Some(sender) = self.take_shared() {
            return Some(sender);
        }
        loop {
            let Idle { mut sender, since, until } = self.idle.borrow_mut().pop()?;
            self.metrics.pool_idle.dec();
            let now = Instant::now();
            if sender.is_closed() || now >= until {
                continue;
            }
            if now - since > longest_idle {
                // Those below have been idle for even longer; this one goes back for a request that may use it.
                self.metrics.pool_idle.inc();
                self.idle.borrow_mut().push(Idle { sender, since, until });
                return None;
            }
            if sender.is_ready() || sender.ready().await.is_ok() {
                return Some(LentSender::Http1(sender));
            }
        }
    }

    fn take_shared(&self) -> Option<LentSender> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        shared.retain(|connection| !connection.sender.is_closed());
        let free = shared.iter().find(|c| c.streams.get() < MOST_STREAMS)?;
        Some(LentSender::Http2 { sender: free.sender.clone(), _stream: Stream::new(&free.streams) })
    }

    async fn open(&self, transport: &Transport, config: &Config, upgrade: bool) -> Result<LentSender, ProxyError> {
        let may_share = !upgrade && transport.may_share();
        let _opening = if may_share { Some(self.opening.lock().await) } else { None };
        if may_share && let Some(sender) = self.take_shared() {
            self.metrics.pool_reused.inc();
            return Ok(sender);
        }
        let sender = connect(self.endpoint.address, transport, upgrade, config).await?;
        self.metrics.pool_opened.inc();
        Ok(match sender {
            Sender::Http1(mut sender) => {
                sender.ready().await.map_err(|_| ProxyError::Connect)?;
                LentSender::Http1(sender)
            }
            Sender::Http2(sender) => {
                let streams = Rc::default();
                let stream = Stream::new(&streams);
                self.shared.borrow_mut().push(Shared { sender: sender.clone(), streams });
                LentSender::Http2 { sender, _stream: stream }
            }
        })
    }

    /// Drops what has been idle for too long. Called now and then by the worker.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|idle| now < idle.until && !idle.sender.is_closed());
        self.metrics.pool_idle.sub((before - idle.len()) as u64);
    }

    fn give_back(&self, sender: http1::SendRequest<RequestBody>, keep: Duration) {
        let mut idle = self.idle.borrow_mut();
        let full = idle.len() >= self.most_idle || self.metrics.pool_idle.get() >= self.share;
        if sender.is_closed() || full || keep.is_zero() {
            self.metrics.pool_discarded.inc();
            return;
        }
        let since = Instant::now();
        idle.push(Idle { sender, since, until: since + keep });
        self.metrics.pool_idle.inc();
    }
}

impl Drop for EndpointPool {
    fn drop(&mut self) {
        self.metrics.pool_idle.sub(self.idle.borrow().len() as u64);
    }
}

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
    /// a connection on which nobody knows what the endpoint reads next.
    pub(crate) fn finish(mut self, sent: bool) {
        match self.sender.take() {
            Some(LentSender::Http1(sender)) if sent => self.pool.give_back(sender, self.keep),
            Some(LentSender::Http1(_)) => self.pool.metrics.pool_discarded.inc(),
            Some(LentSender::Http2 { .. }) | None => {}
        }
    }
}

/// Requests at once on one HTTP/2 connection to an endpoint; then a further connection is opened.
const MOST_STREAMS: usize = 100;
