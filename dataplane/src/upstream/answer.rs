//! From an upstream's response head to an answer that may be sent on, or a reason why none of it is.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::pool::Lease;
use crate::config::Config;
use crate::request::ProxyError;

/// An upstream's response head, with the connection that its body comes on.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
    /// Longest silence within the body.
    pub(crate) body_idle: Duration,
    /// Both sides of a connection that has switched protocols.
    pub(crate) upgrade: Option<(OnUpgrade, OnUpgrade)>,
    /// Whether the client asked for an upgrade and gets none: what it sent ahead is for nobody.
    pub(crate) refused: bool,
}

/// Takes a response head; one that switches protocols unasked, or whose framing can be read in two ways, is no answer.
pub(super) fn accept(
    mut response: Response<Incoming>,
    mut lease: Lease,
    upgrade: Option<OnUpgrade>,
    stream: bool,
    config: &Config,
) -> Result<Answer, ProxyError> {
    framing(response.headers())?;
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let refused = upgrade.is_some() && !switched;
    if upgrade.is_some() {
        // Whatever became of the wish, what follows on this connection is not for others.
        lease.keep = Duration::ZERO;
    }
    let upgrade = match (switched, upgrade) {
        (true, Some(downstream)) if is_websocket(response.headers()) => {
            Some((downstream, hyper::upgrade::on(&mut response)))
        }
        (true, _) => return Err(ProxyError::Protocol),
        (false, _) => None,
    };
    let headers = response.headers();
    if let Some(keep) = advertised_keep_alive(headers) {
        lease.keep = lease.keep.min(keep.saturating_sub(Duration::from_secs(1)));
    }
    let events = headers.get(CONTENT_TYPE).is_some_and(|media| media.as_bytes().starts_with(b"text/event-stream"));
    let body_idle = if stream || events { config.timers.stream_idle } else { config.upstream.body_idle };
    Ok(Answer { response, lease, body_idle, upgrade, refused })
}

/// One plain length or one `chunked`, never both (RFC 9112 section 6.3): clients and caches between us and them may
/// choose another reading than hyper's.
fn framing(headers: &HeaderMap) -> Result<(), ProxyError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let clear = match (lengths.next(), codings.next()) {
        (None, None) => true,
        (Some(length), None) => lengths.next().is_none() && length.as_bytes().iter().all(u8::is_ascii_digit),
        (None, Some(coding)) => codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    if clear { Ok(()) } else { Err(ProxyError::Protocol) }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// `Keep-Alive: timeout=N`, which endpoints use to tell when they will close.
fn advertised_keep_alive(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    let timeout = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    timeout.parse().ok().map(Duration::from_secs)
}
