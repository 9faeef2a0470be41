//! Opening a connection to an endpoint: TCP, TLS where asked, the HTTP handshake.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use portico_shared::ir::Protocol;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::judged::Judged;
use crate::config::Config;
use crate::gate::response::Line;
use crate::listener::tcp;
use crate::observe::metrics::WorkerMetrics;
use crate::overload::{Held, Reset, Slot};
use crate::protocol::LocalExecutor;
use crate::request::{ProxyError, RequestBody};

/// How the endpoints of an upstream are reached; prepared when the table is published.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    /// In clear.
    Clear(Protocol),
    /// Over TLS.
    Tls {
        /// For ordinary requests.
        config: Arc<rustls::ClientConfig>,
        /// The same with HTTP/1.1 alone, for upgrades.
        http1: Arc<rustls::ClientConfig>,
        /// Name to send and to verify.
        name: ServerName<'static>,
    },
    /// The TLS settings cannot be used: nothing is sent.
    Broken,
}

/// A way to send requests on an open connection.
#[derive(Debug)]
pub(crate) enum Sender {
    /// One request at a time.
    Http1(http1::SendRequest<RequestBody>, Arc<Line>),
    /// Many at once, as far as the endpoint allows.
    Http2(http2::SendRequest<RequestBody>, Streams),
}

/// How many streams an endpoint allows on an HTTP/2 connection (`SETTINGS_MAX_CONCURRENT_STREAMS`), as of now: it says so
/// after the connection was opened, and may say something else later. Does not keep the connection.
pub(crate) struct Streams(Weak<dyn Fn() -> usize>);

impl Streams {
    /// The number; 0 when the connection has ended.
    pub(crate) fn most(&self) -> usize {
        self.0.upgrade().map_or(0, |most| most())
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Streams").field(&self.most()).finish()
    }
}

/// Opens a connection within the connect timeout. `http1` asks for HTTP/1.1 whatever the endpoint would like better.
/// It keeps its slot for as long as it is open.
pub(crate) async fn connect(
    to: (SocketAddr, Slot),
    transport: &Transport,
    http1: bool,
    config: &Config,
    metrics: &Arc<WorkerMetrics>,
) -> Result<Sender, ProxyError> {
    let opening = open(to, transport, http1, config, metrics);
    tokio::time::timeout(config.upstream.connect, opening).await.unwrap_or(Err(ProxyError::ConnectTimeout))
}

async fn open(
    (address, slot): (SocketAddr, Slot),
    transport: &Transport,
    http1: bool,
    config: &Config,
    metrics: &Arc<WorkerMetrics>,
) -> Result<Sender, ProxyError> {
    if matches!(transport, Transport::Broken) {
        return Err(ProxyError::ConnectTls);
    }
    let stream = TcpStream::connect(address).await.map_err(|_| ProxyError::Connect)?;
    // Failing to set an option costs speed, not correctness.
    let _ = tcp::configure(&stream, config.timers.probe);
    let stream = Held::new(stream, slot);
    match transport {
        Transport::Clear(Protocol::H2c) if !http1 => http2_handshake(stream, config).await,
        Transport::Clear(_) => http1_handshake(stream, config, metrics).await,
        Transport::Tls { config: ordinary, http1: only, name } => {
            let tls = TlsConnector::from(if http1 { only } else { ordinary }.clone());
            let stream = tls.connect(name.clone(), stream).await.map_err(|_| ProxyError::ConnectTls)?;
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => http2_handshake(stream, config).await,
                _ => http1_handshake(stream, config, metrics).await,
            }
        }
        Transport::Broken => Err(ProxyError::ConnectTls),
    }
}

async fn http1_handshake<S>(stream: S, config: &Config, metrics: &Arc<WorkerMetrics>) -> Result<Sender, ProxyError>
where
    S: AsyncRead + AsyncWrite + Reset + Unpin + Send + 'static,
{
    let line = Arc::<Line>::default();
    let stream = Judged::new(stream, line.clone(), metrics.clone(), RESPONSE_HEAD);
    let handshake = http1::Builder::new()
        .preserve_header_case(config.preserve_header_case)
        .max_header_size(RESPONSE_HEAD)
        .max_buf_size(READ_BUFFER)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(|_| ProxyError::Connect)?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::trace!(%error, "upstream connection ended");
        }
    });
    Ok(Sender::Http1(sender, line))
}

async fn http2_handshake<S>(stream: S, config: &Config) -> Result<Sender, ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(config.limits.h2_stream_window)
        .initial_connection_window_size(shared_window(config.limits.h2_stream_window))
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(RESPONSE_HEAD as u32)
        .keep_alive_interval(config.timers.probe)
        .keep_alive_timeout(config.timers.probe)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(|_| ProxyError::Connect)?;
    // Borrowed for a poll at a time, in which nobody asks for the number of streams.
    let connection = Rc::new(RefCell::new(connection));
    let asked = connection.clone();
    let most: Rc<dyn Fn() -> usize> = Rc::new(move || asked.try_borrow().map_or(0, |it| it.current_max_send_streams()));
    let streams = Streams(Rc::downgrade(&most));
    tokio::task::spawn_local(async move {
        let ended = poll_fn(|cx| Pin::new(&mut *connection.borrow_mut()).poll(cx)).await;
        drop(most);
        if let Err(error) = ended {
            tracing::trace!(%error, "upstream connection ended");
        }
    });
    Ok(Sender::Http2(sender, streams))
}

/// The window of a connection that many clients share: wide enough for the windows of all its streams, so that clients
/// that do not read hold up nobody but themselves.
fn shared_window(stream_window: u32) -> u32 {
    stream_window.saturating_mul(MOST_STREAMS as u32).min(i32::MAX as u32)
}

/// Largest response head in octets; over it 502.
const RESPONSE_HEAD: usize = 64 * 1024;
/// Read buffer of a connection; it grows to this only while bodies flow.
const READ_BUFFER: usize = 64 * 1024;
/// Request octets that an HTTP/2 stream may have waiting.
const SEND_BUFFER: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection to an endpoint; then a further connection is opened.
pub(super) const MOST_STREAMS: usize = 100;
