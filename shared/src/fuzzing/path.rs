//! Paths: the same segments by a second reading, which keeps a stack; the normal form is its own, climbs nowhere, and is
//! matched and sent on as it is.

use std::borrow::Cow;

use crate::ir::PathMatch;
use crate::normalise::path::{InvalidPath, normalise};

/// Octets as they come in a request target.
pub fn path(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let read = normalise(text);
    assert_eq!(read.as_deref().ok(), naive(text).as_deref(), "{text:?}: {read:?}");
    let Ok(normal) = read else { return };
    assert_eq!(normalise(&normal).as_deref(), Ok(&*normal), "{text:?} again");
    assert!(matches!(normalise(&normal), Ok(Cow::Borrowed(_))) || normal.contains("/.") || normal.contains('%'));
    assert!(normal.starts_with('/') && !normal[1..].split('/').any(is_dots), "{normal:?} climbs");
    assert_ne!(normalise(&format!("/secret{normal}")), Err(InvalidPath::AboveRoot), "{normal:?}");
    // A rule for a directory takes whatever was found to be below it, and nothing that leads out of it.
    if let Ok(below) = normalise(&format!("/a{text}"))
        && !text.contains("..")
        && !text.contains('%')
    {
        assert!(PathMatch::Prefix("/a".into()).matches(&below), "{below:?}");
    }
    // What is sent on is what was matched.
    let target: http::uri::PathAndQuery = normal.parse().unwrap_or_else(|error| panic!("{normal:?}: {error}"));
    assert_eq!((target.path(), target.query()), (&*normal, None));
}

fn is_dots(segment: &str) -> bool {
    let name = segment.split(';').next();
    matches!(name, Some("." | ".."))
}

/// The same by another way: first every escape by itself, then the segments.
fn naive(text: &str) -> Option<String> {
    let rest = text.strip_prefix('/')?;
    let mut decoded = String::new();
    let mut pieces = rest.split('%');
    decoded.push_str(pieces.next()?);
    for piece in pieces {
        let (digits, after) = (piece.get(..2)?, piece.get(2..)?);
        let octet = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        if octet.is_ascii_control() {
            return None;
        }
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            decoded.push(char::from(octet));
        } else {
            decoded.push_str(&format!("%{octet:02X}"));
        }
        decoded.push_str(after);
    }
    let foreign = |c: char| !c.is_ascii_graphic() || "\"#<>?\\^`{|}".contains(c);
    if text.contains(foreign) {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    let mut open = false;
    for segment in decoded.split('/') {
        open = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(segments.pop()?),
            _ if is_dots(segment) => return None,
            _ => segments.push(segment),
        }
    }
    if open {
        segments.push("");
    }
    Some(format!("/{}", segments.join("/")))
}
