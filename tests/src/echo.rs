//! An upstream that says who it is and what it received, and does as the request asks.
//!
//! Without a knob it reads the whole request and answers 200 with JSON: `backend`, `protocol`, `method`, `path`, `query`,
//! `headers` (pairs in order), `body_bytes`, `body_sha256`. The knobs are request fields:
//!
//! | field | effect |
//! |---|---|
//! | `x-echo-status: N` | answers with this status |
//! | `x-echo-hold: 1` | answers only after [`Echo::release`] |
//! | `x-echo-size: N` | a body of N octets instead of JSON |
//! | `x-echo-pass: 1` | the request body as response body, as it comes |
//! | `x-echo-chunked: 1` | a body of unknown length |
//! | `x-echo-set: name: value` | adds a response field; may be repeated |
//! | `x-echo-trailer: name: value` | adds a trailer field; may be repeated |

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::Error;
use crate::certificate::Issued;
use crate::stream::Stream;

/// A listening echo upstream; dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it saw.
    pub seen: Arc<Seen>,
    release: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Counters of an echo upstream.
#[derive(Debug, Default)]
pub struct Seen {
    /// Connections accepted.
    pub connections: AtomicUsize,
    /// Connections open now.
    pub open: AtomicUsize,
    /// Requests begun.
    pub requests: AtomicUsize,
    /// Requests begun and not yet answered.
    pub in_flight: AtomicUsize,
    /// Octets of request bodies read.
    pub body: AtomicU64,
    /// Octets of response bodies handed to the connection.
    pub sent: AtomicU64,
}

#[derive(Clone)]
struct Backend {
    name: Arc<str>,
    protocol: Protocol,
    seen: Arc<Seen>,
    released: watch::Receiver<bool>,
}

#[derive(Clone)]
enum Protocol {
    Http1,
    Http2,
    /// Whichever TLS agrees on.
    Tls(TlsAcceptor),
}

impl Echo {
    /// HTTP/1.1 in clear on a port of 127.0.0.1.
    pub async fn start(name: &str) -> Self {
        Self::listen(name, "127.0.0.1:0", Protocol::Http1).await
    }

    /// HTTP/1.1 in clear on this address.
    pub async fn start_on(name: &str, address: &str) -> Self {
        Self::listen(name, address, Protocol::Http1).await
    }

    /// HTTP/2 with prior knowledge.
    pub async fn h2c(name: &str) -> Self {
        Self::listen(name, "127.0.0.1:0", Protocol::Http2).await
    }

    /// TLS with this certificate, speaking what it offers by ALPN.
    pub async fn tls(name: &str, certificate: &Issued, alpn: &[&str]) -> Self {
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks the default versions")
            .with_no_client_auth()
            .with_single_cert(certificate.chain.clone(), certificate.key())
            .expect("key and certificate belong together");
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self::listen(name, "127.0.0.1:0", Protocol::Tls(Arc::new(config).into())).await
    }

