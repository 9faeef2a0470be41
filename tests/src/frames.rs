//! HTTP/2 as frames: written by hand, so that they may be wrong, and read back as far as tests need.
//!
//! Header blocks are written without compression, as literals without indexing (RFC 7541 section 6.2.2). Of those that are
//! read only `:status` is understood: it comes first, and a table size of 0 keeps it from being indexed dynamically.

use tokio::io::AsyncReadExt as _;

use crate::PATIENCE;
use crate::stream::Stream;

/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 section 6).
pub mod kind {
    /// DATA.
    pub const DATA: u8 = 0;
    /// HEADERS.
    pub const HEADERS: u8 = 1;
    /// PRIORITY.
    pub const PRIORITY: u8 = 2;
    /// RST_STREAM.
    pub const RESET: u8 = 3;
    /// SETTINGS.
    pub const SETTINGS: u8 = 4;
    /// PING.
    pub const PING: u8 = 6;
    /// GOAWAY.
    pub const GOAWAY: u8 = 7;
    /// WINDOW_UPDATE.
    pub const WINDOW: u8 = 8;
    /// CONTINUATION.
    pub const CONTINUATION: u8 = 9;
}

/// END_STREAM of DATA and HEADERS; ACK of SETTINGS and PING.
pub const END_STREAM: u8 = 1;
/// END_HEADERS.
pub const END_HEADERS: u8 = 4;

/// A frame's octets.
///
/// # Panics
/// When the payload is longer than a frame can be.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a payload fits a frame").to_be_bytes();
    assert_eq!(length[0], 0, "a payload fits a frame");
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// One SETTINGS parameter.
#[must_use]
pub fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// The preface and settings of a client: no dynamic table towards it, no push.
#[must_use]
pub fn hello(more: &[(u16, u32)]) -> Vec<u8> {
    let mut settings = [setting(1, 0), setting(2, 0)].concat();
    for (name, value) in more {
        settings.extend(setting(*name, *value));
    }
    [PREFACE, &frame(kind::SETTINGS, 0, 0, &settings)].concat()
}

/// A field as a literal.
#[must_use]
pub fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        length(&mut field, text.len());
        field.extend_from_slice(text);
    }
    field
}

/// A length as an integer with a prefix of 7 bits (RFC 7541 section 5.1).
fn length(field: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        field.push(length as u8);
        return;
    }
    field.push(127);
    length -= 127;
    while length >= 128 {
        field.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    field.push(length as u8);
}

/// What became of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Status of its answer.
    pub status: Option<u16>,
    /// Octets of its answer's body.
    pub body: Vec<u8>,
    /// Whether the answer is whole.
    pub ended: bool,
    /// Code of RST_STREAM.
    pub reset: Option<u32>,
}

impl Fate {
    /// Whether nothing more is to come.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.ended || self.reset.is_some()
    }
}

/// Reads the frames of a connection.
#[derive(Debug)]
pub struct Frames {
    /// The connection, to write to.
    pub stream: Stream,
    buffer: Vec<u8>,
    /// Streams by number.
    pub fates: std::collections::BTreeMap<u32, Fate>,
    /// Code of GOAWAY.
    pub goaway: Option<u32>,
    /// PING answers.
    pub pongs: usize,
    /// Whether the connection has ended.
    pub closed: bool,
}

impl Frames {
    /// Over a connection on which nothing was read yet.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        let (buffer, fates) = (Vec::new(), std::collections::BTreeMap::new());
        Self { stream, buffer, fates, goaway: None, pongs: 0, closed: false }
    }

    /// Reads until `enough`, or the end of the connection.
    ///
    /// # Panics
    /// When neither comes within [`PATIENCE`].
    pub async fn read_until(&mut self, what: &str, enough: impl FnMut(&Self) -> bool) {
        let read = tokio::time::timeout(PATIENCE, self.read(enough)).await;
        assert!(read.is_ok(), "waited {PATIENCE:?} for {what}: {:?}, GOAWAY {:?}", self.fates, self.goaway);
    }

    /// The same without a limit of time.
    pub async fn read(&mut self, mut enough: impl FnMut(&Self) -> bool) {
        while !self.closed && !enough(self) {
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(1..) => while self.take() {},
                Ok(0) | Err(_) => self.closed = true,
            }
        }
    }

    /// What is known of a stream.
    #[must_use]
    pub fn fate(&self, stream: u32) -> Fate {
        self.fates.get(&stream).cloned().unwrap_or_default()
    }

    /// Takes a whole frame out of the buffer.
    fn take(&mut self) -> bool {
        let Some(head) = self.buffer.get(..9) else { return false };
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let number = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        if self.buffer.len() < 9 + length {
            return false;
        }
        let frame: Vec<u8> = self.buffer.drain(..9 + length).collect();
        let payload = &frame[9..];
        let code =
            |at: usize| payload.get(at..at + 4).map(|code| u32::from_be_bytes([code[0], code[1], code[2], code[3]]));
        match kind {
            kind::HEADERS => {
                let fate = self.fates.entry(number).or_default();
                // Trailers have no status.
                fate.status = fate.status.or_else(|| status(payload));
                fate.ended |= flags & END_STREAM != 0;
            }
            kind::DATA => {
                let fate = self.fates.entry(number).or_default();
                fate.body.extend_from_slice(payload);
                fate.ended |= flags & END_STREAM != 0;
            }
            kind::RESET => self.fates.entry(number).or_default().reset = code(0),
            kind::PING if flags & END_STREAM != 0 => self.pongs += 1,
            // The first says that there will be one.
            kind::GOAWAY => self.goaway = code(4),
            _ => {}
        }
        true
    }
}

/// The status at the beginning of a block.
fn status(mut block: &[u8]) -> Option<u16> {
    // Changes of the table's size come first (RFC 7541 section 6.3).
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        block = rest;
    }
    let (first, rest) = block.split_first()?;
    match first {
        0x88..=0x8e => Some([200, 204, 206, 304, 400, 404, 500][usize::from(first - 0x88)]),
        // A literal whose name is the static table's entry 8.
        0x48 | 0x08 | 0x18 => {
            let (length, rest) = rest.split_first()?;
            let value = rest.get(..usize::from(length & 0x7f))?;
            let text = if length & 0x80 == 0 { value.to_vec() } else { digits(value) };
            std::str::from_utf8(&text).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Digits in the static Huffman code (RFC 7541 appendix B): 0 to 2 have 5 bits, 3 to 9 have 6.
fn digits(coded: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = coded.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0_u8, |number, bit| number << 1 | bit);
    let (mut at, mut digits) = (0, Vec::new());
    while at + 5 <= bits.len() {
        let short = number(&bits[at..at + 5]);
        if short < 3 {
            digits.push(b'0' + short);
            at += 5;
            continue;
        }
        match bits.get(at..at + 6).map(number) {
            Some(long @ 0x19..=0x1f) => digits.push(b'3' + long - 0x19),
            _ => break,
        }
        at += 6;
    }
    digits
}
