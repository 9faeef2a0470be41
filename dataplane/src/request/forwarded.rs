//! Fields that belong to one hop, and fields that tell the next hop who the client is.

use http::header::{
    CONNECTION, COOKIE, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

use super::context::Downstream;
use super::error::ProxyError;
use super::head::tokens;

/// `X-Request-ID`.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const PORTICO_HOPS: HeaderName = HeaderName::from_static("portico-hops");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Rewrites the fields of a request for the upstream.
///
/// Hop-by-hop fields go first and ours are set last, so that no `Connection: X-Forwarded-For` takes one away
/// (RFC 9110 section 7.6.1).
pub(crate) fn rewrite(headers: &mut HeaderMap, downstream: &Downstream, websocket: bool) -> Result<(), ProxyError> {
    let config = &downstream.worker.config;
    let hop = Hop {
        trusted: downstream.trusted,
        underscores: config.underscores_in_headers,
        hops: config.limits.hops,
        tls: downstream.tls.is_some(),
        client: &downstream.client_field,
        port: &downstream.port_field,
    };
    hop.rewrite(headers, websocket)
}

/// What the fields of a request are rewritten by.
#[derive(Debug)]
pub(crate) struct Hop<'a> {
    /// Whether what the fields say of the client is believed.
    pub(crate) trusted: bool,
    /// Whether names may have underscores.
    pub(crate) underscores: bool,
    /// Most hops of a request.
    pub(crate) hops: u32,
    pub(crate) tls: bool,
    pub(crate) client: &'a HeaderValue,
    pub(crate) port: &'a HeaderValue,
}

impl Hop<'_> {
    /// See [`rewrite`].
    pub(crate) fn rewrite(&self, headers: &mut HeaderMap, websocket: bool) -> Result<(), ProxyError> {
        let survey = Survey::of(headers, self);
        if survey.hop {
            drop_hop_fields(headers, survey.connection);
        }
        for name in survey.unwanted {
            headers.remove(name);
        }
        if survey.crumbs > 1 {
            join_crumbs(headers);
        }
        if websocket {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        hops(headers, self.hops, survey.hops)?;
        identify(headers, self);
        Ok(())
    }
}

/// What one pass over the fields finds.
#[derive(Default)]
struct Survey {
    hop: bool,
    connection: bool,
    /// Whether the request came through a Portico before.
    hops: bool,
    crumbs: usize,
    unwanted: Vec<HeaderName>,
}

impl Survey {
    fn of(headers: &HeaderMap, hop: &Hop<'_>) -> Self {
        let mut survey = Self::default();
        for name in headers.keys() {
            match *name {
                CONNECTION => {
                    survey.connection = true;
                    survey.hop = true;
                }
                TE | TRAILER | TRANSFER_ENCODING | UPGRADE | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION | EXPECT => {
                    survey.hop = true;
                }
                COOKIE => survey.crumbs = headers.get_all(COOKIE).iter().count(),
                _ => survey.judge(name, hop),
            }
        }
        survey
    }

    fn judge(&mut self, name: &HeaderName, hop: &Hop<'_>) {
        let text = name.as_str();
        let spoofed = !hop.trusted
            && (text == "forwarded"
                || text.starts_with("x-")
                    && (text.starts_with("x-forwarded-")
                        || text.starts_with("x-original-")
                        || text.starts_with("x-envoy-")
                        || matches!(text, "x-real-ip" | "x-request-id")));
        let underscored = !hop.underscores && text.contains('_');
        if matches!(text, "keep-alive" | "proxy-connection" | "http2-settings") {
            self.hop = true;
        } else if text == "portico-hops" {
            self.hops = true;
        } else if spoofed || underscored {
            self.unwanted.push(name.clone());
        }
    }
}

