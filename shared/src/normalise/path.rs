//! Paths: decoded where decoding changes nothing, cleared of dot segments, refused where servers disagree.
//!
//! The same bytes are matched and forwarded, so no escape or dot segment leads around a rule.

use std::borrow::Cow;

/// Why a path is refused with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPath {
    /// Does not begin with `/`.
    NotAbsolute,
    /// `..` above the root.
    AboveRoot,
    /// A segment of dots with a parameter, such as `..;x`.
    DotParameter,
    /// `%` without two hex digits.
    BrokenEscape,
    /// `%00` or another escaped control character.
    EscapedControl,
    /// An octet that may not stand in a path unescaped.
    Character,
}

impl InvalidPath {
    /// The reason in a few words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path does not begin with a slash",
            Self::AboveRoot => "path climbs above the root",
            Self::DotParameter => "path has a dot segment with a parameter",
            Self::BrokenEscape => "path has a broken percent escape",
            Self::EscapedControl => "path has an escaped control character",
            Self::Character => "path has a character that must be escaped",
        }
    }
}

impl std::fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for InvalidPath {}

/// Normalises a path (RFC 3986 sections 5.2.4 and 6.2.2): escapes of unreserved characters decoded, other escapes in
/// upper case, dot segments resolved. `//` stays, `%2F` and `%5C` stay and split no segment. Borrows when nothing changes.
pub fn normalise(raw: &str) -> Result<Cow<'_, str>, InvalidPath> {
    let bytes = raw.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(InvalidPath::NotAbsolute);
    }
    let mut rewrite = false;
    let mut previous = 0;
    for &byte in bytes {
        match byte {
            b'%' => rewrite = true,
            // A dot right behind a slash may be a dot segment.
            b'.' => rewrite |= previous == b'/',
            _ if !ALLOWED[byte as usize] => return Err(InvalidPath::Character),
            _ => {}
        }
        previous = byte;
    }
    if rewrite { resolve(&decode(bytes)?).map(Cow::Owned) } else { Ok(Cow::Borrowed(raw)) }
}

/// Decodes unreserved escapes and raises the rest to upper case.
fn decode(bytes: &[u8]) -> Result<String, InvalidPath> {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            out.push(char::from(byte));
            continue;
        }
        let (Some(high), Some(low)) = (hex(rest.next()), hex(rest.next())) else {
            return Err(InvalidPath::BrokenEscape);
        };
        let value = high << 4 | low;
        match value {
            0..=0x1f | 0x7f => return Err(InvalidPath::EscapedControl),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(value)),
            _ => {
                out.push('%');
                for digit in [high, low] {
                    out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        }
    }
    Ok(out)
}

fn hex(digit: Option<&u8>) -> Option<u8> {
    char::from(*digit?).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Removes `.` and `..` segments; a trailing one leaves its slash.
fn resolve(path: &str) -> Result<String, InvalidPath> {
    let mut out = String::with_capacity(path.len());
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => out.push('/'),
            "." => {}
            ".." => {
                let cut = out.rfind('/').ok_or(InvalidPath::AboveRoot)?;
                out.truncate(cut);
                if last {
                    out.push('/');
                }
            }
            _ if segment.split_once(';').is_some_and(|(name, _)| matches!(name, "." | "..")) => {
                return Err(InvalidPath::DotParameter);
            }
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    Ok(out)
}

/// Octets that may stand in a path as they are: unreserved, sub-delimiters, `:`, `@`, `/`, plus `[` and `]`, which are
/// common and harmless; `%` is judged apart (RFC 3986 section 3.3).
const ALLOWED: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/%[]";
    let mut i = 0;
    while i < allowed.len() {
        table[allowed[i] as usize] = true;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        for (raw, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a//b"),
            ("//a", "//a"),
            ("/%61dmin", "/admin"),
            ("/pub/../admin", "/admin"),
            ("/pub/%2e%2E/admin", "/admin"),
            ("/a/./b", "/a/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/..a", "/..a"),
            ("/a//../b", "/a/b"),
            ("/%2f%5c", "/%2F%5C"),
            ("/a%2fb", "/a%2Fb"),
            ("/%252e%252e", "/%252e%252e"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/.well-known/acme", "/.well-known/acme"),
            ("/a/..", "/"),
            ("/x;v=1/y", "/x;v=1/y"),
        ] {
            let once = normalise(raw).unwrap_or_else(|e| panic!("{raw}: {e}"));
            assert_eq!(once, expected, "{raw}");
            assert_eq!(normalise(&once).as_deref(), Ok(expected), "{raw} again");
        }
    }

    #[test]
    fn borrows_what_is_normal() {
        assert!(matches!(normalise("/a/b.html"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn refused() {
        for (raw, reason) in [
            ("", InvalidPath::NotAbsolute),
            ("a", InvalidPath::NotAbsolute),
            ("/..", InvalidPath::AboveRoot),
            ("/a/../../b", InvalidPath::AboveRoot),
            ("/..;/admin", InvalidPath::DotParameter),
            ("/a/.;x/", InvalidPath::DotParameter),
            ("/%zz", InvalidPath::BrokenEscape),
            ("/%", InvalidPath::BrokenEscape),
            ("/%4", InvalidPath::BrokenEscape),
            ("/%00", InvalidPath::EscapedControl),
            ("/%0d%0a", InvalidPath::EscapedControl),
            ("/a\\b", InvalidPath::Character),
            ("/a\"", InvalidPath::Character),
            ("/{}", InvalidPath::Character),
            ("/a|b", InvalidPath::Character),
            ("/a^", InvalidPath::Character),
            ("/\u{e9}", InvalidPath::Character),
            ("/a b", InvalidPath::Character),
        ] {
            assert_eq!(normalise(raw), Err(reason), "{raw}");
        }
    }
}
