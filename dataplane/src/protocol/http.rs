//! HTTP/1.1 and HTTP/2 on one connection: hyper parses and frames, the driver keeps the time.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until};

use super::driver::{Connection, Deadlines, Driver, End, Handle};
use super::frames::BURST;
use super::io::Stamped;
use super::stall::{Paced, Streams};
use crate::config::{Config, Limits};
use crate::gate::request::Requests;
use crate::parking::{Parked, Served, Service, Transport};
use crate::request::{self, Downstream, ResponseBody};

/// Which HTTP a connection speaks: decided by ALPN on TLS, by configuration in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Serves a connection to its end, or until it can be parked. One that was parked is served like a new one.
pub(crate) fn serve(transport: Transport, version: Version, downstream: Rc<Downstream>, handle: Rc<Handle>) -> Service {
    match version {
        Version::Http1 => Box::pin(serve_http1(transport, downstream, handle)),
        Version::Http2 => Box::pin(serve_http2(transport, downstream, handle)),
    }
}

async fn serve_http1(transport: Transport, downstream: Rc<Downstream>, handle: Rc<Handle>) -> Served {
    let config = &downstream.worker.config;
    let sleep = pin!(sleep_until(Instant::now()));
    let timers = Deadlines::new(&config.timers, downstream.trusted);
    let (activity, owner) = (downstream.activity.clone(), downstream.clone());
    let service = service_fn(move |request: Request<Incoming>| answer(owner.clone(), request));
    let stream = Stamped::http1(transport, activity.clone(), Requests::new(&config.limits), downstream.begun());
    let mut connection = http1_builder(config).serve_connection(TokioIo::new(stream), service).with_upgrades();
    let driver = Driver::new(Pin::new(&mut connection), sleep, &activity, &handle, timers);
    match (driver.parking(&downstream).await, connection.into_parts()) {
        (End::Idle, Some(parts)) => {
            downstream.alarm.put_off();
            let transport = parts.io.into_inner().into_inner();
            Served::Parked(Box::new(Parked::new(transport, &parts.read_buf, downstream, handle)))
        }
        (end, _) => Served::Ended(end),
    }
}

async fn serve_http2(transport: Transport, downstream: Rc<Downstream>, handle: Rc<Handle>) -> Served {
    let config = &downstream.worker.config;
    let sleep = pin!(sleep_until(Instant::now()));
    let timers = Deadlines::new(&config.timers, downstream.trusted);
    let (activity, owner) = (downstream.activity.clone(), downstream.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        // In a box of its own, which goes with the answer: what is left of a stream that waits for a window is small.
        let answer = Box::pin(answer(owner.clone(), request));
        async move {
            let mut response = answer.await?;
            detach(response.headers_mut());
            Ok::<_, Infallible>(response.map(Paced::new))
        }
    });
    let io = TokioIo::new(Stamped::http2(transport, activity.clone()));
    let streams = Streams::new(config.timers.write_stall, downstream.worker.metrics.clone());
    let connection = pin!(http2_builder(config, streams).serve_connection(io, service));
    Served::Ended(Driver::new(connection, sleep, &activity, &handle, timers).await)
}

/// Gives the values of a head memory of their own. HPACK remembers them for as long as the connection lasts, and those of
/// an upstream's answer would hold its whole read buffer.
fn detach(headers: &mut HeaderMap) {
    let length = headers.values().map(HeaderValue::len).sum();
    let mut octets = BytesMut::with_capacity(length);
    headers.values().for_each(|value| octets.extend_from_slice(value.as_bytes()));
    for value in headers.values_mut() {
        let copy = octets.split_to(value.len()).freeze();
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(copy) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
}

async fn answer(downstream: Rc<Downstream>, request: Request<Incoming>) -> Result<Response<ResponseBody>, Infallible> {
    Ok(request::handle(downstream, request).await)
}

/// Sizes are the gate's affair: what passes it must not be refused by hyper.
fn http1_builder(config: &Config) -> http1::Builder {
    let longest = Requests::longest(&config.limits);
    let mut builder = http1::Builder::new();
    builder
        .max_header_size(longest.max(SMALLEST_HEAD))
        .max_buf_size(READ_BUFFER.max(longest))
        .preserve_header_case(config.preserve_header_case)
        .header_read_timeout(None);
    if config.limits.fields > HYPERS_FIELDS {
        // The room for its own number costs hyper nothing; for another one it is written to before each head.
        builder.max_headers(config.limits.fields);
    }
    builder
}

/// Streams that are reset before their requests began end the connection; of a burst no more than half may be.
fn http2_builder(config: &Config, streams: Streams) -> http2::Builder<Streams> {
    let Limits { h2_streams, h2_stream_window, h2_connection_window, head, .. } = config.limits;
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(h2_streams)
        .max_pending_accept_reset_streams(BURST as usize / 2)
        .initial_stream_window_size(h2_stream_window)
        .initial_connection_window_size(h2_connection_window)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(config.timers.probe)
        .keep_alive_timeout(config.timers.probe);
    builder
}

/// Spawns on the worker's own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl<I, S, B> Connection for http1::UpgradeableConnection<I, S>
where
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B> Connection for http2::Connection<I, S, Streams>
where
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Streams: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Fields that hyper takes if it is not told otherwise.
const HYPERS_FIELDS: usize = 100;
/// Room for a stand-in of a refused head, however tight the limits are.
const SMALLEST_HEAD: usize = 16 * 1024;
/// Read buffer of an HTTP/1 connection; it grows to this only while bodies flow.
const READ_BUFFER: usize = 64 * 1024;
/// Response octets that an HTTP/2 stream may have waiting.
const SEND_BUFFER: usize = 64 * 1024;
