//! Follows a chunked body to its end, octet by octet where it frames and in leaps where it does not.

use memchr::memchr;

use super::syntax::{Flaw, field};

/// Where in a chunked body (RFC 9112 section 7.1) the next octet belongs.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunks {
    at: Place,
    /// The size that is being read, then what is left of the chunk.
    size: u64,
    digits: u8,
    extensions: usize,
    /// The trailer line that is being read, and octets and lines of all of them.
    trailer: Vec<u8>,
    trailers: usize,
    fields: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    End,
}

impl Chunks {
    /// Takes what belongs to the body off the front: how many octets that are, and whether the body ends with them.
    pub(super) fn take(&mut self, octets: &[u8]) -> Result<(usize, bool), Flaw> {
        let mut at = 0;
        while at < octets.len() && self.at != Place::End {
            at += match self.at {
                Place::Data => self.data(octets.len() - at),
                Place::Trailer => self.trailer(&octets[at..])?,
                _ => self.step(octets[at]).map(|()| 1)?,
            };
        }
        Ok((at, self.at == Place::End))
    }

    fn data(&mut self, available: usize) -> usize {
        let taken = usize::try_from(self.size).unwrap_or(usize::MAX).min(available);
        self.size -= taken as u64;
        if self.size == 0 {
            self.at = Place::DataCr;
        }
        taken
    }

    fn step(&mut self, octet: u8) -> Result<(), Flaw> {
        self.at = match (self.at, octet) {
            (Place::Size, b'\r') if self.digits > 0 => Place::SizeLf,
            (Place::Size, b';') if self.digits > 0 => Place::Extension,
            (Place::Size, _) => {
                let digit = char::from(octet).to_digit(16).filter(|_| self.digits < MOST_DIGITS);
                self.size = self.size << 4 | u64::from(digit.ok_or("a chunk has no proper size")?);
                self.digits += 1;
                Place::Size
            }
            (Place::Extension, b'\r') => Place::SizeLf,
            (Place::Extension, b'\t' | 0x20..=0x7e | 0x80..) if self.extensions < MOST_EXTENSIONS => {
                self.extensions += 1;
                Place::Extension
            }
            (Place::SizeLf, b'\n') if self.size == 0 => Place::Trailer,
            (Place::SizeLf, b'\n') => Place::Data,
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => {
                self.digits = 0;
                Place::Size
            }
            (Place::Extension, _) => return Err("a chunk extension is broken or too long"),
            _ => return Err("a chunk does not end with CR LF"),
        };
        Ok(())
    }

    /// The next line of the trailers, as far as it has come; the empty one ends the body.
    fn trailer(&mut self, octets: &[u8]) -> Result<usize, Flaw> {
        let end = memchr(b'\n', octets);
        let taken = end.map_or(octets.len(), |end| end + 1);
        self.trailers += taken;
        if self.trailers > MOST_TRAILERS {
            return Err("the trailers are too large");
        }
        self.trailer.extend_from_slice(&octets[..taken]);
        if end.is_some() {
            let line = self.trailer.strip_suffix(b"\r\n").ok_or("a line ends without CR")?;
            if line.is_empty() {
                self.at = Place::End;
            } else {
                field(line)?;
                self.fields += 1;
                if self.fields > MOST_FIELDS {
                    return Err("there are too many trailers");
                }
            }
            self.trailer.clear();
        }
        Ok(taken)
    }
}

/// Digits of a chunk's size; more than a body ever has, and no overflow.
const MOST_DIGITS: u8 = 15;
/// Octets of all extensions of a body, one below what hyper refuses.
const MOST_EXTENSIONS: usize = 16 * 1024 - 2;
/// Octets of all trailers of a body, their ends included.
const MOST_TRAILERS: usize = 8 * 1024;
/// Trailer fields of a body.
const MOST_FIELDS: usize = 64;
