//! Sending a request on: choose an endpoint, lend a connection, send, wait for the head, try again where that is safe.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use portico_shared::ir::UpstreamName;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::answer::{Answer, accept};
use super::connect::Transport;
use super::pool::{EndpointPool, Lease, LentSender, Wanted};
use crate::balance::Balancer;
use crate::gate::response::{Asked, Refused};
use crate::observe::metrics::Limit;
use crate::overload::{Level, PRESSED};
use crate::request::forwarded::{RequestId, X_REQUEST_ID};
use crate::request::{Downstream, Exchange, ProxyError, RequestBody, Upload, idempotent};
use crate::worker::{RouteState, Worker};

/// A request ready to be sent on.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    pub(crate) headers: HeaderMap,
    /// hyper's own notes, such as the case of field names.
    pub(crate) extensions: Extensions,
    pub(crate) body: RequestBody,
    /// Present when the client asks for a WebSocket.
    pub(crate) upgrade: Option<OnUpgrade>,
    /// gRPC: both bodies may take their time.
    pub(crate) stream: bool,
    /// Whether the client's connection carries one request at a time.
    pub(crate) alone: bool,
}

impl Outgoing {
    /// The request as HTTP/1.1 has it, and what is needed to make it once more.
    fn into_request(self, keep: bool) -> (Request<RequestBody>, Option<Kept>) {
        let kept = keep.then(|| Kept {
            method: self.method.clone(),
            target: self.target.clone(),
            fields: fields(&self.headers),
            extensions: self.extensions.clone(),
        });
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.target);
        *request.headers_mut() = self.headers;
        *request.extensions_mut() = self.extensions;
        (request, kept)
    }
}

/// A request head that may have to be sent again.
struct Kept {
    method: Method,
    target: PathAndQuery,
    /// A list, because most are never needed and a map costs three times as much to copy.
    fields: Vec<(HeaderName, HeaderValue)>,
    extensions: Extensions,
}

impl Kept {
    /// The request once more; `id` is the one that it had.
    fn request(&self, body: RequestBody, id: Option<&RequestId>) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.target.clone());
        let headers = request.headers_mut();
        for (name, value) in &self.fields {
            headers.append(name.clone(), value.clone());
        }
        if let Some(id) = id {
            headers.insert(X_REQUEST_ID, id.value());
        }
        *request.extensions_mut() = self.extensions.clone();
        request
    }
}

/// The fields of a request but for its id, which has no second owner yet.
fn fields(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        if *name != X_REQUEST_ID {
            fields.push((name.clone(), value.clone()));
        }
    }
    fields
}

/// Why one try failed.
enum Failure {
    /// Nothing of the request was sent; it is in here again.
    Unsent(ProxyError, Box<Request<RequestBody>>),
    /// The endpoint said that it has not looked at the request.
    Refused,
    /// It may have been processed.
    Sent(ProxyError),
}

/// Sends a request to an endpoint of the route and waits for the response head.
pub(crate) async fn forward(
    exchange: &mut Exchange,
    route: &RouteState,
    mut outgoing: Outgoing,
) -> Result<Answer, ProxyError> {
    let balancer = route.pick().ok_or(ProxyError::Unavailable)?.clone();
    exchange.balancer = Some(balancer.clone());
    balancer.budget.deposit();
    let downstream = exchange.downstream().clone();
    let worker = &downstream.worker;
    let mut plan = Plan::new((&downstream, exchange.start), route, &balancer, &outgoing);
    let upgrade = outgoing.upgrade.clone();
    if !outgoing.headers.contains_key(HOST) {
        let UpstreamName { namespace, service, .. } = &balancer.upstream.name;
        let host = HeaderValue::try_from(format!("{service}.{namespace}"));
        outgoing.headers.insert(HOST, host.map_err(|_| ProxyError::Unavailable)?);
    }
    let (mut request, kept) = outgoing.into_request(plan.keep);
    if kept.is_some()
        && let Some(upload) = &exchange.upload
    {
        upload.record();
    }
    let mut begun = exchange.start;
    loop {
        let pool = balancer.choose(&plan.tried).ok_or(ProxyError::NoEndpoint)?;
        exchange.tries += 1;
        exchange.endpoint = Some(pool.endpoint.address);
        let (failure, stale) = match plan.attempt(&pool, request, begun, exchange.upload.as_deref()).await {
            Ok((response, lease)) => {
                pool.endpoint.succeeded();
                exchange.upstream_duration = exchange.is_logged().then(|| begun.elapsed());
                return accept(response, lease, upgrade, plan.stream, &worker.config);
            }
            Err(failure) => failure,
        };
        if let Some(fault) = exchange.upload.as_deref().and_then(Upload::fault) {
            return Err(fault);
        }
        let (error, again) = plan.judge(failure, kept.as_ref(), exchange);
        // A connection that closed while it was idle says nothing of the endpoint.
        let silent = matches!(error, ProxyError::Timeout | ProxyError::Overloaded(_));
        if !stale && !silent && pool.endpoint.failed(&worker.config.upstream) {
            worker.metrics.ejections.inc();
            tracing::debug!(upstream = %balancer.upstream.name, endpoint = %pool.endpoint.address, "endpoint ejected");
        }
        let Some(again) = again.filter(|_| exchange.tries <= worker.config.upstream.retries) else { return Err(error) };
        // A connection that closed while it was idle has served a request before, and the next try trusts no other idle one:
        // such tries are never more than requests that succeeded.
        if !stale && !balancer.budget.withdraw() {
            worker.metrics.retry_budget_exhausted.inc();
            return Err(error);
        }
        worker.metrics.retries.inc();
        route.metrics.retried();
        plan.tried.push(pool.endpoint.address);
        plan.fresh = stale;
        begun = Instant::now();
        request = again;
    }
}

