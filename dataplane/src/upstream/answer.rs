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
    let said = Said::by(response.headers());
    if !said.is_clear() {
        return Err(ProxyError::Protocol);
    }
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
    if let Some(keep) = said.keep {
        lease.keep = lease.keep.min(keep.saturating_sub(Duration::from_secs(1)));
    }
    let body_idle = if stream || said.events { config.timers.stream_idle } else { config.upstream.body_idle };
    Ok(Answer { response, lease, body_idle, upgrade, refused })
}

/// What one pass over the fields of an answer finds.
#[derive(Debug, Default)]
struct Said {
    lengths: usize,
    codings: usize,
    /// Whether a length is no number, or a coding not `chunked`.
    doubtful: bool,
    events: bool,
    /// See [`advertised_keep_alive`].
    keep: Option<Duration>,
}

impl Said {
    fn by(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, value) in headers {
            let value = value.as_bytes();
            match *name {
                CONTENT_LENGTH => {
                    said.lengths += 1;
                    said.doubtful |= !value.iter().all(u8::is_ascii_digit);
                }
                TRANSFER_ENCODING => {
                    said.codings += 1;
                    said.doubtful |= !value.eq_ignore_ascii_case(b"chunked");
                }
                CONTENT_TYPE => said.events |= value.starts_with(b"text/event-stream"),
                _ if name.as_str() == "keep-alive" => said.keep = said.keep.or_else(|| advertised_keep_alive(value)),
                _ => {}
            }
        }
        said
    }

    /// One plain length or one `chunked`, never both (RFC 9112 section 6.3): clients and caches between us and them may
    /// choose another reading than hyper's.
    fn is_clear(&self) -> bool {
        self.lengths + self.codings <= 1 && !self.doubtful
    }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// `Keep-Alive: timeout=N`, which endpoints use to tell when they will close.
fn advertised_keep_alive(value: &[u8]) -> Option<Duration> {
    let mut parts = std::str::from_utf8(value).ok()?.split(',');
    let timeout = parts.find_map(|part| part.trim().strip_prefix("timeout="))?;
    timeout.parse().ok().map(Duration::from_secs)
}
