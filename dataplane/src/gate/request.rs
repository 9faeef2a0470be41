//! What a request head must be before hyper reads it: its syntax, its sizes, how its body is framed. What the fields mean
//! otherwise - host, path, expectations - is judged once hyper has read them.

use http::Uri;

use super::syntax::{Flaw, Framing, Lines, UNCLEAR, Unframed, clear_field, field, is_clear, is_text, is_token, lists};
use super::{Judge, Next, Verdict};
use crate::config::Limits;
use crate::observe::metrics::Limit;
use crate::request::ProxyError;

impl From<Flaw> for ProxyError {
    fn from(flaw: Flaw) -> Self {
        Self::Malformed(flaw)
    }
}

/// Judges the requests of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requests {
    head: usize,
    fields: usize,
    target: usize,
    method: usize,
}

/// A request line, taken apart.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    method: &'a [u8],
    target: &'a [u8],
    http_1_1: bool,
}

impl Requests {
    pub(crate) fn new(limits: &Limits) -> Self {
        let Limits { head, fields, target, method, .. } = *limits;
        Self { head, fields, target, method }
    }

    /// The longest head that passes: what is escaped in a query grows to three times its length.
    pub(crate) fn longest(limits: &Limits) -> usize {
        limits.head + 2 * limits.target
    }

    fn line<'a>(&self, line: &'a [u8]) -> Result<Line<'a>, ProxyError> {
        let space = line.iter().position(|octet| *octet == b' ').ok_or("the request line has no target")?;
        let (method, rest) = (&line[..space], &line[space + 1..]);
        if !is_token(method) {
            return Err("the method is not a token".into());
        }
        if method.len() > self.method {
            return Err(ProxyError::TooLarge(Limit::Method));
        }
        if method == b"PRI" {
            return Err("the method PRI is reserved".into());
        }
        let (target, version) = rest.split_at(rest.len().saturating_sub(VERSION));
        let http_1_1 = match version {
            b" HTTP/1.1" => true,
            b" HTTP/1.0" => false,
            [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(ProxyError::Version),
            _ => return Err("the request line does not end with a version of HTTP".into()),
        };
        if target.len() > self.target {
            return Err(ProxyError::TooLarge(Limit::Target));
        }
        if method == b"CONNECT" {
            // What follows would be of another protocol.
            return Err(ProxyError::Method);
        }
        Ok(Line { method, target, http_1_1 })
    }

    /// Fields of a head: how the body is framed, and whether the client asks for a WebSocket.
    fn fields(&self, lines: Lines<'_>, line: Line<'_>) -> Result<(Framing, bool), ProxyError> {
        let (mut framing, mut count, mut upgrade, mut websocket) = (Framing::default(), 0, false, false);
        for line in lines {
            let (name, value) = clear_field(line)?;
            count += 1;
            match name.len() {
                7 if name.eq_ignore_ascii_case(b"upgrade") => websocket |= lists(value, b"websocket"),
                10 if name.eq_ignore_ascii_case(b"connection") => upgrade |= lists(value, b"upgrade"),
                _ => framing.field(name, value),
            }
        }
        if count > self.fields {
            return Err(ProxyError::TooLarge(Limit::Fields));
        }
        Ok((framing, upgrade && websocket && line.http_1_1 && line.method == b"GET"))
    }
}

impl Judge for Requests {
    type Fault = ProxyError;

    const MAY_BE_PRECEDED: bool = true;

    fn admit(&mut self) -> Result<(), ProxyError> {
        Ok(())
    }

    fn begun(&mut self, part: &[u8], first: Option<&[u8]>) -> Result<(), ProxyError> {
        if let Some(line) = first {
            target(self.line(line)?)?;
        } else if part.len() > self.method + self.target + VERSION && !part.contains(&b'\n') {
            let space = part.iter().position(|octet| *octet == b' ').unwrap_or(part.len());
            let limit = if space > self.method { Limit::Method } else { Limit::Target };
            return Err(ProxyError::TooLarge(limit));
        }
        if part.len() > self.head { Err(ProxyError::TooLarge(Limit::HeadSize)) } else { Ok(()) }
    }

    fn judge(&mut self, head: &[u8], mut lines: Lines<'_>) -> Result<Verdict, ProxyError> {
        let line = self.line(lines.next().unwrap_or_default())?;
        let escaped = target(line)?;
        if head.len() > self.head {
            return Err(ProxyError::TooLarge(Limit::HeadSize));
        }
        if !is_clear(head) {
            return Err(UNCLEAR.into());
        }
        let (framing, websocket) = self.fields(lines, line)?;
        let framed = framing.judge(line.http_1_1).map_err(|unframed| match unframed {
            Unframed::Ambiguous => "the fields do not say clearly where the body ends".into(),
            Unframed::UnknownCoding => ProxyError::Coding,
        })?;
        let next = match (Next::from(framed), websocket) {
            (Next::Head, true) => Next::Hold,
            (_, true) => return Err("an upgrade must not have a body".into()),
            (next, false) => next,
        };
        Ok(match escaped {
            None => Verdict::Pass(next),
            Some(target) => {
                let begin = line.method.len() + 1;
                let rest = &head[begin + line.target.len()..];
                Verdict::Replace([&head[..begin], &target, rest].concat(), next)
            }
        })
    }

