//! A second reading of HTTP/1 messages: lines by splitting, framing by the letter of RFC 9112, chunks one by one, and all
//! of it held against httparse.

use httparse::{EMPTY_HEADER, Status};

/// A head, taken apart by splitting.
#[derive(Debug)]
pub(super) struct Head<'a> {
    /// With its empty line.
    pub(super) length: usize,
    pub(super) first: &'a [u8],
    pub(super) fields: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Head<'a> {
    /// The head at the front; it must be whole and in order.
    pub(super) fn at(octets: &'a [u8]) -> Self {
        let end = octets.windows(4).position(|four| four == b"\r\n\r\n").expect("a head passes whole");
        let mut lines = split_lines(&octets[..end]).into_iter();
        let first = lines.next().expect("there is a first line");
        let fields = lines.map(|line| {
            let colon = line.iter().position(|octet| *octet == b':').expect("a field has a colon");
            (&line[..colon], line[colon + 1..].trim_ascii())
        });
        Self { length: end + 4, first, fields: fields.collect() }
    }

    /// The values of every field of that name.
    pub(super) fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let named = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| *value).collect()
    }

    /// What httparse makes of the fields must be the same.
    fn is(&self, fields: &[httparse::Header<'_>]) {
        assert_eq!(self.fields.len(), fields.len());
        for ((name, value), field) in self.fields.iter().zip(fields) {
            assert_eq!((*name, *value), (field.name.as_bytes(), field.value));
        }
    }
}

fn split_lines(octets: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = octets;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    for line in &lines {
        assert!(!line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)), "a line that others may end elsewhere");
    }
    lines
}

/// A request head as httparse reads it: method, target, whether it is of HTTP/1.1.
pub(super) fn request<'a>(octets: &'a [u8], head: &Head<'a>) -> (&'a str, &'a str, bool) {
    let mut fields = [EMPTY_HEADER; 256];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(request.parse(octets), Ok(Status::Complete(head.length)));
    head.is(request.headers);
    let (method, path) = (request.method.expect("complete"), request.path.expect("complete"));
    let version = request.version.expect("complete");
    assert_eq!(format!("{method} {path} HTTP/1.{version}").as_bytes(), head.first);
    (method, path, version == 1)
}

/// A response head as httparse reads it: status, and whether it is of HTTP/1.1.
pub(super) fn response(octets: &[u8], head: &Head<'_>) -> (u16, bool) {
    let mut fields = [EMPTY_HEADER; 256];
    let mut response = httparse::Response::new(&mut fields);
    assert_eq!(response.parse(octets), Ok(Status::Complete(head.length)));
    head.is(response.headers);
    (response.code.expect("complete"), response.version == Some(1))
}

/// What follows a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Unsaid,
    Length(u64),
    Chunked,
}

/// Framing by RFC 9112 section 6; more than one reading must not have passed.
pub(super) fn framing(head: &Head<'_>, http_1_1: bool) -> Body {
    let (lengths, codings) = (head.values("content-length"), head.values("transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => Body::Unsaid,
        ([length], []) => {
            let text = std::str::from_utf8(length).expect("digits");
            let number: u64 = text.parse().expect("a number");
            assert_eq!(number.to_string(), text, "a length has one spelling");
            Body::Length(number)
        }
        ([], [coding]) => {
            assert!(http_1_1 && coding.eq_ignore_ascii_case(b"chunked"), "{}", coding.escape_ascii());
            Body::Chunked
        }
        _ => panic!("two fields frame one message: {head:?}"),
    }
}

/// A chunked body at the front.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// Its length on the wire and what it carries.
    Whole(usize, Vec<u8>),
    /// It has not ended; what it carries so far.
    Partial(Vec<u8>),
    Broken,
}

/// Decodes chunks (RFC 9112 section 7.1) with the limits that the gate sets itself.
pub(super) fn chunks(octets: &[u8]) -> Chunked {
    let mut payload = Vec::new();
    let mut at = 0;
    let mut extensions = 0;
    loop {
        let Some(line) = line(&octets[at..]) else { return Chunked::Partial(payload) };
        let Some(size) = size(line, &mut extensions) else { return Chunked::Broken };
        let theirs = httparse::parse_chunk_size(&octets[at..]);
        assert_eq!(theirs, Ok(Status::Complete((line.len() + 1, size))), "{}", line.escape_ascii());
        at += line.len() + 1;
        if size == 0 {
            break;
        }
        let rest = &octets[at..];
        let taken = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
        payload.extend_from_slice(&rest[..taken]);
        at += taken;
        match &rest[taken..] {
            [] | [b'\r'] => return Chunked::Partial(payload),
            [b'\r', b'\n', ..] => at += 2,
            _ => return Chunked::Broken,
        }
    }
    let (mut trailers, mut fields) = (0, 0);
    loop {
        let Some(line) = line(&octets[at..]) else { return Chunked::Partial(payload) };
        at += line.len() + 1;
        trailers += line.len() + 1;
        let Some(line) = line.strip_suffix(b"\r").filter(|_| trailers <= 8 * 1024) else { return Chunked::Broken };
        if line.is_empty() {
            return Chunked::Whole(at, payload);
        }
        fields += 1;
        if fields > 64 || !is_field(line) {
            return Chunked::Broken;
        }
    }
}

/// Up to the LF and without it.
fn line(octets: &[u8]) -> Option<&[u8]> {
    octets.split(|octet| *octet == b'\n').next().filter(|line| line.len() < octets.len())
}

fn size(line: &[u8], extensions: &mut usize) -> Option<u64> {
    let line = line.strip_suffix(b"\r")?;
    let end = line.iter().position(|octet| *octet == b';');
    let digits = std::str::from_utf8(&line[..end.unwrap_or(line.len())]).ok()?;
    if let Some(end) = end {
        *extensions += line.len() - end - 1;
        if *extensions > 16 * 1024 - 2 || !is_text(&line[end..]) {
            return None;
        }
    }
    let in_order = (1..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| in_order)
}

fn is_field(line: &[u8]) -> bool {
    let colon = line.iter().position(|octet| *octet == b':').unwrap_or(0);
    let (name, value) = line.split_at(colon);
    http::HeaderName::from_bytes(name).is_ok() && is_text(value)
}

fn is_text(octets: &[u8]) -> bool {
    octets.iter().all(|octet| !octet.is_ascii_control() || *octet == b'\t')
}
