//! The grammars of names. Each check says what is wrong, or nothing.

use std::net::Ipv6Addr;

/// A rule's verdict: the reason, when the value breaks it.
pub(super) type Verdict = Option<&'static str>;

/// RFC 1123 subdomain: labels of lower-case letters, digits and `-` between dots; at most 253 octets.
pub(super) fn subdomain(value: &str) -> Verdict {
    if value.len() > 253 {
        return Some("must be no more than 253 bytes");
    }
    (!value.split('.').all(is_label)).then_some(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
         and must start and end with an alphanumeric character",
    )
}

/// `*.` and a subdomain.
pub(super) fn wildcard(value: &str) -> Verdict {
    if value.len() > 253 {
        return Some("must be no more than 253 bytes");
    }
    let matches = value.strip_prefix("*.").is_some_and(|suffix| suffix.split('.').all(is_label));
    (!matches).then_some("a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain")
}

/// RFC 1123 label: lower-case letters, digits and `-`; at most 63 octets.
pub(super) fn label(value: &str) -> Verdict {
    if value.len() > 63 {
        return Some("must be no more than 63 bytes");
    }
    (!is_label(value)).then_some(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
         and must start and end with an alphanumeric character",
    )
}

/// RFC 1035 label: like RFC 1123's, but it starts with a letter. The grammar of Service names.
pub(super) fn service(value: &str) -> Verdict {
    if value.len() > 63 {
        return Some("must be no more than 63 bytes");
    }
    (!is_label(value) || !value.starts_with(|first: char| first.is_ascii_lowercase())).then_some(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
         start with an alphabetic character, and end with an alphanumeric character",
    )
}

/// Service name of RFC 6335 section 5.1 in lower case; the grammar of port names that others refer to.
pub(super) fn port(value: &str) -> Verdict {
    let bytes = value.as_bytes();
    if value.len() > 15 {
        Some("must be no more than 15 bytes")
    } else if !bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        Some("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    } else if !bytes.iter().any(u8::is_ascii_lowercase) {
        Some("must contain at least one letter (a-z)")
    } else if value.contains("--") {
        Some("must not contain consecutive hyphens")
    } else if value.starts_with('-') || value.ends_with('-') {
        Some("must not begin or end with a hyphen")
    } else {
        None
    }
}

/// A name, or a subdomain, `/` and a name; the grammar of annotation and label keys and of `appProtocol`.
pub(super) fn qualified(value: &str) -> Verdict {
    let (prefix, name) = value.split_once('/').map_or((None, value), |(prefix, name)| (Some(prefix), name));
    if prefix.is_some_and(|prefix| subdomain(prefix).is_some()) {
        return Some("prefix part must be a lowercase RFC 1123 subdomain");
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes");
    }
    (name.is_empty() || !is_word(name)).then_some(
        "name part must consist of alphanumeric characters, '-', '_' or '.', \
         and must start and end with an alphanumeric character",
    )
}

/// A label's value: empty, or letters, digits, `-`, `_` and `.` between letters or digits; at most 63 octets.
pub(super) fn label_value(value: &str) -> Verdict {
    if value.len() > 63 {
        return Some("must be no more than 63 bytes");
    }
    (!is_word(value)).then_some(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
         and must start and end with an alphanumeric character",
    )
}

/// A key of a ConfigMap or Secret.
pub(super) fn data_key(value: &str) -> Verdict {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if value.len() > 253 {
        Some("must be no more than 253 bytes")
    } else if value.is_empty() || !value.bytes().all(word) {
        Some("a valid config key must consist of alphanumeric characters, '-', '_' or '.'")
    } else if value == "." || value.starts_with("..") {
        Some("must not be '.' and must not start with '..'")
    } else {
        None
    }
}

/// A name that becomes one segment of a path of the API.
pub(super) fn path_segment(value: &str) -> Verdict {
    match value {
        "." => Some("may not be '.'"),
        ".." => Some("may not be '..'"),
        _ if value.contains('/') => Some("may not contain '/'"),
        _ if value.contains('%') => Some("may not contain '%'"),
        _ => None,
    }
}

/// A subdomain, `/` and a path; the grammar of controller names.
pub(super) fn domain_prefixed(value: &str) -> Verdict {
    let (domain, path) = value.split_once('/').unwrap_or((value, ""));
    if domain.is_empty() || path.is_empty() {
        return Some("must be a domain-prefixed path (such as \"acme.io/foo\")");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
    subdomain(domain).or_else(|| (!path.bytes().all(allowed)).then_some("Invalid path"))
}

/// Whether the API server takes this text for an IP address, which for it may have leading zeros.
pub(super) fn is_ip(value: &str) -> bool {
    let octet = |part: &str| {
        let digits = part.trim_start_matches('0');
        part.bytes().all(|byte| byte.is_ascii_digit()) && (digits.is_empty() || digits.parse::<u8>().is_ok())
    };
    let parts = || value.split('.');
    value.parse::<Ipv6Addr>().is_ok() || (parts().count() == 4 && parts().all(|part| !part.is_empty() && octet(part)))
}

fn is_label(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !value.is_empty()
        && !value.starts_with('-')
        && !value.ends_with('-')
}

fn is_word(value: &str) -> bool {
    let end = |end: Option<&u8>| end.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && end(bytes.first())
        && end(bytes.last())
}