/// How one request may be tried.
struct Plan<'a> {
    downstream: &'a Downstream,
    worker: &'a Worker,
    balancer: &'a Balancer,
    tried: Vec<SocketAddr>,
    /// Longest wait for the response head.
    patience: Duration,
    begun: Instant,
    /// Whether the client's connection carries one request at a time.
    alone: bool,
    /// gRPC: the response may take its time.
    stream: bool,
    /// Whether the request may be sent twice.
    replayable: bool,
    /// Whether the head is kept for sending it again.
    keep: bool,
    upgrade: bool,
    /// Whether the last try found that its connection had been closed while it was idle: others may have been, too.
    fresh: bool,
}

impl<'a> Plan<'a> {
    fn new(
        (downstream, begun): (&'a Downstream, Instant),
        route: &RouteState,
        balancer: &'a Balancer,
        outgoing: &Outgoing,
    ) -> Self {
        let worker = &*downstream.worker;
        let config = &worker.config;
        let stream = outgoing.stream;
        let default = if stream { config.timers.stream_idle } else { config.upstream.response };
        let replayable = idempotent(&outgoing.method) && outgoing.body.upload().is_none();
        let upgrade = outgoing.upgrade.is_some();
        Self {
            downstream,
            worker,
            balancer,
            tried: Vec::new(),
            patience: route.entry.route.policies.request_timeout.unwrap_or(default),
            begun,
            alone: outgoing.alone,
            stream,
            replayable,
            keep: config.upstream.retries > 0 && !upgrade && (replayable || balancer.transport.may_share()),
            upgrade,
            fresh: false,
        }
    }

    fn wanted(&self) -> Wanted {
        match (self.upgrade, self.fresh, self.replayable) {
            (true, _, _) => Wanted::Upgrade,
            (_, true, _) => Wanted::Fresh,
            (_, _, true) => Wanted::Any,
            (_, _, false) => Wanted::Recent,
        }
    }

    /// One try at one endpoint. A failure comes with whether it says nothing new of the endpoint: on a connection that had
    /// been used before, or found out by another request.
    async fn attempt(
        &self,
        pool: &Rc<EndpointPool>,
        mut request: Request<RequestBody>,
        begun: Instant,
        upload: Option<&Upload>,
    ) -> Result<(Response<Incoming>, Lease), (Failure, bool)> {
        let lent = pool.lend(&self.balancer.transport, &self.worker.config, self.wanted(), begun).await;
        let mut lease = match lent {
            Ok(lease) => lease,
            Err(unopened) => return Err((Failure::Unsent(unopened.error, Box::new(request)), !unopened.tried)),
        };
        let (sent, answered) = match lease.sender() {
            LentSender::Http1(sender, line) => {
                shape(&mut request, None);
                line.ask(match request.method() {
                    &Method::HEAD => Asked::Head,
                    _ if self.upgrade => Asked::Upgrade,
                    _ => Asked::Plain,
                });
                if let Some(upload) = upload {
                    upload.goes_by(Some(line));
                }
                let sending = sender.try_send_request(request);
                let sent = self.in_time(sending, upload).await;
                (sent, line.is_answered())
            }
            LentSender::Http2 { sender, .. } => {
                let secure = matches!(self.balancer.transport, Transport::Tls { .. });
                let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
                shape(&mut request, Some(scheme));
                if let Some(upload) = upload {
                    upload.goes_by(None);
                }
                let sending = sender.try_send_request(request);
                (self.in_time(sending, upload).await, false)
            }
        };
        let failure = match sent {
            Ok(Ok(response)) => return Ok((response, lease)),
            Err(error) => Failure::Sent(error),
            Ok(Err(mut failed)) => match failed.take_message() {
                Some(unsent) => Failure::Unsent(ProxyError::Reset, Box::new(unsent)),
                // Half a head is an answer that cannot be read; asking again would be a second request.
                None if answered => Failure::Sent(ProxyError::Protocol),
                None => classify(failed.error()),
            },
        };
        Err((failure, lease.reused))
    }

    /// Waits for a response head; fails when the endpoint took too long, for that or for taking the body.
    async fn in_time<F: Future>(&self, sending: F, upload: Option<&Upload>) -> Result<F::Output, ProxyError> {
        let by = self.begun + self.patience;
        if !self.alone {
            return self.wait(sending, pin!(sleep_until(by)), upload).await;
        }
        let mut sleep = self.downstream.alarm.take(by);
        let sent = self.wait(sending, sleep.as_mut(), upload).await;
        self.downstream.alarm.keep(sleep);
        sent
    }

    /// The same with a sleep that ends no later than patience does.
    async fn wait<F: Future>(
        &self,
        sending: F,
        mut sleep: Pin<&mut Sleep>,
        upload: Option<&Upload>,
    ) -> Result<F::Output, ProxyError> {
        let mut sending = pin!(sending);
        // In a box, because most requests have no body.
        let mut pressed = upload.map(|upload| Box::pin(self.pressed(upload)));
        let mut pressed = poll_fn(move |cx| pressed.as_mut().map_or(Poll::Pending, |it| it.as_mut().poll(cx)));
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return Ok(sent),
                () = &mut sleep => {}
                () = &mut pressed => return Err(ProxyError::Overloaded(Limit::Memory)),
            }
            let since = upload.map_or(self.begun, |upload| self.begun.max(upload.upstream_turn()));
            if since + self.patience <= Instant::now() {
                return Err(ProxyError::Timeout);
            }
            sleep.as_mut().reset(since + self.patience);
        }
    }

    /// Waits until memory is needed that an endpoint keeps by not taking what was sent to it.
    async fn pressed(&self, upload: &Upload) {
        let overload = &self.worker.overload;
        let mut levels = overload.changes();
        // The worker keeps the sender.
        while levels.wait_for(|level| *level >= Level::Refusing).await.is_ok() {
            let untaken = upload.untaken().map(|since| since.elapsed());
            if untaken.zip(overload.patience()).is_some_and(|(untaken, patience)| untaken >= patience) {
                return;
            }
            sleep(PRESSED / 4).await;
        }
    }

    /// What a failed try means: the error if it was the last, and the request for another if there may be one.
    fn judge(
        &self,
        failure: Failure,
        kept: Option<&Kept>,
        exchange: &Exchange,
    ) -> (ProxyError, Option<Request<RequestBody>>) {
        let id = exchange.request_id.as_ref();
        match failure {
            Failure::Unsent(error, request) => (error, Some(*request)),
            Failure::Refused => {
                let upload = exchange.upload.as_ref();
                let body = upload.cloned().map_or(RequestBody::Empty, RequestBody::Streaming);
                let rewound = upload.is_none_or(|upload| upload.rewind());
                (ProxyError::Reset, kept.filter(|_| rewound).map(|kept| kept.request(body, id)))
            }
            Failure::Sent(error) => {
                // An answer that cannot be read is an answer: the endpoint has seen the request.
                let kept = kept.filter(|_| self.replayable && error == ProxyError::Reset);
                (error, kept.map(|kept| kept.request(RequestBody::Empty, id)))
            }
        }
    }
}

