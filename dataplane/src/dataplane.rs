//! Start, publish, drain: the data plane as its owner sees it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use portico_shared::table::{RoutingTable, UpstreamCell};
use portico_shared::{EndpointSet, Published};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::balance::Place;
use crate::config::Config;
use crate::listener::limit::{ConnectionLimit, WorkerLoad};
use crate::listener::tcp::{self, Bound};
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::Metrics;
use crate::overload::{Overload, Slots};
use crate::serving::{Acceptors, Serving, Transports};
use crate::state::Endpoints;
use crate::tls::KeyError;
use crate::worker::{Common, Stage, Stages, spawn};

/// Why the data plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        source: io::Error,
    },
    /// TLS settings that the provider refuses.
    #[error("TLS settings: {0}")]
    Tls(String),
    /// A worker thread cannot be started.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
}

/// A bound data plane: ports are taken, nothing is accepted yet.
#[derive(Debug)]
pub struct Dataplane {
    config: Arc<Config>,
    /// By binding, then by worker.
    sockets: Vec<Vec<Bound>>,
    addresses: Vec<SocketAddr>,
    acceptors: Arc<Acceptors>,
    transports: Transports,
}

impl Dataplane {
    /// Takes the ports and checks the TLS settings. Clients are refused until the first table is published.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        let workers = config.workers.max(1);
        let mut sockets = Vec::with_capacity(config.bindings.len());
        for binding in &config.bindings {
            let address = binding.address;
            sockets.push(tcp::bind(address, workers).map_err(|source| BindError::Address { address, source })?);
        }
        let addresses = sockets.iter().filter_map(|group| group.first()).map(Bound::address).collect();
        let acceptors = Arc::new(Acceptors::new(&config).map_err(BindError::Tls)?);
        let transports = Transports::new(config.upstream.authorities.as_deref());
        let transports = transports.map_err(|error| BindError::Tls(error.to_string()))?;
        Ok(Self { config: Arc::new(Config { workers, ..config }), sockets, addresses, acceptors, transports })
    }

    /// The addresses bound, in the order of the configuration, with ports chosen by the system filled in.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Starts the workers. They accept from the first published table on.
    pub fn start(self) -> Result<Running, BindError> {
        let Self { config, sockets, acceptors, transports, .. } = self;
        let metrics = Metrics::new(config.workers);
        let access_log = AccessLog::start(config.access_log, Box::new(io::stdout()));
        metrics.watch(&access_log);
        let (overload, slots) = (Overload::watch(&config.overload), Slots::new(config.limits.upstream_connections));
        metrics.show(&overload, &slots);
        let (stages, stage) = watch::channel(Stage::Waiting);
        let published = Arc::new(Published::new(Serving::empty()));
        let (doors, handed): (Vec<_>, Vec<_>) = (0..config.workers).map(|_| mpsc::unbounded_channel()).unzip();
        let limits = &config.limits;
        let limit = ConnectionLimit::new(limits.connections, limits.connections_per_client, config.workers);
        let (load, endpoints) = (WorkerLoad::new(config.workers), Arc::new(Endpoints::new()));
        let doors: Arc<[_]> = doors.into();
        let mut by_worker: Vec<Vec<Bound>> = (0..config.workers).map(|_| Vec::new()).collect();
        for group in sockets {
            for (worker, socket) in by_worker.iter_mut().zip(group) {
                worker.push(socket);
            }
        }
        let (opened, opening) = std::sync::mpsc::channel();
        let mut threads = Vec::with_capacity(config.workers);
        for (number, (sockets, handed)) in by_worker.into_iter().zip(handed).enumerate() {
            let common = Common {
                place: Place {
                    number,
                    workers: config.workers,
                    settings: config.clone(),
                    metrics: metrics.worker(number).clone(),
                    endpoints: endpoints.clone(),
                    slots: slots.clone(),
                },
                access_log: access_log.clone(),
                published: published.clone(),
                stages: stage.clone(),
                limit: limit.clone(),
                load: load.clone(),
                overload: overload.clone(),
                acceptors: acceptors.clone(),
                doors: doors.clone(),
                opened: opened.clone(),
            };
            threads.push(spawn(common, sockets, handed).map_err(BindError::Worker)?);
        }
        let stages = Arc::new(stages);
        let (opening, retired) = (Mutex::new(opening), Mutex::default());
        let inner = Inner { published, stages, opening, acceptors, transports, metrics, endpoints, retired };
        Ok(Running { config, threads, access_log, publisher: Publisher { inner: Arc::new(inner) } })
    }
}

