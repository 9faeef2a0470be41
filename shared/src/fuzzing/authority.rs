//! Authorities: a second reading, made of splits; the same host and port to the parser of the crate `http`; and the
//! normal form is its own.

use std::net::Ipv6Addr;

use crate::normalise::authority::{Authority, name, parse};

/// Octets as they come in a Host field.
pub fn authority(octets: &[u8]) {
    let read = parse(octets);
    let expected = naive(octets);
    assert_eq!(read.as_ref().ok().map(|a| (a.host.to_string(), a.port)), expected, "{:?}", octets.escape_ascii());
    let text = std::str::from_utf8(octets);
    if let Ok(text) = text {
        let expected = text.strip_suffix('.').unwrap_or(text);
        let expected = is_name(expected).then(|| expected.to_ascii_lowercase());
        assert_eq!(name(text).as_deref(), expected.as_deref(), "{text:?} as a name");
        assert_eq!(
            expected.as_deref().map(name).map(|again| again.as_deref() == expected.as_deref()),
            expected.as_ref().map(|_| true)
        );
    }
    if let Ok(Authority { host, port }) = read {
        let shown = port.map_or(host.to_string(), |port| format!("{host}:{port}"));
        let again = parse(shown.as_bytes());
        assert_eq!(again, Ok(Authority { host: host.clone(), port }), "{shown} again");
        assert!(!host.bytes().any(|octet| octet.is_ascii_uppercase() || octet.is_ascii_whitespace()), "{host:?}");
        // What is sent on is read by others: they must see the same.
        let text = text.expect("what was read is ASCII");
        let other: http::uri::Authority = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let theirs = other.host().to_ascii_lowercase();
        assert_eq!(theirs.strip_suffix('.').unwrap_or(&theirs), host, "{text:?}");
        assert_eq!(other.port_u16(), port, "{text:?}");
    }
}

/// The same by another way.
fn naive(octets: &[u8]) -> Option<(String, Option<u16>)> {
    let text = std::str::from_utf8(octets).ok()?;
    let (host, port) = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.len() <= 5 && digits.chars().all(|c| c.is_ascii_digit()) => Some(digits.parse().ok()?),
        _ => return None,
    };
    if let Some(inside) = host.strip_prefix('[') {
        inside.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?;
        return Some((host.to_lowercase(), port));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    is_name(host).then(|| (host.to_lowercase(), port))
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(letter) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}
