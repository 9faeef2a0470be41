//! What a request head must be before anything looks at it: sizes, authority, path, method.

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use portico_shared::normalise::{authority, path};

use super::error::ProxyError;
use crate::config::Limits;
use crate::observe::metrics::Limit;

/// The parts of a checked head that routing and forwarding need.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// Normalised host; `None` for HTTP/1.0 without Host.
    pub(crate) host: Option<Cow<'a, str>>,
    /// Normalised path.
    pub(crate) path: Cow<'a, str>,
}

/// Checks a head and normalises host and path.
pub(crate) fn check<'a, B>(request: &'a Request<B>, limits: &Limits, tls: bool) -> Result<Head<'a>, ProxyError> {
    sizes(request, limits)?;
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) || request.method() == "TRACK" {
        return Err(ProxyError::Method);
    }
    if request.method() == "PRI" {
        return Err(ProxyError::Malformed("the method PRI is reserved"));
    }
    // Most requests have none of these, and one pass costs less than looking for each.
    if request.headers().keys().any(|name| matches!(*name, CONTENT_LENGTH | TRANSFER_ENCODING | EXPECT)) {
        framing(request)?;
        expectation(request)?;
    }
    if request.version() == Version::HTTP_2 && request.headers().values().any(is_padded) {
        return Err(ProxyError::Malformed("a field value begins or ends with a blank"));
    }
    scheme(request, tls)?;
    let host = host(request)?;
    let raw = request.uri().path();
    // A target of HTTP/2 that has no path passes as one with `/` (RFC 9113 section 8.3.1 wants it refused).
    if request.uri().path_and_query().is_some_and(|target| target.as_str().starts_with('?')) {
        return Err(ProxyError::Malformed("the request target has no path"));
    }
    let path = if raw == "*" && request.method() == Method::OPTIONS {
        raw.into()
    } else {
        path::normalise(raw).map_err(|invalid| ProxyError::Malformed(invalid.as_str()))?
    };
    Ok(Head { host, path })
}

fn sizes<B>(request: &Request<B>, limits: &Limits) -> Result<(), ProxyError> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.target {
        return Err(ProxyError::TooLarge(Limit::Target));
    }
    if request.method().as_str().len() > limits.method {
        return Err(ProxyError::TooLarge(Limit::Method));
    }
    let headers = request.headers();
    if headers.len() > limits.fields {
        let crumbs = if request.version() == Version::HTTP_2 { headers.get_all(COOKIE).iter().count() } else { 0 };
        if crumbs > limits.cookie_crumbs || headers.len() - crumbs > limits.fields {
            return Err(ProxyError::TooLarge(Limit::Fields));
        }
    }
    Ok(())
}

/// Framing that servers read in different ways is refused, whatever hyper made of it (RFC 9112 section 6.3).
fn framing<B>(request: &Request<B>) -> Result<(), ProxyError> {
    let headers = request.headers();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let length = length.as_bytes();
        let canonical = length == b"0" || (!length.is_empty() && length[0] != b'0');
        if lengths.next().is_some() || !canonical || !length.iter().all(u8::is_ascii_digit) {
            return Err(ProxyError::Malformed("the Content-Length is not one plain number"));
        }
        if headers.contains_key(TRANSFER_ENCODING) {
            return Err(ProxyError::Malformed("both Content-Length and Transfer-Encoding are given"));
        }
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(ProxyError::Malformed("the only Transfer-Encoding known is chunked"));
    }
    Ok(())
}

/// The only expectation known is `100-continue`. HTTP/1.0 and HTTP/2 clients get no 100 from hyper; they must not wait for
/// one for ever (RFC 9110 section 10.1.1).
fn expectation<B>(request: &Request<B>) -> Result<(), ProxyError> {
    let mut expectations = request.headers().get_all(EXPECT).iter();
    match expectations.next() {
        Some(expect) if !expect.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(ProxyError::Expectation),
        Some(_) if expectations.next().is_some() => Err(ProxyError::Expectation),
        _ => Ok(()),
    }
}

