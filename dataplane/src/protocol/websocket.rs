//! Follows the frames that go to a WebSocket's client, to know when one of our own may come between (RFC 6455 section 5).
//!
//! Knows headers only; payloads pass unseen. Invariant: between two frames, and only there, [`Frames::may_close`] may hold.

/// The frames of one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; LONGEST_HEADER],
    filled: usize,
    /// Octets of the payload that are still to come.
    payload: u64,
    /// Whether the end has been said already.
    closed: bool,
}

impl Frames {
    /// Takes in what was written.
    pub(super) fn follow(&mut self, mut octets: &[u8]) {
        while let Some(&first) = octets.first() {
            if self.payload > 0 {
                let skipped = octets.len().min(usize::try_from(self.payload).unwrap_or(usize::MAX));
                self.payload -= skipped as u64;
                octets = &octets[skipped..];
                continue;
            }
            self.header[self.filled] = first;
            self.filled += 1;
            octets = &octets[1..];
            if self.filled == self.header_length() {
                self.begin();
            }
        }
    }

    /// Whether a frame that closes the WebSocket may be written now.
    pub(super) fn may_close(&self) -> bool {
        self.filled == 0 && self.payload == 0 && !self.closed
    }

    /// Length of the header, as far as it is known.
    fn header_length(&self) -> usize {
        if self.filled < 2 {
            return 2;
        }
        let extended = match self.header[1] & LENGTH {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & MASKED == 0 { 0 } else { 4 };
        2 + extended + mask
    }

    /// The header is whole: its payload follows.
    fn begin(&mut self) {
        let [_, length, a, b, c, d, e, f, g, h, ..] = self.header;
        self.payload = match length & LENGTH {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => short.into(),
        };
        self.closed |= self.header[0] & OPCODE == CLOSE;
        self.filled = 0;
    }
}

/// A frame that closes: the endpoint goes away (RFC 6455 section 7.4.1, code 1001).
pub(super) const GOING_AWAY: [u8; 4] = [0x80 | CLOSE, 2, 0x03, 0xe9];

const LONGEST_HEADER: usize = 14;
const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 8;
const LENGTH: u8 = 0x7f;
const MASKED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_between_frames_may_another_come() {
        let short = [vec![0x81, 3], b"abc".to_vec()].concat();
        let medium = [vec![0x02, 126, 1, 0], vec![7; 256]].concat();
        let long = [vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], vec![7; 65536]].concat();
        let masked = vec![0x89, 0x81, 1, 2, 3, 4, 9];
        let empty = vec![0x8a, 0];
        let mut frames = Frames::default();
        for frame in [short, medium, long, masked, empty] {
            assert!(frames.may_close());
            for (at, octet) in frame.iter().enumerate() {
                frames.follow(&[*octet]);
                assert_eq!(frames.may_close(), at + 1 == frame.len(), "{at} of {}", frame.len());
            }
        }
    }

    #[test]
    fn however_they_are_cut() {
        let frame = [vec![0x82, 126, 0x01, 0x2c], vec![7; 300]].concat();
        for piece in [1, 3, 64, 5000] {
            let mut frames = Frames::default();
            frame.repeat(5).chunks(piece).for_each(|octets| frames.follow(octets));
            assert!(frames.may_close(), "{piece}");
        }
    }

    #[test]
    fn nothing_comes_behind_the_end() {
        let mut frames = Frames::default();
        frames.follow(&GOING_AWAY);
        assert!(!frames.may_close());
    }
}
