//! What a request carries with it: its connection, and the record of how it went.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Version};
use portico_shared::Redacted;
use tokio::time::Instant;

use super::body::Upload;
use super::error::ProxyError;
use super::forwarded::RequestId;
use crate::balance::Balancer;
use crate::observe::access_log::Record;
use crate::observe::metrics::Limit;
use crate::overload::Level;
use crate::protocol::io::{Activity, Phase};
use crate::upstream::Alarm;
use crate::worker::{Guards, RouteState, Worker, WorkerTable};

/// One downstream connection, as its requests see it.
#[derive(Debug)]
pub(crate) struct Downstream {
    pub(crate) worker: Rc<Worker>,
    /// The client, canonical and after the PROXY protocol.
    pub(crate) client: SocketAddr,
    /// Whether its forwarded fields are believed.
    pub(crate) trusted: bool,
    /// Present on TLS.
    pub(crate) tls: Option<TlsFacts>,
    /// The table's listener that this connection came in by.
    pub(crate) listener: Arc<str>,
    /// The client's address as a field value.
    pub(crate) client_field: HeaderValue,
    /// The local port as a field value.
    pub(crate) port_field: HeaderValue,
    pub(crate) activity: Arc<Activity>,
    in_flight: Cell<u32>,
    /// Requests that began.
    begun: Cell<u32>,
    /// The number of its last request, and the moment from which on any is the last; `None` without a limit.
    last: Option<u32>,
    until: Option<Instant>,
    /// Whether it was told to end.
    worn: Cell<bool>,
    /// When the request ended whose books are being closed, so that the clock is read once for it.
    ended: Cell<Option<Instant>>,
    /// What waits for upstreams' answers on HTTP/1, one after the other.
    pub(crate) alarm: Alarm,
    /// Counts the connection until its last request, upgraded ones included, has ended.
    _guards: Guards,
}

/// What a request may want to know of its connection's TLS.
#[derive(Debug)]
pub(crate) struct TlsFacts {
    /// Normalised SNI.
    pub(crate) server_name: Option<String>,
}

impl Downstream {
    pub(crate) fn new(
        worker: Rc<Worker>,
        client: SocketAddr,
        port: u16,
        tls: Option<TlsFacts>,
        listener: Arc<str>,
        activity: Arc<Activity>,
        guards: Guards,
    ) -> Self {
        let trusted = worker.trusts(client.ip());
        let text = match client.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => address.to_string(),
        };
        let (requests, age) = (worker.config.limits.requests, worker.config.timers.connection_age);
        let last = (requests > 0).then(|| jittered(requests.into()).try_into().unwrap_or(u32::MAX));
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let until = (age > 0).then(|| Instant::now() + Duration::from_millis(jittered(age)));
        let client_field = HeaderValue::from_str(&text).expect("an address is a field value");
        Self {
            worker,
            client,
            trusted,
            tls,
            listener,
            client_field,
            port_field: port.into(),
            activity,
            in_flight: Cell::new(0),
            begun: Cell::new(0),
            last,
            until,
            worn: Cell::new(false),
            ended: Cell::new(None),
            alarm: Alarm::default(),
            _guards: guards,
        }
    }
}

impl Downstream {
    /// Requests that began.
    pub(crate) fn begun(&self) -> u32 {
        self.begun.get()
    }