/// Removes what is meant for this hop alone; `TE: trailers` stays.
fn drop_hop_fields(headers: &mut HeaderMap, connection: bool) {
    let trailers = tokens(headers, TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    if connection {
        drop_named_by_connection(headers);
    }
    for name in [
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        EXPECT,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        HTTP2_SETTINGS,
    ] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes `Connection` and every field that it names, but for those that frame or route a message.
fn drop_named_by_connection(headers: &mut HeaderMap) {
    let mut values = headers.get_all(CONNECTION).iter();
    let first = values.next().is_some_and(|value| value == MOSTLY);
    if first && values.next().is_none() {
        headers.remove(CONNECTION);
        return;
    }
    let named: Vec<HeaderName> = tokens(headers, CONNECTION)
        .filter(|token| !PROTECTED.iter().any(|name| name.eq_ignore_ascii_case(token)))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect();
    headers.remove(CONNECTION);
    for name in named {
        headers.remove(name);
    }
}

/// HTTP/2 clients may split cookies; HTTP/1 knows one field (RFC 9113 section 8.2.3).
fn join_crumbs(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let many = crumbs.len() > FEW_CRUMBS;
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
    if many {
        // A map keeps the room that it once had, and this one lives on in the connection that it is sent on.
        *headers = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    }
}

/// Counts how often the request came through a Portico; a loop ends here. `before` tells whether it ever did.
fn hops(headers: &mut HeaderMap, most: u32, before: bool) -> Result<(), ProxyError> {
    let seen = match before.then(|| headers.get(PORTICO_HOPS)).flatten() {
        None => 0,
        Some(value) => value.to_str().ok().and_then(|text| text.parse::<u32>().ok()).unwrap_or(most),
    };
    if seen >= most {
        return Err(ProxyError::Loop);
    }
    let next = if seen == 0 { HeaderValue::from_static("1") } else { HeaderValue::from(seen + 1) };
    headers.insert(PORTICO_HOPS, next);
    Ok(())
}

/// Sets the fields that name the client. What a trusted proxy said is kept, its address appended.
fn identify(headers: &mut HeaderMap, hop: &Hop<'_>) {
    let client = hop.client.clone();
    let given = hop.trusted.then(|| headers.get(X_FORWARDED_FOR)).flatten();
    let chain = given.map(|_| {
        let mut chain: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
        chain.push(client.as_bytes());
        HeaderValue::from_bytes(&chain.join(&b", "[..])).unwrap_or_else(|_| client.clone())
    });
    headers.insert(X_FORWARDED_FOR, chain.unwrap_or_else(|| client.clone()));
    let mut set = |name: HeaderName, value: HeaderValue| {
        if !hop.trusted || !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    };
    set(X_REAL_IP, client);
    set(X_FORWARDED_PROTO, HeaderValue::from_static(if hop.tls { "https" } else { "http" }));
    set(X_FORWARDED_PORT, hop.port.clone());
    if let Some(host) = headers.get(HOST).cloned()
        && (!hop.trusted || !headers.contains_key(X_FORWARDED_HOST))
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// A request's id. One of our own is kept as digits: a field value is made of it where one is needed, because a second
/// owner of a value costs two allocations.
#[derive(Clone, Debug)]
pub(crate) enum RequestId {
    /// By a trusted proxy.
    Given(HeaderValue),
    /// 32 hex digits.
    Own([u8; 32]),
}

impl RequestId {
    /// What a trusted proxy gave the request, else a new one.
    pub(crate) fn of(headers: &HeaderMap, downstream: &Downstream) -> Self {
        let given = downstream.trusted.then(|| headers.get(X_REQUEST_ID)).flatten();
        given.filter(|id| !id.is_empty() && id.len() <= 128).map_or_else(Self::new, |id| Self::Given(id.clone()))
    }

    fn new() -> Self {
        let mut digits = [0; 32];
        for (pair, octet) in digits.chunks_exact_mut(2).zip(fastrand::u128(..).to_le_bytes()) {
            pair[0] = HEX[usize::from(octet >> 4)];
            pair[1] = HEX[usize::from(octet & 0xf)];
        }
        Self::Own(digits)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Given(id) => id.as_bytes(),
            Self::Own(digits) => digits,
        }
    }

    /// As a field has it.
    pub(crate) fn value(&self) -> HeaderValue {
        match self {
            Self::Given(id) => id.clone(),
            Self::Own(digits) => HeaderValue::from_bytes(digits).expect("hex digits are a field value"),
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Rewrites the fields of a response for the client. `Trailer` stays where trailers may pass: HTTP/1.1 sends none
/// that is not announced.
pub(crate) fn rewrite_response(headers: &mut HeaderMap, upgraded: bool, trailers: bool) {
    let (mut connection, mut others) = (false, false);
    for name in headers.keys() {
        match *name {
            CONNECTION => connection = true,
            TE | TRAILER | TRANSFER_ENCODING | UPGRADE | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION => others = true,
            _ => others |= matches!(name.as_str(), "keep-alive" | "proxy-connection"),
        }
    }
    // `Connection` may name these, too.
    let upgrade = (others && upgraded).then(|| headers.get(UPGRADE).cloned()).flatten();
    let announced = (others && trailers).then(|| headers.get(TRAILER).cloned()).flatten();
    if connection {
        drop_named_by_connection(headers);
    }
    if !others {
        return;
    }
    for name in
        [TE, TRAILER, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, KEEP_ALIVE, PROXY_CONNECTION]
    {
        headers.remove(name);
    }
    if let Some(names) = announced {
        headers.insert(TRAILER, names);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// Cookie fields whose room is not worth giving back.
const FEW_CRUMBS: usize = 16;

/// Whether a trailer may pass: none that frames, routes, authenticates or belongs to one hop (RFC 9110 section 6.5.1).
pub(crate) fn trailer_passes(name: &HeaderName) -> bool {
    !PROTECTED.contains(&name.as_str())
        && !FORBIDDEN_TRAILERS.contains(&name.as_str())
        && !name.as_str().starts_with("x-forwarded-")
}

/// What `Connection` says most often; the field of that name goes in any case.
const MOSTLY: &str = "keep-alive";

/// Fields that `Connection` may not take away.
pub(crate) const PROTECTED: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "content-type",
    "authorization",
    "cookie",
    "set-cookie",
    "cache-control",
    "strict-transport-security",
    "portico-hops",
];

const FORBIDDEN_TRAILERS: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "content-encoding",
    "content-range",
    "range",
    "location",
    "www-authenticate",
    "x-real-ip",
    "x-request-id",
    "forwarded",
];