/// The request in the form of the protocol: HTTP/1.1 has the host in a field, HTTP/2 in the target.
fn shape(request: &mut Request<RequestBody>, http2: Option<Scheme>) {
    if http2.is_none() && request.uri().authority().is_none() {
        // As it came from the client, which is how most do.
        *request.version_mut() = Version::HTTP_11;
        return frame(request);
    }
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    match http2 {
        Some(scheme) => {
            request.headers_mut().remove(TRANSFER_ENCODING);
            // On a further try the host is in the target already.
            let host = request.headers_mut().remove(HOST);
            let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
            parts.authority = host.or(parts.authority);
            parts.scheme = parts.authority.is_some().then_some(scheme);
            *request.version_mut() = Version::HTTP_2;
        }
        None => {
            if let Some(authority) = parts.authority.take()
                && let Ok(host) = HeaderValue::from_str(authority.as_str())
            {
                request.headers_mut().insert(HOST, host);
            }
            parts.scheme = None;
            *request.version_mut() = Version::HTTP_11;
            frame(request);
        }
    }
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// Says in fields what hyper would guess from the method: that a body of unknown length follows, or that none does
/// where one is usual (RFC 9110 section 8.6).
fn frame(request: &mut Request<RequestBody>) {
    let body = request.body();
    let field = if body.is_end_stream() {
        let usual = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        usual.then(|| (CONTENT_LENGTH, HeaderValue::from_static("0")))
    } else {
        let unknown = body.size_hint().exact().is_none();
        unknown.then(|| (TRANSFER_ENCODING, HeaderValue::from_static("chunked")))
    };
    if let Some((name, value)) = field {
        request.headers_mut().insert(name, value);
    }
}

/// What an error after sending means.
fn classify(error: &hyper::Error) -> Failure {
    if error.is_parse() || error.is_parse_status() {
        return Failure::Sent(ProxyError::Protocol);
    }
    let mut source = error.source();
    while let Some(cause) = source {
        let refused = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if refused.is_some_and(|error| error.is::<Refused>()) {
            return Failure::Sent(ProxyError::Protocol);
        }
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM) || error.is_go_away();
            return if refused && error.is_remote() { Failure::Refused } else { Failure::Sent(ProxyError::Reset) };
        }
        source = cause.source();
    }
    Failure::Sent(ProxyError::Reset)
}
