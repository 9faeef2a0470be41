//! Bodies on their way through: counted, timed and held to their limits, never gathered.

mod download;
mod upload;

use std::task::Poll;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::error::ProxyError;
use super::forwarded::trailer_passes;

pub(crate) use download::ResponseBody;
pub(crate) use upload::{BodyRules, RequestBody, Upload};

/// Why a body ends early. hyper sees it as an error and breaks the message off, never a clean end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the client's body broke off")]
    Downstream,
    #[error("the client's body is over a limit: {0:?}")]
    Limit(ProxyError),
    #[error("the upstream's body broke off")]
    Upstream,
    #[error("the upstream fell silent")]
    Silent,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

fn filter_trailers(trailers: &mut HeaderMap) {
    let refused: Vec<_> = trailers.keys().filter(|name| !trailer_passes(name)).cloned().collect();
    for name in refused {
        trailers.remove(name);
    }
}
