//! Bodies on their way through: counted, timed and held to their limits, never gathered.

mod download;
mod upload;

use std::fmt;
use std::sync::LazyLock;
use std::task::Poll;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::error::ProxyError;
use super::forwarded::trailer_passes;

pub(crate) use download::ResponseBody;
pub(crate) use upload::{BodyRules, RequestBody, Upload};

/// Why a body ends early. hyper sees it as an error and breaks the message off, never a clean end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The client's body broke off.
    Downstream,
    /// The client's body is over a limit.
    Limit(ProxyError),
    /// The upstream's body broke off.
    Upstream,
    /// The upstream fell silent.
    Silent,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Downstream => f.write_str("the client's body broke off"),
            Self::Limit(error) => write!(f, "the client's body is over a limit: {error:?}"),
            Self::Upstream => f.write_str("the upstream's body broke off"),
            Self::Silent => f.write_str("the upstream fell silent"),
        }
    }
}

impl std::error::Error for BodyError {
    /// hyper looks here for the code to reset an HTTP/2 stream with: a client that left has cancelled its request.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        static CANCEL: LazyLock<h2::Error> = LazyLock::new(|| h2::Reason::CANCEL.into());
        matches!(self, Self::Downstream).then_some(&*CANCEL as _)
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

fn filter_trailers(trailers: &mut HeaderMap) {
    let refused: Vec<_> = trailers.keys().filter(|name| !trailer_passes(name)).cloned().collect();
    for name in refused {
        trailers.remove(name);
    }
}
