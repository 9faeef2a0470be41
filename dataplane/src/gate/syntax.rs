//! The syntax that heads of both directions share: where they end, their field lines, what frames a body.
//!
//! Stricter than RFC 9112 lets recipients be, and never laxer than hyper, which reads the same octets afterwards.

use memchr::memchr_iter;

/// How far a head has been looked at; counted from its first octet.
#[derive(Debug, Default)]
pub(super) struct Scan {
    seen: usize,
    /// Where its lines end, each behind its LF.
    ends: Vec<u32>,
}

/// What is wrong, in words for the client.
pub(super) type Flaw = &'static str;

impl Scan {
    /// The length of the head with its empty line, once it is whole. Each octet is looked at once, however they come.
    pub(super) fn end(&mut self, octets: &[u8]) -> Result<Option<usize>, Flaw> {
        for found in memchr_iter(b'\n', &octets[self.seen..]) {
            let at = self.seen + found;
            if at == 0 || octets[at - 1] != b'\r' {
                return Err("a line ends without CR");
            }
            let begin = self.ends.last().map_or(0, |end| *end as usize);
            if at == begin + 1 {
                return Ok(Some(at + 1));
            }
            self.ends.push(u32::try_from(at + 1).map_err(|_| "the head is too large")?);
        }
        self.seen = octets.len();
        Ok(None)
    }

    /// The lines that have an end, without it.
    pub(super) fn lines<'a>(&'a self, head: &'a [u8]) -> Lines<'a> {
        Lines { head, begin: 0, ends: self.ends.iter() }
    }

    /// How many those are.
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    /// Begins anew; keeps no more room than an ordinary head needs.
    pub(super) fn reset(&mut self) {
        self.seen = 0;
        if self.ends.capacity() > ROOM {
            self.ends = Vec::new();
        }
        self.ends.clear();
    }
}

/// The lines of a head.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    head: &'a [u8],
    begin: usize,
    ends: std::slice::Iter<'a, u32>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = *self.ends.next()? as usize;
        let begin = std::mem::replace(&mut self.begin, end);
        Some(&self.head[begin..end - 2])
    }
}

/// Whether a head that has an end has no control characters but HTAB and the ends of its lines: each LF has its CR, so
/// there is a bare CR if there are more of them. One pass over everything, with sums that fit an octet, takes many octets at
/// once.
pub(super) fn is_clear(head: &[u8]) -> bool {
    let (mut returns, mut feeds, mut others) = (0, 0, 0);
    for octets in head.chunks(usize::from(u8::MAX)) {
        let (mut cr, mut lf, mut other) = (0_u8, 0_u8, 0_u8);
        for octet in octets {
            let (ends, feed) = (u8::from(*octet == b'\r'), u8::from(*octet == b'\n'));
            let control = u8::from(*octet < b' ') & u8::from(*octet != b'\t') | u8::from(*octet == 0x7f);
            cr = cr.wrapping_add(ends);
            lf = lf.wrapping_add(feed);
            other |= control & (1 ^ ends ^ feed);
        }
        returns += usize::from(cr);
        feeds += usize::from(lf);
        others |= other;
    }
    others == 0 && returns == feeds
}

/// Name and value of a field line by itself.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Flaw> {
    let (name, value) = clear_field(line)?;
    if is_text(value) { Ok((name, value)) } else { Err(UNCLEAR) }
}

/// Name and value of a field line of a head that is clear (RFC 9112 section 5). A line that continues the one before has
/// no name.
pub(super) fn clear_field(line: &[u8]) -> Result<(&[u8], &[u8]), Flaw> {
    let colon = line.iter().position(|octet| !TOKEN[usize::from(*octet)]).unwrap_or(line.len());
    if colon == 0 || line.get(colon) != Some(&b':') {
        return Err("a field has no proper name");
    }
    Ok((&line[..colon], trim(&line[colon + 1..])))
}

/// Without the blanks around it: SP and HTAB, nothing else that passes for a blank elsewhere.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether there is no control character but HTAB.
pub(super) fn is_text(value: &[u8]) -> bool {
    value.iter().all(|octet| matches!(octet, b'\t' | b' '..=b'~' | 0x80..))
}

/// Whether this is a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|octet| TOKEN[usize::from(*octet)])
}

/// What the fields say of a body's framing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Framing {
    length: Option<u64>,
    coding: Option<Coding>,
    doubtful: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    /// Chunked over others that nobody here can undo.
    Stacked,
}

/// A body that could be read in two ways, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unframed {
    Ambiguous,
    UnknownCoding,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framed {
    Unsaid,
    Length(u64),
    Chunked,
}

impl Framing {
    /// Takes in a field if it is one that frames.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        if name.len() == 14 && name.eq_ignore_ascii_case(b"content-length") {
            let length = length(value);
            self.doubtful |= self.length.is_some() || length.is_none();
            self.length = length;
        } else if name.len() == 17 && name.eq_ignore_ascii_case(b"transfer-encoding") {
            let coding = coding(value);
            self.doubtful |= self.coding.is_some() || coding.is_none();
            self.coding = coding;
        }
    }

    /// One plain length or one `chunked`, never both, and no coding before HTTP/1.1 (RFC 9112 sections 6.1 to 6.3).
    pub(super) fn judge(self, http_1_1: bool) -> Result<Framed, Unframed> {
        match (self.length, self.coding) {
            _ if self.doubtful => Err(Unframed::Ambiguous),
            (None, None) => Ok(Framed::Unsaid),
            (Some(length), None) => Ok(Framed::Length(length)),
            (None, Some(Coding::Chunked)) if http_1_1 => Ok(Framed::Chunked),
            (None, Some(Coding::Stacked)) if http_1_1 => Err(Unframed::UnknownCoding),
            _ => Err(Unframed::Ambiguous),
        }
    }
}

/// A length in its one canonical spelling. 18 digits are more than any body has and less than overflows.
fn length(value: &[u8]) -> Option<u64> {
    let canonical = value == b"0" || (!value.is_empty() && value.len() <= 18 && value[0] != b'0');
    if !canonical || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

fn coding(value: &[u8]) -> Option<Coding> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Some(Coding::Chunked);
    }
    let mut codings = value.rsplit(|octet| *octet == b',').map(trim);
    let last = codings.next()?.eq_ignore_ascii_case(b"chunked");
    let others = codings.all(|coding| is_token(coding) && !coding.eq_ignore_ascii_case(b"chunked"));
    (last && others).then_some(Coding::Stacked)
}

/// Whether a list has this member; a value that is no text is no list.
pub(super) fn lists(value: &[u8], member: &[u8]) -> bool {
    value.is_ascii() && value.split(|octet| *octet == b',').any(|found| trim(found).eq_ignore_ascii_case(member))
}

/// What is wrong with a head that is not clear.
pub(super) const UNCLEAR: Flaw = "the head has a control character";

/// Lines whose ends are kept room for between heads.
const ROOM: usize = 64;

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut i = 0;
    while i < allowed.len() {
        table[allowed[i] as usize] = true;
        i += 1;
    }
    table
};