    /// Counts a request in; why it is refused, if what came is only the stand-in for one that the gate refused.
    pub(crate) fn admit(&self) -> Result<(), ProxyError> {
        self.begun.set(self.begun.get().wrapping_add(1));
        match self.activity.refusal() {
            Some((number, error)) if number == self.begun.get() => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the connection is to end with the request that began then, because of what it has been used or because
    /// there is no room for one that waits.
    pub(crate) fn is_last(&self, start: Instant) -> bool {
        self.worker.leaving() || self.worker.overload.level() >= Level::KeepAliveOff || self.is_worn(start)
    }

    fn is_worn(&self, start: Instant) -> bool {
        let limit = if self.last.is_some_and(|last| self.begun.get() >= last) {
            Limit::ConnectionRequests
        } else if self.until.is_some_and(|until| start >= until) {
            Limit::ConnectionAge
        } else {
            return false;
        };
        if !self.worn.replace(true) {
            self.worker.metrics.limit(limit);
            // HTTP/2 has no field for it; the driver sends GOAWAY.
            self.activity.wear_out();
        }
        true
    }
}

/// A number give or take a tenth, so that what began together does not end together; at least 1.
fn jittered(number: u64) -> u64 {
    let tenth = number / 10;
    (number - tenth).saturating_add(fastrand::u64(..=tenth * 2)).max(1)
}

/// A request that is being answered, or whose body is still coming; while one lives, the connection is not idle, and what
/// is read on it begins no head.
#[derive(Debug)]
pub(crate) struct Busy(Rc<Downstream>);

impl Busy {
    pub(crate) fn new(downstream: &Rc<Downstream>, now: Instant) -> Self {
        downstream.activity.enter(Phase::Active, now);
        downstream.in_flight.set(downstream.in_flight.get() + 1);
        Self(downstream.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let left = self.0.in_flight.get() - 1;
        self.0.in_flight.set(left);
        let ended = self.0.ended.take();
        if left == 0 {
            self.0.activity.rest(ended.unwrap_or_else(Instant::now));
        }
    }
}

/// One request from its head to the last octet of its answer. Whoever holds it last (the response body) closes the
/// books: metrics, access log, the connection's phase.
#[derive(Debug)]
pub(crate) struct Exchange {
    downstream: Rc<Downstream>,
    /// Keeps the table that the request was routed by.
    pub(crate) table: Rc<WorkerTable>,
    pub(crate) start: Instant,
    pub(crate) route: Option<Rc<RouteState>>,
    pub(crate) upload: Option<Rc<Upload>>,
    /// Status sent; 0 when the client left before there was one.
    pub(crate) status: u16,
    pub(crate) error: Option<ProxyError>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Whether the upstream said everything it had to say.
    pub(crate) complete: bool,
    /// When that was.
    pub(crate) ended: Option<Instant>,
    pub(crate) tries: u32,
    /// The upstream chosen; worker-local, so that no request writes what other workers read.
    pub(crate) balancer: Option<Rc<Balancer>>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) upstream_duration: Option<Duration>,
    pub(crate) request_id: Option<RequestId>,
    log: Option<Box<LogFields>>,
    _busy: Busy,
}

/// What only the access log wants to know.
#[derive(Debug)]
struct LogFields {
    time: SystemTime,
    method: Method,
    version: Version,
    host: Option<HeaderValue>,
    path: Redacted<http::Uri>,
    user_agent: Option<HeaderValue>,
}

impl Exchange {
    /// The gate refused the request, and what came is its stand-in. One for CONNECT bears the method in small letters,
    /// because hyper would take the other for what it says.
    pub(crate) fn refused(&mut self, error: ProxyError) -> ProxyError {
        if let Some(log) = self.log.as_mut().filter(|log| error == ProxyError::Method && log.method == "connect") {
            log.method = Method::CONNECT;
        }
        error
    }

    pub(crate) fn begin<B>(downstream: Rc<Downstream>, request: &Request<B>) -> Box<Self> {
        downstream.worker.metrics.requests_in_flight.inc();
        let log = downstream.worker.access_log.enabled().then(|| {
            let host = request.uri().authority().and_then(|text| HeaderValue::from_str(text.as_str()).ok());
            Box::new(LogFields {
                time: SystemTime::now(),
                method: request.method().clone(),
                version: request.version(),
                host: host.or_else(|| request.headers().get(HOST).cloned()),
                path: Redacted::new(request.uri().clone()),
                user_agent: request.headers().get(USER_AGENT).cloned(),
            })
        });
        let start = Instant::now();
        Box::new(Self {
            table: downstream.worker.table(),
            _busy: Busy::new(&downstream, start),
            downstream,
            start,
            route: None,
            upload: None,
            status: 0,
            error: None,
            bytes_in: 0,
            bytes_out: 0,
            complete: false,
            ended: None,
            tries: 0,
            balancer: None,
            endpoint: None,
            upstream_duration: None,
            request_id: None,
            log,
        })
    }

    pub(crate) fn downstream(&self) -> &Rc<Downstream> {
        &self.downstream
    }

    /// Whether there will be a line in the access log.
    pub(crate) fn is_logged(&self) -> bool {
        self.log.is_some()
    }

    fn write_log(&self, log: &LogFields, duration: Duration) {
        let route = self.route.as_ref().map(|state| &state.entry.route);
        self.downstream.worker.access_log.record(&Record {
            time: log.time,
            client: self.downstream.client,
            sni: self.downstream.tls.as_ref().and_then(|tls| tls.server_name.as_deref()),
            host: log.host.as_ref().map(HeaderValue::as_bytes),
            method: log.method.as_str(),
            path: log.path.expose().path().as_bytes(),
            protocol: protocol(log.version),
            route: route.map(|route| &*route.name.0),
            ingress: route.map(|route| &route.origin.object),
            upstream: self.balancer.as_ref().map(|balancer| &balancer.upstream.name),
            endpoint: self.endpoint,
            tries: self.tries,
            status: Some(self.status).filter(|status| *status != 0),
            error: self.error.map(|error| (error.side().label(), error.label())),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration,
            upstream_duration: self.upstream_duration,
            request_id: self.request_id.as_ref().map(RequestId::as_bytes),
            generation: self.table.generation(),
            user_agent: log.user_agent.as_ref().map(HeaderValue::as_bytes),
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = self.ended.unwrap_or_else(Instant::now);
        self.downstream.ended.set(Some(now));
        let duration = now - self.start;
        let worker = &self.downstream.worker;
        if let Some(upload) = &self.upload {
            self.bytes_in += upload.octets();
        }
        let metrics = self.route.as_ref().map_or(worker.metrics.unmatched(), |route| &route.metrics);
        metrics.record(self.status, duration, self.bytes_in, self.bytes_out);
        if let Some(limit) = self.error.and_then(limit_of) {
            worker.metrics.limit(limit);
        }
        worker.metrics.requests_in_flight.dec();
        if let Some(log) = &self.log {
            self.write_log(log, duration);
        }
    }
}

/// The limit that an error is the breach of.
fn limit_of(error: ProxyError) -> Option<Limit> {
    match error {
        ProxyError::TooLarge(limit) | ProxyError::BodyTimeout(limit) | ProxyError::Overloaded(limit) => Some(limit),
        ProxyError::HeadTimeout => Some(Limit::Head),
        ProxyError::BodyTooLarge => Some(Limit::BodySize),
        ProxyError::Loop => Some(Limit::Hops),
        ProxyError::Timeout => Some(Limit::UpstreamResponse),
        ProxyError::Silent => Some(Limit::UpstreamBodyIdle),
        _ => None,
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
