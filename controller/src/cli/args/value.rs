//! The types of flag values: each reads one word, prints itself the way it may be typed, and names what is wrong.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use portico_compile::{DefaultBackend, Key};

/// A length of time above zero: `500ms`, `10s`, `1m30s`, `1h`; a bare number is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer(pub(crate) Duration);

impl FromStr for Timer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = duration(text)?;
        if duration.is_zero() { Err(format!("{text:?} is not above zero")) } else { Ok(Self(duration)) }
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&typed(self.0))
    }
}

/// A length of time as in [`Timer`] that may be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause(pub(crate) Duration);

impl FromStr for Pause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        duration(text).map(Self)
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&typed(self.0))
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let wrong = || format!("{text:?} is not a duration such as 500ms, 10s or 1m30s");
    let duration = match bare {
        true => Duration::from_secs(text.parse().map_err(|_| wrong())?),
        false => humantime::parse_duration(text).map_err(|_| wrong())?,
    };
    if duration > LONGEST { Err(format!("{text:?} is longer than a year")) } else { Ok(duration) }
}

/// A duration in one word, so that it can be pasted.
fn typed(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// A number of octets: bare, or with `k`, `M`, `G` (powers of 1000) or `Ki`, `Mi`, `Gi` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a size such as 8192, 32Ki or 10M");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let factor: u64 = match unit.strip_suffix(['B', 'b']).unwrap_or(unit) {
            "" => 1,
            "k" | "K" => 1000,
            "m" | "M" => 1_000_000,
            "g" | "G" => 1_000_000_000,
            "Ki" | "ki" => 1 << 10,
            "Mi" | "mi" => 1 << 20,
            "Gi" | "gi" => 1 << 30,
            _ => return Err(wrong()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| format!("{text:?} is too large"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
        match units.into_iter().find(|(factor, _)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((factor, unit)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A share in percent, with or without the sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Percent(pub(crate) u32);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
        number.filter(|n| *n <= 100).map(Self).ok_or_else(|| format!("{text:?} is not a percentage from 0 to 100"))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A network, or a single address as the network of that address alone.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address));
    text.parse().ok().or_else(address).ok_or_else(|| format!("{text:?} is not a network such as 10.0.0.0/8"))
}

/// `NAMESPACE/NAME`.
pub(crate) fn key(text: &str) -> Result<Key, String> {
    match text.split_once('/') {
        Some((namespace, name)) if is_name(namespace) && is_name(name) => Ok(Key::new(namespace, name)),
        _ => Err(format!("{text:?} is not NAMESPACE/NAME")),
    }
}

/// `NAMESPACE/NAME` or `NAMESPACE/NAME:PORT`.
pub(crate) fn default_backend(text: &str) -> Result<DefaultBackend, String> {
    let wrong = || format!("{text:?} is not NAMESPACE/NAME or NAMESPACE/NAME:PORT");
    let (service, port) = match text.split_once(':') {
        Some((service, port)) => (service, Some(port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?)),
        None => (text, None),
    };
    Ok(DefaultBackend { service: key(service).map_err(|_| wrong())?, port })
}

/// The name of a namespace (RFC 1123 label).
pub(crate) fn namespace(text: &str) -> Result<String, String> {
    let good = is_name(text) && text.len() <= 63 && !text.contains('.');
    good.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is not the name of a namespace"))
}

/// A count above zero.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("{text:?} is not a number above zero"))
}

/// A port that can be named.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| format!("{text:?} is not a port"))
}

fn is_name(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(inside)
}

/// A timer that outlives this is a slip of the keyboard.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("10s", Some((10_000, "10s"))),
            ("620", Some((620_000, "10m20s"))),
            ("1m30s", Some((90_000, "1m30s"))),
            ("500ms", Some((500, "500ms"))),
            ("0", Some((0, "0s"))),
            ("1h", Some((3_600_000, "1h"))),
            ("", None),
            ("ten", None),
            ("-1s", None),
            ("99999999999999999999", None),
            ("400d", None),
        ] {
            let got = text.parse::<Pause>().ok().map(|span| (span.0.as_millis(), span.to_string()));
            assert_eq!(got, expected.map(|(ms, shown)| (ms, shown.to_owned())), "{text}");
            let timer = text.parse::<Timer>().ok().map(|timer| timer.0.as_millis());
            assert_eq!(timer, expected.map(|(ms, _)| ms).filter(|ms| *ms > 0), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some((0, "0"))),
            ("32Ki", Some((32_768, "32Ki"))),
            ("32KiB", Some((32_768, "32Ki"))),
            ("1Mi", Some((1 << 20, "1Mi"))),
            ("10M", Some((10_000_000, "10000000"))),
            ("1000", Some((1000, "1000"))),
            ("", None),
            ("k", None),
            ("1.5m", None),
            ("99999999999Gi", None),
        ] {
            let got = text.parse::<Size>().ok().map(|size| (size.0, size.to_string()));
            assert_eq!(got, expected.map(|(n, shown)| (n, shown.to_owned())), "{text}");
        }
    }

    #[test]
    fn percentages() {
        for (text, expected) in [("20", Some(20)), ("20%", Some(20)), ("0", Some(0)), ("101", None), ("x", None)] {
            assert_eq!(text.parse::<Percent>().ok().map(|p| p.0), expected, "{text}");
        }
    }

    #[test]
    fn networks() {
        for (text, expected) in
            [("10.0.0.0/8", Some("10.0.0.0/8")), ("::1", Some("::1/128")), ("10.0.0.0/33", None), ("lo", None)]
        {
            assert_eq!(network(text).ok().map(|n| n.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn references() {
        assert_eq!(key("web/tls"), Ok(Key::new("web", "tls")));
        let backend = |port| DefaultBackend { service: Key::new("web", "site"), port };
        assert_eq!(default_backend("web/site"), Ok(backend(None)));
        assert_eq!(default_backend("web/site:80"), Ok(backend(Some(80))));
        for (text, good) in [("web", true), ("a-1", true), ("", false), ("a.b", false), ("A", false)] {
            assert_eq!(namespace(text).is_ok(), good, "{text}");
        }
        for text in ["site", "web/", "/site", "web/site:", "web/site:0", "web/site:http", "a/b/c", "Web/Site"] {
            assert!(default_backend(text).is_err(), "{text}");
        }
    }
}
