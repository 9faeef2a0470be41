//! From an accepted socket to a served connection: caps, placing, PROXY protocol, TLS.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::Worker;
use super::drain::{Stage, reached};
use super::handshake::{Active, Turns};
use super::run::Common;
use crate::config::Binding;
use crate::listener::limit::{ConnectionGuard, ConnectionLimit, LoadGuard, WorkerLoad};
use crate::listener::proxy_protocol::{self, ProxyProtocolError};
use crate::listener::socket::Socket;
use crate::listener::tcp::canonical;
use crate::observe::metrics::Limit;
use crate::parking::{Life, Served};
use crate::protocol::io::Activity;
use crate::protocol::{End, Handle, Version, serve};
use crate::request::{Downstream, TlsFacts};
use crate::serving::Acceptors;

/// An accepted connection on its way to the worker that will serve it.
#[derive(Debug)]
pub(crate) struct Accepted {
    stream: std::net::TcpStream,
    address: SocketAddr,
    binding: usize,
    guards: Guards,
}

/// What counts a connection while it lives.
#[derive(Debug)]
pub(crate) struct Guards {
    limit: ConnectionGuard,
    _load: LoadGuard,
}

/// Where connections come in.
#[derive(Debug)]
pub(super) struct Door {
    worker: Rc<Worker>,
    limit: Arc<ConnectionLimit>,
    load: Arc<WorkerLoad>,
    acceptors: Arc<Acceptors>,
    doors: Arc<[mpsc::UnboundedSender<Accepted>]>,
    cut: Cell<u64>,
    turns: Turns,
}

impl Door {
    pub(super) fn new(worker: Rc<Worker>, common: &Common) -> Self {
        let turns = Turns::new(worker.config.limits.handshakes);
        Self {
            worker,
            limit: common.limit.clone(),
            load: common.load.clone(),
            acceptors: common.acceptors.clone(),
            doors: common.doors.clone(),
            cut: Cell::new(0),
            turns,
        }
    }

    /// Requests that were cut at the end of the drain.
    pub(super) fn cut(&self) -> u64 {
        self.cut.get()
    }

