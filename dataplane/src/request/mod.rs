//! One request: check, match, rewrite, forward, answer. The phases in their order, and nothing else.

mod body;
mod context;
mod error;
pub(crate) mod forwarded;
pub(crate) mod head;
mod redirect;
mod respond;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, SERVER, STRICT_TRANSPORT_SECURITY, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use portico_shared::table::RequestView;

pub(crate) use body::{RequestBody, ResponseBody, Upload};
pub(crate) use context::{Downstream, Exchange, TlsFacts};
pub(crate) use error::ProxyError;

use body::BodyRules;
use forwarded::RequestId;
use respond::Form;

use crate::observe::metrics::Limit;
use crate::protocol::tunnel;
use crate::upstream::{Answer, Lease, Outgoing, forward};

/// Answers a request, whatever happens.
pub(crate) async fn handle(downstream: Rc<Downstream>, request: Request<Incoming>) -> Response<ResponseBody> {
    let form = Form::of(&request);
    let (version, head) = (request.version(), request.method() == Method::HEAD);
    let has_body = !request.body().is_end_stream();
    // What a client sends behind the wish for an upgrade is for nobody when there is none.
    let upgrade = head::websocket(&request) != Ok(false);
    let mut exchange = Exchange::begin(downstream.clone(), &request);
    let answered = AssertUnwindSafe(answer(&mut exchange, request)).catch_unwind().await;
    let answered = answered.unwrap_or_else(|_| {
        downstream.worker.metrics.panics.inc();
        Err(ProxyError::Panic)
    });
    let mut response = match answered {
        Ok(Answered::Own(response)) => response,
        Ok(Answered::Upstream(answer)) => return finish(exchange, *answer, version),
        Err(error) => {
            exchange.error = Some(error);
            respond::respond(error, form, exchange.request_id.as_ref().map(RequestId::value).as_ref())
        }
    };
    // What is left of the body would have to be read before the next request; how much it is nobody knows.
    let unread = has_body && exchange.upload.as_ref().is_none_or(|upload| upload.ended().is_none());
    if unread || upgrade || exchange.error.is_some_and(ProxyError::closes) || downstream.is_last(exchange.start) {
        close(&mut response, version);
    }
    if head {
        respond::without_body(&mut response);
    }
    exchange.status = response.status().as_u16();
    exchange.complete = true;
    response.map(|body| body.of(exchange))
}

/// Who answers.
enum Answered {
    /// We do.
    Own(Response<ResponseBody>),
    /// The upstream does.
    Upstream(Box<(Answer, bool)>),
}