/// Whether blanks surround a value: HTTP/1 would lose them on the way, HTTP/2 forbids them (RFC 9113 section 8.2.1).
fn is_padded(value: &HeaderValue) -> bool {
    matches!(value.as_bytes(), [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

fn scheme<B>(request: &Request<B>, tls: bool) -> Result<(), ProxyError> {
    match request.uri().scheme_str() {
        None => Ok(()),
        Some("https") if tls => Ok(()),
        Some("http") if !tls => Ok(()),
        // An absolute form may name the scheme that the client sees in front of a balancer that ends TLS.
        Some("https" | "http") if request.version() != Version::HTTP_2 => Ok(()),
        Some(_) => Err(ProxyError::Malformed("the scheme does not fit the connection")),
    }
}

/// The request's authority: target first, then Host; both must agree (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
fn host<B>(request: &Request<B>) -> Result<Option<Cow<'_, str>>, ProxyError> {
    let invalid = |_| ProxyError::Malformed("the host is not a name or address with an optional port");
    let mut hosts = request.headers().get_all(HOST).iter();
    let field: Option<&HeaderValue> = hosts.next();
    if hosts.next().is_some() {
        return Err(ProxyError::Malformed("more than one Host is given"));
    }
    let field = field.map(|value| authority::parse(value.as_bytes())).transpose().map_err(invalid)?;
    let target = request.uri().authority();
    let target = target.map(|text| authority::parse(text.as_str().as_bytes())).transpose().map_err(invalid)?;
    match (target, field) {
        (Some(target), Some(field)) if target != field => {
            Err(ProxyError::Malformed("the Host differs from the request target"))
        }
        (Some(authority), _) | (None, Some(authority)) => Ok(Some(authority.host)),
        (None, None) if request.version() == Version::HTTP_10 => Ok(None),
        (None, None) => Err(ProxyError::Malformed("no Host is given")),
    }
}

/// Whether the request asks for a WebSocket (RFC 6455 section 4.1). One with a body is refused, because what follows
/// the head could be read as either.
pub(crate) fn websocket<B>(request: &Request<B>) -> Result<bool, ProxyError> {
    let headers = request.headers();
    if request.version() != Version::HTTP_11 || !headers.contains_key(http::header::UPGRADE) {
        return Ok(false);
    }
    let asks = tokens(headers, http::header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && tokens(headers, http::header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"))
        && request.method() == Method::GET;
    if asks && (headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|l| l != "0")) {
        return Err(ProxyError::Malformed("an upgrade must not have a body"));
    }
    Ok(asks)
}

/// The members of a list field; values that are no text are skipped.
pub(crate) fn tokens(headers: &HeaderMap, name: http::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, fields: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::builder().version(version).uri(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    fn host_of(version: Version, uri: &str, fields: &[(&str, &str)]) -> Result<Option<String>, ProxyError> {
        let request = request(version, uri, fields);
        check(&request, &Limits::default(), false).map(|head| head.host.map(Cow::into_owned))
    }

    #[test]
    fn authority_of_every_form() {
        let v11 = Version::HTTP_11;
        assert_eq!(host_of(v11, "/", &[("host", "A.test:80")]), Ok(Some("a.test".to_owned())));
        assert_eq!(host_of(v11, "http://b.test/x", &[("host", "b.test")]), Ok(Some("b.test".to_owned())));
        assert_eq!(host_of(Version::HTTP_2, "http://b.test/", &[]), Ok(Some("b.test".to_owned())));
        assert_eq!(host_of(Version::HTTP_10, "/", &[]), Ok(None));
        for (uri, fields) in [
            ("/", &[][..]),
            ("/", &[("host", "a"), ("host", "a")]),
            ("/", &[("host", "")]),
            ("/", &[("host", "u@a")]),
            ("/", &[("host", "a, b")]),
            ("http://b/x", &[("host", "a")]),
            ("ftp://a/", &[("host", "a")]),
            ("*", &[("host", "a")]),
        ] {
            assert!(matches!(host_of(v11, uri, fields), Err(ProxyError::Malformed(_))), "{uri} {fields:?}");
        }
    }

    #[test]
    fn framing_is_unambiguous_or_refused() {
        for (fields, good) in [
            (&[("content-length", "5")][..], true),
            (&[("content-length", "0")], true),
            (&[("transfer-encoding", "Chunked")], true),
            (&[("content-length", "5"), ("content-length", "5")], false),
            (&[("content-length", "0005")], false),
            (&[("content-length", "+5")], false),
            (&[("content-length", "5"), ("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "gzip, chunked")], false),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false),
        ] {
            let mut all = vec![("host", "a")];
            all.extend(fields);
            assert_eq!(host_of(Version::HTTP_11, "/", &all).is_ok(), good, "{fields:?}");
        }
    }

    #[test]
    fn websocket_needs_both_fields_and_no_body() {
        let asks = |fields: &[(&str, &str)]| websocket(&request(Version::HTTP_11, "/", fields));
        assert_eq!(asks(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]), Ok(true));
        assert_eq!(asks(&[("connection", "upgrade"), ("upgrade", "h2c")]), Ok(false));
        assert_eq!(asks(&[("upgrade", "websocket")]), Ok(false));
        assert!(asks(&[("connection", "upgrade"), ("upgrade", "websocket"), ("content-length", "3")]).is_err());
    }
}