    fn ended(&mut self) {}
}

/// Judges a target; the one to send instead, where hyper refuses what clients do send: quotes, angle brackets and octets
/// that are no UTF-8 in a query.
fn target(line: Line<'_>) -> Result<Option<Vec<u8>>, ProxyError> {
    let Line { method, target, .. } = line;
    match target {
        [b'/', ..] => {}
        b"*" if method == b"OPTIONS" => return Ok(None),
        [b'h' | b'H', ..] => {}
        _ => return Err("the request target is neither a path nor a URL".into()),
    }
    let plain = target.iter().position(|octet| !PLAIN[usize::from(*octet)]).unwrap_or(target.len());
    if plain == target.len() && target[0] == b'/' {
        return Ok(None);
    }
    let path = target[..plain].iter().position(|octet| *octet == b'?').unwrap_or(plain);
    let query = target.get(path..).filter(|query| query.first() == Some(&b'?'));
    if plain < target.len() {
        if target.contains(&b'#') {
            return Err("the request target has a fragment".into());
        }
        if query.is_none() || !is_text(target) || target.contains(&b' ') || target.contains(&b'\t') {
            return Err("the request target has a character that must be escaped".into());
        }
    }
    let (path, query) = target.split_at(path);
    let foreign = |octet: &u8| matches!(octet, b'"' | b'<' | b'>');
    let escaped = (plain < target.len() && (query.iter().any(foreign) || std::str::from_utf8(query).is_err()))
        .then(|| escape(path, query));
    // A URL has parts that only its parser can judge.
    let judged = escaped.as_deref().unwrap_or(target);
    let url = |uri: Uri| uri.scheme().is_some() && uri.authority().is_some();
    if judged[0] != b'/' && !Uri::try_from(judged).is_ok_and(url) {
        return Err("the request target is neither a path nor a URL".into());
    }
    Ok(escaped)
}

fn escape(path: &[u8], query: &[u8]) -> Vec<u8> {
    let mut escaped = path.to_vec();
    for octet in query {
        if matches!(octet, b'"' | b'<' | b'>' | 0x80..) {
            escaped.extend_from_slice(format!("%{octet:02X}").as_bytes());
        } else {
            escaped.push(*octet);
        }
    }
    escaped
}

/// A head that stands for one that is refused, so that the refusal takes the way of every answer: in its turn, counted and
/// logged. It says what can be said of the refused one: method, path, version, and the fields that the log and the form
/// of the answer depend on.
pub(crate) fn stand_in(head: &[u8]) -> Vec<u8> {
    let head = &head[..head.len().min(LOOKED_AT)];
    let mut lines = head.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next().unwrap_or_default().split(|octet| *octet == b' ');
    let known = |method: &&[u8]| is_token(method) && method.len() <= 32 && *method != b"PRI";
    let method = match words.next().filter(known).unwrap_or(b"GET") {
        // hyper gives up a connection behind this method without closing it in order; in small letters it is any method.
        b"CONNECT" => b"connect",
        method => method,
    };
    let path = words.next().unwrap_or_default().split(|octet| matches!(octet, b'?' | b'#')).next().unwrap_or_default();
    let path = &path[..path.len().min(SHOWN)];
    let in_order = path.first() == Some(&b'/') && path.iter().all(|octet| PLAIN[usize::from(*octet)]);
    let version = if words.next() == Some(b"HTTP/1.0") { "0" } else { "1" };
    let path = if in_order { path } else { b"/" };
    let mut standing = [method, b" ", path, b" HTTP/1.", version.as_bytes(), b"\r\n"].concat();
    for (name, value) in lines.take(MOST_LINES).filter_map(|line| field(line).ok()) {
        let telling = [&b"host"[..], b"user-agent", b"accept"].iter().any(|kind| name.eq_ignore_ascii_case(kind));
        if telling && value.len() <= SHOWN {
            standing.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
        }
    }
    standing.extend_from_slice(b"\r\n");
    standing
}

/// Whether the first line of a head could be meant as a request of HTTP/1: it names some version of HTTP, and is not the
/// beginning of an HTTP/2 preface.
pub(crate) fn seems_http1(head: &[u8]) -> bool {
    let line = head[..head.len().min(LOOKED_AT)].split(|octet| *octet == b'\n').next().unwrap_or_default();
    !line.starts_with(b"PRI * HTTP/2") && line.windows(b"HTTP/".len()).any(|word| word.eq_ignore_ascii_case(b"HTTP/"))
}

/// Length of a version with the space before it.
const VERSION: usize = b" HTTP/1.1".len();
/// Octets of a refused head that its stand-in is made from.
const LOOKED_AT: usize = 4096;
/// Fields of a refused head that are looked at for its stand-in.
const MOST_LINES: usize = 50;
/// Longest path and field value in a stand-in.
const SHOWN: usize = 512;

/// Octets of a target that need no second look: what may stand in a path, and `?`.
static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/%[]?";
    let mut i = 0;
    while i < allowed.len() {
        table[allowed[i] as usize] = true;
        i += 1;
    }
    table
};