/// The phases up to the upstream's response head.
async fn answer(exchange: &mut Box<Exchange>, mut request: Request<Incoming>) -> Result<Answered, ProxyError> {
    let downstream = exchange.downstream().clone();
    let config = &downstream.worker.config;
    let secure = downstream.tls.is_some();
    exchange.request_id = Some(RequestId::of(request.headers(), &downstream));
    downstream.admit().map_err(|error| exchange.refused(error))?;
    #[cfg(feature = "failpoints")]
    fail::fail_point!("request");
    downstream.worker.admit()?;
    let head = head::check(&request, &config.limits, secure)?;
    let websocket = head::websocket(&request)?;
    if head.path == "*" {
        return Ok(Answered::Own(no_content()));
    }
    if config.tls.strict_sni && !exchange.table.same_certificate(&downstream, head.host.as_deref()) {
        return Err(ProxyError::Misdirected);
    }
    let view = RequestView {
        path: &head.path,
        method: request.method(),
        headers: request.headers(),
        query: request.uri().query(),
    };
    let route = exchange.table.route(&downstream, head.host.as_deref(), &view).ok_or(ProxyError::NoRoute)?;
    exchange.route = Some(route.clone());
    let policies = &route.entry.route.policies;
    if let Some(to) = policies.https_redirect.filter(|_| !secure) {
        return Ok(Answered::Own(redirect::to_https(&head, request.uri().query(), to)?));
    }
    let most = policies.max_body_size.or(config.limits.body);
    check_announced_size(request.headers(), most)?;
    let stream = request.version() == Version::HTTP_2 && Form::of(&request) == Form::Grpc;
    if !stream && is_large(request.body()) && downstream.worker.overload.is_scarce() {
        // In a box, because it is rare.
        let turn = Box::pin(downstream.worker.overload.turn()).await;
        turn.then_some(()).ok_or(ProxyError::Overloaded(Limit::Memory))?;
    }
    let trailers = stream || head::tokens(request.headers(), TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    let target = redirect::target(&head.path, request.uri());
    let authority = request.uri().authority().cloned();
    let upgrade = websocket.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    if let Some(authority) = authority {
        let host = HeaderValue::from_str(authority.as_str());
        parts.headers.insert(http::header::HOST, host.map_err(|_| ProxyError::Malformed("the authority is not text"))?);
    }
    forwarded::rewrite(&mut parts.headers, &downstream, websocket)?;
    if let Some(id) = &exchange.request_id {
        parts.headers.insert(forwarded::X_REQUEST_ID, id.value());
    }
    let rules = BodyRules::new(&config.timers, most, stream, trailers, parts.version);
    let body = RequestBody::new(body, rules, &downstream);
    exchange.upload = body.upload().cloned();
    let alone = parts.version != Version::HTTP_2;
    let http::request::Parts { method, headers, extensions, .. } = parts;
    let outgoing = Outgoing { method, target, headers, extensions, body, upgrade, stream, alone };
    let answer = forward(exchange, &route, outgoing).await?;
    Ok(Answered::Upstream(Box::new((answer, trailers))))
}

/// From the upstream's response head to the one that the client gets.
fn finish(mut exchange: Box<Exchange>, (answer, trailers): (Answer, bool), version: Version) -> Response<ResponseBody> {
    let downstream = exchange.downstream().clone();
    let last = downstream.is_last(exchange.start);
    let (mut parts, body) = answer.response.into_parts();
    let upgraded = answer.upgrade.is_some();
    forwarded::rewrite_response(&mut parts.headers, upgraded, trailers);
    if !parts.headers.contains_key(SERVER) {
        parts.headers.insert(SERVER, HeaderValue::from_static("portico"));
    }
    if let Some(policy) = exchange.route.as_ref().and_then(|route| route.strict_transport_security.clone())
        && downstream.tls.is_some()
    {
        parts.headers.insert(STRICT_TRANSPORT_SECURITY, policy);
    }
    if parts.status == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6; hyper sees to it on HTTP/1 alone.
        parts.headers.remove(CONTENT_LENGTH);
    }
    if let Some(upload) = &exchange.upload {
        upload.answer();
    }
    exchange.status = parts.status.as_u16();
    // hyper writes HTTP/1.0 to those who speak it, and adds what keeps their connections open, of itself.
    let spoken = if version == Version::HTTP_2 { version } else { Version::HTTP_11 };
    let from = std::mem::replace(&mut parts.version, spoken);
    let body = match answer.upgrade {
        Some(sides) => {
            tokio::task::spawn_local(upgraded_exchange(exchange, answer.lease, sides));
            ResponseBody::full("")
        }
        None => {
            let source = (body, answer.lease, answer.body_idle);
            ResponseBody::streaming(source, exchange, trailers, (from, version))
        }
    };
    let mut response = Response::from_parts(parts, body);
    if answer.refused || !upgraded && last {
        close(&mut response, version);
    }
    response
}

/// The rest of an upgraded connection; its books are closed when it ends.
async fn upgraded_exchange(mut exchange: Box<Exchange>, lease: Lease, sides: (OnUpgrade, OnUpgrade)) {
    let worker = exchange.downstream().worker.clone();
    exchange.downstream().activity.upgrade();
    worker.metrics.upgrades_active.inc();
    let octets = tunnel(sides.0, sides.1, worker.config.timers.stream_idle, worker.cut()).await;
    worker.metrics.upgrades_active.dec();
    if octets.expired {
        worker.metrics.limit(Limit::StreamIdle);
    }
    exchange.bytes_in += octets.up;
    exchange.bytes_out += octets.down;
    exchange.complete = true;
    drop(lease);
}

/// Makes an answer the last one of its HTTP/1 connection. HTTP/2 connections end by GOAWAY.
fn close(response: &mut Response<ResponseBody>, version: Version) {
    if version == Version::HTTP_2 {
        return;
    }
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    // To an answer of a later version hyper would add that the connection stays.
    *response.version_mut() = version;
}

fn check_announced_size(headers: &HeaderMap, most: Option<u64>) -> Result<(), ProxyError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match (announced, most) {
        (Some(announced), Some(most)) if announced > most => Err(ProxyError::BodyTooLarge),
        _ => Ok(()),
    }
}

/// Whether a body may take more memory than the head did.
fn is_large(body: &Incoming) -> bool {
    !body.is_end_stream() && body.size_hint().exact().is_none_or(|length| length > LARGE)
}

/// Octets of a body that need not wait for their turn: the buffers of a connection.
const LARGE: u64 = 64 * 1024;

/// `OPTIONS *` is about the proxy itself (RFC 9110 section 9.3.7).
fn no_content() -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(SERVER, HeaderValue::from_static("portico"));
    response
}

/// Whether a method may be sent again without harm (RFC 9110 section 9.2.2).
pub(crate) fn idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE)
}

/// A route's HSTS value, made once.
pub(crate) fn strict_transport_security(state: &portico_shared::ir::Route) -> Option<HeaderValue> {
    let policy = state.policies.strict_transport_security?;
    let subdomains = if policy.include_subdomains { "; includeSubDomains" } else { "" };
    HeaderValue::from_str(&format!("max-age={}{subdomains}", policy.max_age)).ok()
}