    async fn listen(name: &str, address: &str, protocol: Protocol) -> Self {
        let listener = TcpListener::bind(address).await.expect("a loopback address can be bound");
        let address = listener.local_addr().expect("a listener has an address");
        let seen = Arc::new(Seen::default());
        let (release, released) = watch::channel(false);
        let backend = Backend { name: name.into(), protocol, seen: seen.clone(), released };
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(backend.clone().serve(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, seen, release, task }
    }

    /// Lets held requests go on, now and from now on.
    pub fn release(&self) {
        self.release.send_replace(true);
    }

    /// Requests begun so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Requests begun and not yet answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.seen.in_flight.load(Ordering::SeqCst)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Counts up now and down when dropped, whatever way a task ends.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Body = UnsyncBoxBody<Bytes, Error>;

impl Backend {
    async fn serve(self, stream: TcpStream) {
        let seen = self.seen.clone();
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let _open = Counted::new(&seen.open);
        // An option that fails to be set costs time only.
        let _ = stream.set_nodelay(true);
        let (stream, http2) = match &self.protocol {
            Protocol::Http1 => (Stream::Plain(stream), false),
            Protocol::Http2 => (Stream::Plain(stream), true),
            Protocol::Tls(acceptor) => {
                let Ok(tls) = acceptor.accept(stream).await else { return };
                let stream = Stream::Accepted(Box::new(tls));
                let http2 = stream.alpn() == Some(b"h2");
                (stream, http2)
            }
        };
        let service = service_fn(move |request| self.clone().answer(request));
        // Connections end as clients please; what matters shows in the answers.
        if http2 {
            let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        } else {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        }
    }

    async fn answer(mut self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let seen = self.seen.clone();
        seen.requests.fetch_add(1, Ordering::SeqCst);
        let _in_flight = Counted::new(&seen.in_flight);
        let (head, body) = request.into_parts();
        let knob = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| knob(name).map(|text| text.parse::<u64>().expect("a knob holds a number"));
        let body = if knob("x-echo-pass").is_some() {
            counted_body(body, seen.clone())
        } else {
            let Ok(received) = self.receive(body).await else {
                // The request broke off: nobody will read an answer.
                return Ok(Response::new(full(Bytes::new())));
            };
            match number("x-echo-size") {
                Some(size) => filler(size, seen.clone()),
                None => full(self.describe(&head, &received)),
            }
        };
        if knob("x-echo-hold").is_some() {
            let _ = self.released.wait_for(|released| *released).await;
        }
        let trailers = pairs(&head.headers, "x-echo-trailer");
        let body = if knob("x-echo-chunked").is_some() { unsized_body(body) } else { body };
        let names: Vec<_> = trailers.keys().map(|name| name.as_str().to_owned()).collect();
        let body = if trailers.is_empty() {
            body
        } else {
            unsized_body(body.with_trailers(async { Some(Ok(trailers)) }).boxed_unsync())
        };
        let mut response = Response::new(body);
        let fields = response.headers_mut();
        fields.insert("content-type", HeaderValue::from_static("application/json"));
        fields.insert("x-echo-backend", HeaderValue::from_str(&self.name).expect("names are plain"));
        if !names.is_empty() {
            fields.insert("trailer", names.join(", ").parse().expect("field names are values, too"));
        }
        fields.extend(pairs(&head.headers, "x-echo-set"));
        if let Some(status) = number("x-echo-status") {
            let status = u16::try_from(status).expect("a status has three digits");
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        }
        Ok(response)
    }

    async fn receive(&self, mut body: Incoming) -> Result<(u64, String, HeaderMap), hyper::Error> {
        let (mut length, mut digest, mut trailers) = (0, Context::new(&SHA256), HeaderMap::new());
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) => {
                    length += data.len() as u64;
                    self.seen.body.fetch_add(data.len() as u64, Ordering::SeqCst);
                    digest.update(&data);
                }
                Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        Ok((length, hex(digest.finish().as_ref()), trailers))
    }

    fn describe(&self, head: &http::request::Parts, received: &(u64, String, HeaderMap)) -> Bytes {
        let list = |fields: &HeaderMap| -> Vec<_> {
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            fields.iter().map(|(name, value)| json!([name.as_str(), text(value)])).collect()
        };
        let (length, digest, trailers) = received;
        let description = json!({
            "backend": &*self.name,
            "protocol": format!("{:?}", head.version),
            "method": head.method.as_str(),
            "authority": head.uri.authority().map(|authority| authority.as_str()),
            "scheme": head.uri.scheme_str(),
            "path": head.uri.path(),
            "query": head.uri.query(),
            "headers": list(&head.headers),
            "body_bytes": length,
            "body_sha256": digest,
            "trailers": list(trailers),
        });
        description.to_string().into()
    }
}

/// The fields that a knob's `name: value` texts ask for.
fn pairs(headers: &HeaderMap, knob: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for value in headers.get_all(knob) {
        let (name, value) = value.to_str().ok().and_then(|text| text.split_once(':')).expect("a knob holds a field");
        let name: HeaderName = name.trim().parse().expect("a field name");
        fields.append(name, value.trim().parse().expect("a field value"));
    }
    fields
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The same frames without a length known beforehand.
fn unsized_body(body: Body) -> Body {
    let frames = futures_util::stream::unfold(body, async |mut body| body.frame().await.map(|frame| (frame, body)));
    StreamBody::new(Box::pin(frames)).boxed_unsync()
}

fn counted_body(body: Incoming, seen: Arc<Seen>) -> Body {
    let counted = body.map_frame(move |frame: Frame<Bytes>| {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        seen.body.fetch_add(length, Ordering::SeqCst);
        seen.sent.fetch_add(length, Ordering::SeqCst);
        frame
    });
    counted.map_err(Into::into).boxed_unsync()
}

/// A body of `size` octets, made as it is taken.
fn filler(size: u64, seen: Arc<Seen>) -> Body {
    static BLOCK: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    let frames = futures_util::stream::unfold(size, move |left| {
        let length = left.min(BLOCK.len() as u64);
        seen.sent.fetch_add(length, Ordering::SeqCst);
        let block = usize::try_from(length).map(|length| &BLOCK[..length]).expect("at most a block");
        let frame = (length > 0).then(|| (Ok(Frame::data(Bytes::from_static(block))), left - length));
        std::future::ready(frame)
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Lower-case hex digits.
#[must_use]
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// SHA-256 in hex, as the echo upstream reports it.
#[must_use]
pub fn sha256(octets: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&SHA256, octets).as_ref())
}
