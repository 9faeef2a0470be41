//! Rewriting of fields: what belongs to one hop goes, what frames or routes a message stays whatever `Connection` says,
//! what names the client is ours unless a trusted proxy said it, and everything else passes as it came.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::request_head::field;
use crate::request::forwarded::{Hop, PROTECTED, rewrite_response};

/// Flags, then a field a line.
pub fn fields(octets: &[u8]) {
    let Some((&flags, rest)) = octets.split_first() else { return };
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let mut before = HeaderMap::new();
    for (name, value) in rest.split(|octet| *octet == b'\n').filter_map(field).take(200) {
        before.append(name, value);
    }
    let (client, port) = (HeaderValue::from_static("192.0.2.7"), HeaderValue::from_static("8443"));
    let hop = Hop { trusted: flag(0), underscores: flag(1), hops: 10, tls: flag(2), client: &client, port: &port };
    let websocket = flag(3);
    let mut after = before.clone();
    match hop.rewrite(&mut after, websocket) {
        Ok(()) => request(&before, &after, &hop, websocket),
        Err(error) => {
            assert_eq!(error, crate::request::ProxyError::Loop);
            assert!(before.contains_key("portico-hops"));
        }
    }
    let (upgraded, trailers) = (flag(4), flag(5));
    let mut after = before.clone();
    rewrite_response(&mut after, upgraded, trailers);
    response(&before, &after, upgraded, trailers);
}

fn request(before: &HeaderMap, after: &HeaderMap, hop: &Hop<'_>, websocket: bool) {
    safe(after);
    let text = |name: &str| after.get(name).map(HeaderValue::as_bytes);
    for name in HOP.iter().chain(&["expect", "http2-settings"]) {
        match *name {
            "te" => assert!(matches!(text(name), None | Some(b"trailers"))),
            "connection" => assert_eq!(text(name), websocket.then_some(&b"upgrade"[..])),
            "upgrade" => assert_eq!(text(name), websocket.then_some(&b"websocket"[..])),
            _ => assert_eq!(text(name), None, "{name}"),
        }
    }
    let seen = before.get("portico-hops").map_or("0", |seen| seen.to_str().expect("it was read"));
    let hops: u32 =
        text("portico-hops").and_then(|hops| std::str::from_utf8(hops).ok()?.parse().ok()).expect("a number");
    assert!(seen.parse().is_ok_and(|seen: u32| hops == seen + 1 && hops <= hop.hops));
    client(before, after, hop);
    let named = named(before);
    for name in before.keys() {
        let ours = OURS.contains(&name.as_str());
        let hop_field = HOP.contains(&name.as_str()) || matches!(name.as_str(), "expect" | "http2-settings");
        let kept = !named.contains(name)
            && (hop.trusted || !spoofs(name))
            && (hop.underscores || !name.as_str().contains('_'));
        if ours || hop_field {
            continue;
        }
        match name.as_str() {
            "cookie" => {
                let crumbs: Vec<_> = before.get_all(name).iter().map(HeaderValue::as_bytes).collect();
                assert_eq!(all(after, name), [crumbs.join(&b"; "[..])]);
            }
            _ if kept => assert_eq!(all(after, name), all(before, name), "{name}"),
            _ => assert!(!after.contains_key(name), "{name}"),
        }
    }
    for name in after.keys() {
        assert!(
            before.contains_key(name) || OURS.contains(&name.as_str()) || websocket && HOP.contains(&name.as_str()),
            "{name}"
        );
    }
}

/// The fields that name the client.
fn client(before: &HeaderMap, after: &HeaderMap, hop: &Hop<'_>) {
    let named = named(before);
    let given = |name: &'static str| {
        let name = HeaderName::from_static(name);
        Some(all(before, &name)).filter(|values| hop.trusted && !values.is_empty() && !named.contains(&name))
    };
    let own = hop.client.as_bytes().to_vec();
    let chain =
        given("x-forwarded-for").into_iter().flatten().chain([own.clone()]).collect::<Vec<_>>().join(&b", "[..]);
    let proto = if hop.tls { &b"https"[..] } else { b"http" };
    let mut expected = vec![
        ("x-forwarded-for", vec![chain]),
        ("x-real-ip", given("x-real-ip").unwrap_or(vec![own])),
        ("x-forwarded-proto", given("x-forwarded-proto").unwrap_or(vec![proto.to_vec()])),
        ("x-forwarded-port", given("x-forwarded-port").unwrap_or(vec![hop.port.as_bytes().to_vec()])),
    ];
    let host = before.get("host").map(|host| vec![host.as_bytes().to_vec()]);
    if let Some(host) = given("x-forwarded-host").or(host) {
        expected.push(("x-forwarded-host", host));
    }
    for (name, values) in expected {
        assert_eq!(all(after, &HeaderName::from_static(name)), values, "{name}");
    }
}

fn response(before: &HeaderMap, after: &HeaderMap, upgraded: bool, trailers: bool) {
    safe(after);
    let first = |headers: &HeaderMap, name: &str| headers.get(name).map(|value| value.as_bytes().to_vec());
    let upgrade = first(before, "upgrade").filter(|_| upgraded);
    for name in HOP {
        match *name {
            "trailer" => assert_eq!(first(after, name), first(before, name).filter(|_| trailers)),
            "upgrade" => assert_eq!(first(after, name), upgrade),
            "connection" => assert_eq!(first(after, name), upgrade.as_ref().map(|_| b"upgrade".to_vec())),
            _ => assert_eq!(first(after, name), None, "{name}"),
        }
    }
    let named = named(before);
    for name in before.keys().filter(|name| !HOP.contains(&name.as_str())) {
        if named.contains(name) {
            assert!(!after.contains_key(name), "{name}");
        } else {
            assert_eq!(all(after, name), all(before, name), "{name}");
        }
    }
    assert!(after.keys().all(|name| before.contains_key(name) || name == "connection"));
}

/// Fields that `Connection` takes away, protected ones never.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all("connection").into_iter().filter_map(|value| value.to_str().ok());
    let tokens = values.flat_map(|value| value.split(',')).filter_map(|token| token.trim().parse::<HeaderName>().ok());
    tokens.filter(|name| !PROTECTED.contains(&name.as_str())).collect()
}

fn all(headers: &HeaderMap, name: &HeaderName) -> Vec<Vec<u8>> {
    headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
}

/// Nothing in a value ends its line.
fn safe(headers: &HeaderMap) {
    for value in headers.values() {
        assert!(!value.as_bytes().iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
    }
}

/// Fields by which a client could pass for another.
fn spoofs(name: &HeaderName) -> bool {
    let name = name.as_str();
    let prefixes = ["x-forwarded-", "x-original-", "x-envoy-"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || matches!(name, "forwarded" | "x-real-ip" | "x-request-id")
}

const HOP: &[&str] = &[
    "connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authenticate",
    "proxy-authorization",
    "keep-alive",
    "proxy-connection",
];
const OURS: &[&str] =
    &["x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-host", "portico-hops"];
