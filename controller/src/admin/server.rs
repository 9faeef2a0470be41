//! A small HTTP/1.1 service for GET and HEAD, with bounds on everything a client could hold on to.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portico_shared::normalise::authority;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// What answers requests. May block: it is never called on a thread of the runtime.
pub trait Answers: Send + Sync + 'static {
    /// The answer for a path and query; `None` is 404.
    fn answer(&self, path: &str, query: Option<&str>) -> Option<Reply>;

    /// Whether the host may be any name. Otherwise only addresses and `localhost` are answered, so that no page of a
    /// browser on this machine reads what is here under a name of its own that resolves to it (DNS rebinding).
    fn under_any_name(&self) -> bool {
        true
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Media type of the body.
    pub media_type: &'static str,
    /// Body.
    pub body: Bytes,
}

impl Reply {
    /// A line of text.
    #[must_use]
    pub fn text(status: StatusCode, line: &str) -> Self {
        Self { status, media_type: "text/plain; charset=utf-8", body: format!("{line}\n").into() }
    }
}

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Takes an address; `[::]` falls back to `0.0.0.0` where there is no IPv6.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let any = address.ip() == IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED);
        let socket = std::net::TcpListener::bind(address).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            _ if any => std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())),
            _ => Err(error),
        })?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// The address, with a port chosen by the system filled in.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` says so.
    pub async fn serve(self, answers: Arc<dyn Answers>, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let socket = tokio::net::TcpListener::from_std(self.socket)?;
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = stopped(&mut stop) => return Ok(()),
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors, most likely: give them time to come back.
                sleep(PAUSE).await;
                continue;
            };
            // One too many is closed: whoever it is asks again.
            let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
            let (answers, stop) = (answers.clone(), stop.clone());
            tokio::spawn(async move {
                let _slot = slot;
                connection(stream, answers, stop).await;
            });
        }
    }
}

async fn connection(stream: TcpStream, answers: Arc<dyn Answers>, mut stop: watch::Receiver<bool>) {
    let service = service_fn(move |request| {
        let answers = answers.clone();
        async move { Ok::<_, Infallible>(respond(&request, answers).await) }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(BUFFER)
            .max_headers(FIELDS)
            .serve_connection(TokioIo::new(stream), service)
    );
    // Errors are the client's: it went away or does not speak HTTP.
    drop(
        timeout(LONGEST, async {
            tokio::select! {
                _ = connection.as_mut() => {}
                () = stopped(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    drop(connection.await);
                }
            }
        })
        .await,
    );
}

/// Returns when it is time to stop, or nobody can say so any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn respond(request: &Request<Incoming>, answers: Arc<dyn Answers>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = response(Reply::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"));
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    if !answers.under_any_name() && !names_this_machine(request) {
        return response(Reply::text(StatusCode::MISDIRECTED_REQUEST, "ask by address or as localhost"));
    }
    let uri = request.uri().clone();
    let reply = spawn_blocking(move || answers.answer(uri.path(), uri.query())).await;
    response(match reply {
        Ok(Some(reply)) => reply,
        Ok(None) => Reply::text(StatusCode::NOT_FOUND, "not found"),
        Err(_) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made"),
    })
}

/// Whether the request names no host, an address, or `localhost`.
fn names_this_machine(request: &Request<Incoming>) -> bool {
    request.headers().get_all(HOST).iter().all(|host| {
        authority::parse(host.as_bytes()).is_ok_and(|authority| {
            let host = &*authority.host;
            host == "localhost" || host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
        })
    })
}

/// hyper leaves out the body of an answer to HEAD and keeps its length.
fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(reply.media_type));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Connections at one time.
const CONNECTIONS: usize = 256;
/// Time for a request's head; an idle connection is closed after it too.
const HEAD: Duration = Duration::from_secs(10);
/// Time that a connection lasts at most.
const LONGEST: Duration = Duration::from_secs(600);
/// Octets of a request's head at most.
const BUFFER: usize = 16 * 1024;
/// Fields of a request at most.
const FIELDS: usize = 64;
/// Pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);
