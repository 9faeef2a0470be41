//! Follows HTTP/2 frames as they pass: control frames are counted, because they are cheap for the client to send and
//! limited by nobody else; header blocks are seen to begin and end, because a slow one is a slow head.

use std::time::Duration;

use tokio::time::Instant;

/// Follows the frames of one connection by their headers (RFC 9113 section 4.1).
///
/// DATA, HEADERS, CONTINUATION and WINDOW_UPDATE carry requests and are limited elsewhere; everything else counts,
/// unknown types too.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Octets of the preface or of a frame's payload that are still to come.
    skip: u64,
    header: [u8; HEADER],
    filled: usize,
    count: u32,
    since: Instant,
    /// Whether the frame now on its way belongs to a header block, and whether it ends it.
    block: bool,
    last: bool,
}

impl Frames {
    /// For a connection from its first octet.
    pub(crate) fn new() -> Self {
        Self {
            skip: PREFACE,
            header: [0; HEADER],
            filled: 0,
            count: 0,
            since: Instant::now(),
            block: false,
            last: false,
        }
    }

    /// Whether a header block has begun and not ended: a request head on its way.
    pub(crate) fn in_head(&self) -> bool {
        self.block && (self.skip > 0 || !self.last)
    }

    /// Takes in what was read; true when there were too many control frames of late.
    pub(crate) fn flooded(&mut self, mut octets: &[u8]) -> bool {
        let before = self.count;
        while !octets.is_empty() {
            let skipped = octets.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= skipped as u64;
            octets = &octets[skipped..];
            let taken = octets.len().min(HEADER - self.filled);
            self.header[self.filled..self.filled + taken].copy_from_slice(&octets[..taken]);
            self.filled += taken;
            octets = &octets[taken..];
            if self.filled == HEADER {
                self.filled = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = u64::from(u32::from_be_bytes([0, a, b, c]));
                match kind {
                    HEADERS => self.block = true,
                    CONTINUATION => {}
                    _ => self.block = false,
                }
                self.last = flags & END_HEADERS != 0;
                self.count += u32::from(!matches!(kind, DATA | HEADERS | WINDOW_UPDATE | CONTINUATION));
            }
        }
        if self.count == before {
            return false;
        }
        if self.since.elapsed() > WINDOW {
            self.since = Instant::now();
            self.count -= before;
        }
        self.count > MOST
    }
}

/// Length of the connection preface.
const PREFACE: u64 = 24;
/// Length of a frame header.
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// Most control frames within [`WINDOW`].
const MOST: u32 = 10_000;
const WINDOW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        frame.resize(HEADER + usize::from(length), 0);
        frame
    }

    #[tokio::test(start_paused = true)]
    async fn only_control_frames_count_however_they_are_cut() {
        for piece in [1, 7, 4096] {
            let mut frames = Frames::new();
            let mut wire = vec![0; 24];
            for _ in 0..MOST {
                wire.extend(frame(DATA, 100));
                wire.extend(frame(6, 8));
            }
            assert!(!wire.chunks(piece).any(|octets| frames.flooded(octets)), "{piece}");
            assert!(frames.flooded(&frame(0xbe, 3)), "{piece}: one more, of an unknown type");
        }
    }

    #[test]
    fn a_head_is_under_way_until_its_block_ends() {
        let mut frames = Frames::new();
        let mut feed = |octets: &[u8]| {
            frames.flooded(octets);
            frames.in_head()
        };
        assert!(!feed(&[0; 24]));
        let mut head = frame(HEADERS, 2);
        assert!(feed(&head), "END_HEADERS is not set");
        head[3] = CONTINUATION;
        head[4] = END_HEADERS;
        assert!(feed(&head[..10]), "an octet is missing");
        assert!(!feed(&head[10..]));
        assert!(!feed(&frame(6, 8)));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_ones_are_no_flood() {
        let mut frames = Frames::new();
        assert!(!frames.flooded(&[0; 24]));
        for _ in 0..MOST * 3 {
            tokio::time::advance(Duration::from_millis(2)).await;
            assert!(!frames.flooded(&frame(6, 8)));
        }
    }
}
