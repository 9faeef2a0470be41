//! `/routes`, `/explain` and `/diagnostics`: what the table holds and why, as JSON.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use super::server::{Answers, Reply};
use crate::engine::State;
use crate::view::diagnostics::DiagnosticsView;
use crate::view::explain::{Question, explain};
use crate::view::routes::routes;

/// Answers of the admin address.
#[derive(Debug)]
pub struct Debug {
    state: Arc<State>,
}

impl Debug {
    /// Answers from the engine's state.
    #[must_use]
    pub fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// `url` is needed, `method` is GET unless given, `header` as `name: value` may come again and again.
    fn explain(&self, query: &str) -> Reply {
        let parameters = parameters(query);
        let all = |wanted: &'static str| {
            let matching = parameters.iter().filter(move |(name, _)| name == wanted);
            matching.map(|(_, value)| value.as_str())
        };
        let Some(url) = all("url").next() else {
            return refused("ask with ?url=http://HOST/PATH, and optionally method=METHOD and header=NAME:VALUE");
        };
        match Question::parse(url, all("method").next().unwrap_or("GET"), all("header")) {
            Ok(question) => json(StatusCode::OK, &explain(&self.state.current().served(), &question)),
            Err(error) => refused(&error.to_string()),
        }
    }
}

impl Answers for Debug {
    fn answer(&self, path: &str, query: Option<&str>) -> Option<Reply> {
        let current = self.state.current();
        match path {
            "/routes" => Some(json(StatusCode::OK, &routes(&current.served()))),
            "/diagnostics" => {
                Some(json(StatusCode::OK, &DiagnosticsView::new(current.table.generation(), &current.report)))
            }
            "/explain" => Some(self.explain(query.unwrap_or_default())),
            _ => None,
        }
    }

    fn under_any_name(&self) -> bool {
        false
    }
}

#[derive(Serialize)]
struct Refusal<'a> {
    error: &'a str,
}

fn refused(error: &str) -> Reply {
    json(StatusCode::BAD_REQUEST, &Refusal { error })
}

fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => Reply { status, media_type: "application/json", body: body.into() },
        Err(error) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Names and values of a query, decoded (application/x-www-form-urlencoded).
fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// A broken escape stands for itself.
fn decode(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        let escaped = (octet == b'%').then(|| after.split_first_chunk::<2>()).flatten().and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok().filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (octet, after) = escaped.unwrap_or((if octet == b'+' { b' ' } else { octet }, after));
        octets.push(octet);
        rest = after;
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        for (query, expected) in [
            ("", vec![]),
            ("a=b&c", vec![("a", "b"), ("c", "")]),
            ("url=http%3A%2F%2Fa%2F%3Fx%3D1%26y&header=x:+1", vec![("url", "http://a/?x=1&y"), ("header", "x: 1")]),
            ("url=http://a/?x=1", vec![("url", "http://a/?x=1")]),
            ("a=%&b=%4&c=%zz&d=%+1", vec![("a", "%"), ("b", "%4"), ("c", "%zz"), ("d", "% 1")]),
            ("a=%C3%A9%ff", vec![("a", "\u{e9}\u{fffd}")]),
        ] {
            let found = parameters(query);
            let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{query}");
        }
    }
}
