//! Authorities: `host[:port]` as RFC 3986 section 3.2 has it, held to what an HTTP service can be called.

use std::borrow::Cow;

/// A checked authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Lower-case name without trailing dot, or an IP literal (IPv6 in brackets).
    pub host: Cow<'a, str>,
    /// Port, when one is written.
    pub port: Option<u16>,
}

/// The authority is not `name[:port]`, `IPv4[:port]` or `[IPv6][:port]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAuthority;

impl std::fmt::Display for InvalidAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a host name or IP address with an optional port")
    }
}

impl std::error::Error for InvalidAuthority {}

/// Splits and normalises an authority: port off, lower case, one trailing dot off. Allocates only for upper case.
///
/// Refused: user information, lists, blanks, an empty host, labels that are empty, over 63 octets or begin or end with a
/// hyphen, names over 253 octets, ports over 65535, anything outside letters, digits, `-`, `_` and `.`.
pub fn parse(raw: &[u8]) -> Result<Authority<'_>, InvalidAuthority> {
    let raw = std::str::from_utf8(raw).map_err(|_| InvalidAuthority)?;
    if let Some(rest) = raw.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or(InvalidAuthority)?;
        inside.parse::<std::net::Ipv6Addr>().map_err(|_| InvalidAuthority)?;
        let port = match after.strip_prefix(':') {
            Some(port) => parse_port(port)?,
            None if after.is_empty() => None,
            None => return Err(InvalidAuthority),
        };
        return Ok(Authority { host: lower(&raw[..inside.len() + 2]), port });
    }
    let (name, port) = match raw.split_once(':') {
        Some((name, port)) => (name, parse_port(port)?),
        None => (raw, None),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if !is_name(name.as_bytes()) {
        return Err(InvalidAuthority);
    }
    Ok(Authority { host: lower(name), port })
}

/// Normalises a name that came without a port, such as SNI; `None` when it is not a DNS name.
#[must_use]
pub fn name(raw: &str) -> Option<Cow<'_, str>> {
    let raw = raw.strip_suffix('.').unwrap_or(raw);
    is_name(raw.as_bytes()).then(|| lower(raw))
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

fn parse_port(digits: &str) -> Result<Option<u16>, InvalidAuthority> {
    if digits.is_empty() {
        return Ok(None);
    }
    if digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidAuthority);
    }
    digits.parse().map(Some).map_err(|_| InvalidAuthority)
}

fn is_name(name: &[u8]) -> bool {
    if name.is_empty() || name.len() > MAX_NAME {
        return false;
    }
    let mut label = 0;
    let mut last = b'.';
    for &byte in name {
        match byte {
            b'.' if label == 0 || last == b'-' => return false,
            b'.' => label = 0,
            b'-' if label == 0 => return false,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            _ => return false,
        }
        if label > MAX_LABEL {
            return false;
        }
        last = byte;
    }
    label > 0 && last != b'-'
}

/// Longest DNS name without its trailing dot, in octets (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;
/// Longest label in octets (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        for (raw, host, port) in [
            ("a.test", "a.test", None),
            ("A.Test", "a.test", None),
            ("a.test.", "a.test", None),
            ("a.test:443", "a.test", Some(443)),
            ("a.test.:80", "a.test", Some(80)),
            ("a.test:", "a.test", None),
            ("10.0.0.1:8080", "10.0.0.1", Some(8080)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::1]:8443", "[2001:db8::1]", Some(8443)),
            ("my_service", "my_service", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ] {
            let authority = parse(raw.as_bytes()).unwrap_or_else(|_| panic!("{raw}"));
            assert_eq!((&*authority.host, authority.port), (host, port), "{raw}");
        }
    }

    #[test]
    fn refused() {
        let long = "a".repeat(64);
        let longer = format!("{0}.{0}.{0}.{0}.abc", "a".repeat(63));
        for raw in [
            "",
            ".",
            "u@a",
            "a, b",
            "a b",
            "a/x",
            "a#",
            "[::1",
            "[::1]x",
            "[x]",
            "a:99999",
            "a:8x",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a..",
            "::1",
            "b\u{fc}cher.example",
            "a:1:2",
            "a:+80",
            "a*b",
            &long,
            &longer,
        ] {
            assert_eq!(parse(raw.as_bytes()), Err(InvalidAuthority), "{raw}");
        }
        assert_eq!(parse(b"a\x80"), Err(InvalidAuthority));
    }
}
