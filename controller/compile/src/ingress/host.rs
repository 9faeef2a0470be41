//! Hosts of rules and TLS entries.

use std::net::Ipv4Addr;

use portico_shared::ir::HostPattern;
use portico_shared::normalise::authority;

use crate::report::quote;

/// The pattern of a rule's host; empty is any. An address is refused: it never matches by name.
pub(crate) fn of_rule(host: &str) -> Result<HostPattern, String> {
    if host.is_empty() {
        return Ok(HostPattern::Any);
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        return Err(format!("host {} is an address", quote(host)));
    }
    of_tls(host)
}

/// The pattern of a TLS entry's host: an exact name or one label before a suffix, normalised as requests are.
pub(crate) fn of_tls(host: &str) -> Result<HostPattern, String> {
    let (wildcard, name) = match host.strip_prefix("*.") {
        Some(suffix) => (true, suffix),
        None => (false, host),
    };
    let name = authority::name(name).ok_or_else(|| format!("host {} is not a DNS name", quote(host)))?;
    Ok(if wildcard { HostPattern::OneLabel(name.into()) } else { HostPattern::Exact(name.into()) })
}

/// The wildcard host that takes a name when no exact host does.
pub(crate) fn wildcard_above(pattern: &HostPattern) -> Option<HostPattern> {
    match pattern {
        HostPattern::Exact(name) => name.split_once('.').map(|(_, suffix)| HostPattern::OneLabel(suffix.into())),
        HostPattern::OneLabel(_) | HostPattern::ManyLabels(_) | HostPattern::Any => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (host, expected) in [
            ("", Some("*")),
            ("foo.com", Some("foo.com")),
            ("FOO.com.", Some("foo.com")),
            ("*.foo.com", Some("*.foo.com")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("*", None),
            ("*.", None),
            ("*.*.foo.com", None),
            ("a.*.foo.com", None),
            ("*foo.com", None),
            ("foo.com:80", None),
            ("10.0.0.1", None),
            ("[::1]", None),
            ("b\u{fc}cher.example", None),
            ("a\nb", None),
        ] {
            assert_eq!(of_rule(host).map(|p| p.to_string()).ok().as_deref(), expected, "{host}");
        }
        assert!(of_tls("").is_err());
    }
}