    /// Accepts until the worker finishes; then takes what is waiting already and closes the socket.
    pub(super) async fn accept(
        self: Rc<Self>,
        listener: TcpListener,
        binding: usize,
        mut stages: watch::Receiver<Stage>,
    ) {
        let mut finishing = std::pin::pin!(reached(&mut stages, Stage::Finishing));
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut finishing => break,
                accepted = async {
                    self.worker.overload.accepting(|| self.limit.open()).await;
                    self.limit.available().await;
                    listener.accept().await
                } => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.place(stream, address, binding),
                Err(error) => self.refused(&error).await,
            }
        }
        // The listener may have connections that the runtime has not been told of yet.
        if let Ok(listener) = listener.into_std() {
            while let Ok((stream, address)) = listener.accept() {
                if stream.set_nonblocking(true).is_ok()
                    && let Ok(stream) = TcpStream::from_std(stream)
                {
                    self.place(stream, address, binding);
                }
            }
        }
    }

    /// A connection that went away before it was accepted is nothing; anything else will not get better at once.
    async fn refused(&self, error: &std::io::Error) {
        if !matches!(error.kind(), std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::Interrupted) {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Counts a connection and gives it to the worker that is to serve it.
    fn place(self: &Rc<Self>, stream: TcpStream, address: SocketAddr, binding: usize) {
        let address = canonical(address);
        self.worker.metrics.accepted(self.binding(binding).tls);
        // The sender of a PROXY header is no client; whom it speaks for is known once the header is read.
        let proxied = self.behind_proxy(address);
        let admitted = if proxied { self.limit.try_acquire_unnamed() } else { self.limit.try_acquire(address.ip()) };
        let limit = match admitted {
            Ok(guard) => guard,
            Err(limit) => return self.worker.metrics.limit(limit),
        };
        let load = self.load.place(self.worker.place.number);
        let to = load.worker();
        let guards = Guards { limit, _load: load };
        if to == self.worker.place.number || self.worker.leaving() {
            tokio::task::spawn_local(self.clone().connection(stream, address, binding, guards));
        } else if let Ok(stream) = stream.into_std() {
            self.worker.metrics.connections_handed_over.inc();
            if let Err(SendError(back)) = self.doors[to].send(Accepted { stream, address, binding, guards }) {
                // That worker has closed its door already.
                self.clone().enter(back);
            }
        }
    }

    /// Takes connections that other workers accepted, until the worker finishes; none is lost on the way.
    pub(super) async fn receive(
        self: Rc<Self>,
        mut handed: mpsc::UnboundedReceiver<Accepted>,
        mut stages: watch::Receiver<Stage>,
    ) {
        let mut finishing = std::pin::pin!(reached(&mut stages, Stage::Finishing));
        loop {
            tokio::select! {
                biased;
                () = &mut finishing => handed.close(),
                Some(accepted) = handed.recv() => {
                    self.clone().enter(accepted);
                    continue;
                }
            }
            break;
        }
        while let Some(accepted) = handed.recv().await {
            self.clone().enter(accepted);
        }
    }

    /// Takes a connection that another worker accepted.
    fn enter(self: Rc<Self>, accepted: Accepted) {
        let Accepted { stream, address, binding, guards } = accepted;
        if let Ok(stream) = TcpStream::from_std(stream) {
            tokio::task::spawn_local(self.connection(stream, address, binding, guards));
        }
    }

    /// Whether connections of this peer begin with a PROXY header.
    fn behind_proxy(&self, peer: SocketAddr) -> bool {
        self.worker.config.proxy_protocol_from.iter().any(|network| network.contains(&peer.ip()))
    }

    fn binding(&self, number: usize) -> &Binding {
        &self.worker.config.bindings[number]
    }

    /// A connection's task. It is kept small, because it lasts while the connection is parked.
    fn connection(
        self: Rc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        binding: usize,
        guards: Guards,
    ) -> impl Future<Output = ()> {
        let entry = Entry::new(self.worker.clone());
        let (door, handle) = (self.clone(), entry.handle.clone());
        let life = Life::new(async move {
            let served = door.serve(stream, address, binding, handle, guards).await;
            served.unwrap_or_else(|limit| Served::Ended(End::Expired(limit)))
        });
        life.map(move |ended| {
            self.ended(ended);
            drop(entry);
        })
    }

    fn ended(&self, ended: End) {
        match ended {
            End::Closed | End::Idle | End::Cut(false) => {}
            End::Cut(true) => {
                self.worker.metrics.limit(Limit::Drain);
                self.cut.set(self.cut.get() + 1);
            }
            End::Expired(limit) => self.worker.metrics.limit(limit),
        }
    }

    /// Takes a connection up to where HTTP begins; `Err` when it broke a limit before its first request.
    async fn serve(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
        binding: usize,
        handle: Rc<Handle>,
        mut guards: Guards,
    ) -> Result<Served, Limit> {
        let binding = self.binding(binding);
        let timers = &self.worker.config.timers;
        let port = stream.local_addr().map_or(binding.address.port(), |local| local.port());
        let (mut client, mut early) = (address, BytesMut::new());
        if self.behind_proxy(address) {
            match proxy_protocol::read(&mut stream, Instant::now() + timers.first_byte).await {
                Ok((named, rest)) => {
                    client = named.unwrap_or(address);
                    early = rest;
                    guards.limit.name(client.ip())?;
                }
                // A balancer that only looks whether somebody listens.
                Err(ProxyProtocolError::Empty) => return Ok(Served::Ended(End::Closed)),
                Err(error) => {
                    self.worker.metrics.proxy_protocol_errors.inc();
                    tracing::debug!(peer = %address, %error, "no usable PROXY protocol header");
                    return Ok(Served::Ended(End::Closed));
                }
            }
        }
        let activity = Arc::new(Activity::new());
        let mut socket = Socket::new(stream, early, activity.clone());
        let downstream = |tls| {
            let (worker, listener) = (self.worker.clone(), binding.listener.clone());
            Rc::new(Downstream::new(worker, client, port, tls, listener, activity.clone(), guards))
        };
        if !binding.tls {
            let trusted = self.worker.trusts(client.ip());
            let by = Instant::now() + if trusted { timers.first_byte_trusted } else { timers.first_byte };
            let http2 =
                binding.h2c && timeout_at(by, socket.begins_with(PREFACE)).await.map_err(|_| Limit::FirstByte)?;
            if binding.h2c && !http2 {
                activity.either();
            }
            let version = if http2 { Version::Http2 } else { Version::Http1 };
            return Ok(Served::By(serve(socket.into(), version, downstream(None), handle)));
        }
        let Some(acceptor) = self.acceptors.of(&binding.listener) else { return Ok(Served::Ended(End::Closed)) };
        let active = Active::begin(&self.worker.metrics.tls_handshakes_active);
        let handshake = timeout_at(Instant::now() + timers.handshake, self.turns.handshake(acceptor, socket)).await;
        drop(active);
        let stream = match handshake {
            Err(_) => return Err(Limit::Handshake),
            Ok(Err(error)) => {
                self.worker.metrics.tls_failures.inc();
                tracing::debug!(peer = %address, %error, "TLS handshake failed");
                return Ok(Served::Ended(End::Closed));
            }
            Ok(Ok(stream)) => stream,
        };
        let session = stream.get_ref().1;
        if let Some(version) = session.protocol_version() {
            let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            self.worker.metrics.tls_handshake(version, resumed);
        }
        let server_name = session.server_name().and_then(portico_shared::normalise::authority::name);
        let facts = TlsFacts { server_name: server_name.map(|name| name.into_owned()) };
        let version = if session.alpn_protocol() == Some(b"h2") { Version::Http2 } else { Version::Http1 };
        Ok(Served::By(serve(stream.into(), version, downstream(Some(facts)), handle)))
    }
}

/// A connection in the worker's book, whichever way it ends.
struct Entry {
    worker: Rc<Worker>,
    key: usize,
    handle: Rc<Handle>,
}

impl Entry {
    fn new(worker: Rc<Worker>) -> Self {
        let handle = Rc::new(Handle::default());
        let key = worker.connections.borrow_mut().insert(handle.clone());
        worker.metrics.connections_active.inc();
        Self { worker, key, handle }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().remove(self.key);
        self.worker.metrics.connections_active.dec();
    }
}

/// How an HTTP/2 connection begins (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause after a failure to accept, such as no file descriptor being left.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
