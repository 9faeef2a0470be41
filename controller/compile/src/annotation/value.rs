//! Annotation values: durations, sizes, switches, names. A value that is not understood is an error, never a default.

use std::time::Duration;

use crate::report::quote;

/// A duration above zero: numbers with `ms`, `s`, `m` or `h` in any number (`1m30s`), or bare seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{} is not a duration", quote(text));
    let mut milliseconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest).ok_or_else(wrong)?;
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let factor = match unit {
            "ms" => 1,
            "s" => 1000,
            // Bare seconds stand alone: `1m30` is more likely a slip than a minute and a half.
            "" if rest == text => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(factor).and_then(|part| milliseconds.checked_add(part));
        milliseconds =
            part.filter(|sum| *sum <= MAX_MILLISECONDS).ok_or_else(|| format!("{} is above 30 days", quote(text)))?;
        rest = after;
    }
    if milliseconds == 0 {
        return Err(if text.is_empty() { wrong() } else { format!("{} is not above zero", quote(text)) });
    }
    Ok(Duration::from_millis(milliseconds))
}

/// A number of octets: bare, or with `k`, `m`, `g` (powers of 1000) or `Ki`, `Mi`, `Gi` (powers of 1024).
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{} is not a size", quote(text));
    let (number, unit) = leading_number(text).ok_or_else(wrong)?;
    let factor: u64 = match unit {
        "" => 1,
        "k" | "K" => 1000,
        "m" | "M" => 1000 * 1000,
        "g" | "G" => 1000 * 1000 * 1000,
        "Ki" | "ki" => 1 << 10,
        "Mi" | "mi" => 1 << 20,
        "Gi" | "gi" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(|| format!("{} is too large", quote(text)))
}

/// `true` or `false`.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{} is neither true nor false", quote(text))),
    }
}

/// A DNS name, without port; lower case.
pub(crate) fn dns_name(text: &str) -> Result<String, String> {
    portico_shared::normalise::authority::name(text)
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| format!("{} is not a DNS name", quote(text)))
}

/// The name of an object in the same namespace (RFC 1123 subdomain).
pub(crate) fn object_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty() && label.bytes().all(inside) && !label.starts_with('-') && !label.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        Ok(text.to_owned())
    } else {
        Err(format!("{} is not the name of an object of the same namespace", quote(text)))
    }
}

/// Longest duration: a timer that outlives it would be a leak, not a limit.
const MAX_MILLISECONDS: u64 = 30 * 24 * 60 * 60 * 1000;

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("30s", Some(30_000)),
            ("2m", Some(120_000)),
            ("500ms", Some(500)),
            ("45", Some(45_000)),
            ("1h", Some(3_600_000)),
            ("1m30s", Some(90_000)),
            ("1m30", None),
            ("0", None),
            ("0s", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("1d", None),
            ("31d", None),
            ("721h", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1024", Some(1024)),
            ("8k", Some(8000)),
            ("8Ki", Some(8192)),
            ("1m", Some(1_000_000)),
            ("1Mi", Some(1 << 20)),
            ("2g", Some(2_000_000_000)),
            ("2Gi", Some(2 << 30)),
            ("", None),
            ("k", None),
            ("1kb", None),
            ("1.5m", None),
            ("-1", None),
            ("+1", None),
            ("18446744073709551615Gi", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(dns_name("API.example").as_deref(), Ok("api.example"));
        for text in ["", "a b", "a:80", "*.a"] {
            assert!(dns_name(text).is_err(), "{text}");
        }
        assert!(object_name("ca.internal-1").is_ok());
        for text in ["", "other/ca", "A", "a_b", "-a", "a."] {
            assert!(object_name(text).is_err(), "{text}");
        }
    }
}
