//! Tests beyond the path: method, headers, query.

use http::{HeaderMap, Method};

use crate::ir::{HeaderMatch, Matcher, QueryMatch};

/// What routing sees of a request; everything is borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// Normalised path.
    pub path: &'a str,
    /// Method.
    pub method: &'a Method,
    /// Header fields.
    pub headers: &'a HeaderMap,
    /// Query without its `?`.
    pub query: Option<&'a str>,
}

/// Whether the matcher has no test beyond its path.
pub(super) fn is_open(matcher: &Matcher) -> bool {
    matcher.is_path_alone()
}

/// Whether every test beyond the path passes.
pub(super) fn holds(matcher: &Matcher, request: &RequestView<'_>) -> bool {
    if is_open(matcher) {
        return true;
    }
    let header = |test: &HeaderMatch| {
        request.headers.get_all(&*test.name).iter().any(|value| test.value.matches(value.as_bytes()))
    };
    matcher.method().is_none_or(|method| method == request.method.as_str())
        && matcher.headers().iter().all(header)
        && matcher.query().iter().all(|test| query_holds(test, request.query.unwrap_or_default()))
}

fn query_holds(test: &QueryMatch, query: &str) -> bool {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(name, _)| *name == &*test.name)
        .is_some_and(|(_, value)| test.value.matches(value.as_bytes()))
}