/// Hands tables to the workers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    published: Arc<Published<Serving>>,
    stages: Arc<Stages>,
    /// Ends when all workers listen.
    opening: Mutex<Receiver<Infallible>>,
    acceptors: Arc<Acceptors>,
    transports: Transports,
    metrics: Arc<Metrics>,
    endpoints: Arc<Endpoints>,
    /// Tables that requests may still hold: freed here, not by the worker that drops the last request.
    retired: Mutex<Vec<Arc<Serving>>>,
}

impl Publisher {
    /// Publishes a table; returns the certificates that cannot be served, for each of which the one of its name from
    /// before goes on being served, else the default. With the first table clients are accepted, and are by the time that
    /// this returns.
    pub fn publish(&self, table: Arc<RoutingTable>) -> Vec<KeyError> {
        let begun = Instant::now();
        let inner = &*self.inner;
        let previous = inner.published.load();
        let problems = inner.acceptors.publish(&table);
        let serving = Arc::new(Serving::prepare(table, &previous, &inner.transports));
        inner.published.store(serving.clone());
        let first = inner.stages.send_if_modified(|stage| {
            let first = *stage == Stage::Waiting;
            if first {
                *stage = Stage::Serving;
            }
            first
        });
        if first {
            let opening = inner.opening.lock().unwrap_or_else(PoisonError::into_inner);
            if opening.recv_timeout(OPENING) == Err(RecvTimeoutError::Timeout) {
                tracing::warn!("some workers do not listen yet");
            }
        }
        inner.metrics.table().published(&serving.table, begun.elapsed(), problems.len());
        inner.metrics.retain(&serving.table);
        let mut retired = inner.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.retain(|old| Arc::strong_count(old) > 1);
        retired.push(previous);
        problems
    }

    /// Gives an upstream other endpoints. `changed` is the moment of the change that they come of, if it is known: the time
    /// until now and until the first request by them is counted.
    pub fn swap_endpoints(&self, cell: &UpstreamCell, endpoints: Arc<EndpointSet>, changed: Option<SystemTime>) {
        cell.changed.set(changed);
        cell.endpoints.store(endpoints);
        if let Some(changed) = changed {
            self.endpoints_changed(changed);
        }
    }

    /// Counts the time from a change until now, when a table has brought it into effect.
    pub fn endpoints_changed(&self, changed: SystemTime) {
        self.inner.metrics.table().endpoints_changed(changed);
    }

    /// The table published last; [`RoutingTable::empty`] before the first.
    #[must_use]
    pub fn table(&self) -> Arc<RoutingTable> {
        self.inner.published.load().table.clone()
    }

    /// Endpoints that are passed over now because they failed.
    #[must_use]
    pub fn ejected(&self) -> usize {
        self.inner.endpoints.ejected()
    }
}

/// A running data plane.
#[derive(Debug)]
pub struct Running {
    config: Arc<Config>,
    threads: Vec<JoinHandle<u64>>,
    access_log: AccessLog,
    publisher: Publisher,
}

impl Running {
    /// Hands tables to the workers.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Everything counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.publisher.inner.metrics
    }

    /// Drains: `Connection: close` from now on, accepting for the drain delay, then finishing what is in flight up to
    /// the drain timeout. Returns when all workers have ended, with the number of requests that had to be cut.
    pub async fn drain(self) -> u64 {
        let stages = self.publisher.inner.stages.clone();
        stages.send_replace(Stage::Leaving);
        tokio::time::sleep(self.config.drain_delay).await;
        stages.send_replace(Stage::Finishing);
        let threads = self.threads;
        let mut ended = tokio::task::spawn_blocking(move || {
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
        });
        let cut = match tokio::time::timeout(self.config.drain_timeout, &mut ended).await {
            Ok(cut) => cut,
            Err(_) => {
                stages.send_replace(Stage::Cutting);
                ended.await
            }
        };
        let log = self.access_log;
        let _ = tokio::task::spawn_blocking(move || log.flush_and_stop(FLUSH)).await;
        cut.unwrap_or_default()
    }
}

/// Longest wait for the access log's last lines.
const FLUSH: std::time::Duration = std::time::Duration::from_secs(2);
/// Longest wait for the workers to listen: they only have to be woken.
const OPENING: std::time::Duration = std::time::Duration::from_secs(2);
