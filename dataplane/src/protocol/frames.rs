//! Follows HTTP/2 frames as they pass: control frames are counted, because they are cheap for the client to send and
//! limited by nobody else; header blocks are seen to begin and end, because a slow one is a slow head, and because a few
//! octets of many can become much memory at once.

use std::time::Duration;

use tokio::time::Instant;

/// Follows the frames of one connection by their headers (RFC 9113 section 4.1).
///
/// DATA, HEADERS, CONTINUATION and WINDOW_UPDATE carry requests and are limited elsewhere; everything else counts:
/// unknown types too, and DATA and CONTINUATION that carry nothing.
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
    /// Header blocks that ended in this turn of the connection's task.
    heads: u32,
    turn: u32,
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
            heads: 0,
            turn: 0,
        }
    }

    /// Tells the turn. In a new one those who process heads have had theirs.
    pub(crate) fn turn(&mut self, turn: u32) {
        if turn != self.turn {
            self.turn = turn;
            self.heads = 0;
        }
    }

    /// Whether so many heads have passed that they must be processed before more.
    pub(crate) fn is_burst(&self) -> bool {
        self.heads >= BURST
    }

    /// Whether there were too many control frames of late.
    pub(crate) fn flooded(&self) -> bool {
        self.count > MOST
    }

    /// Whether a header block has begun and not ended: a request head on its way.
    pub(crate) fn in_head(&self) -> bool {
        self.block && (self.skip > 0 || !self.last)
    }

    /// Control frames of late.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Header blocks that ended in this turn.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn heads(&self) -> u32 {
        self.heads
    }

    /// Takes in what was read, up to the end of a burst of heads; how many octets that are.
    pub(crate) fn follow(&mut self, read: &[u8]) -> usize {
        let (before, mut octets) = (self.count, read);
        while !octets.is_empty() && !self.is_burst() {
            if self.skip > 0 {
                let skipped = octets.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                self.skip -= skipped as u64;
                octets = &octets[skipped..];
            } else {
                let taken = octets.len().min(HEADER - self.filled);
                self.header[self.filled..self.filled + taken].copy_from_slice(&octets[..taken]);
                self.filled += taken;
                octets = &octets[taken..];
                if self.filled == HEADER {
                    self.begin();
                }
            }
            if self.skip == 0 && self.filled == 0 && self.block && self.last {
                self.block = false;
                self.heads += 1;
            }
        }
        if self.count != before && self.since.elapsed() > WINDOW {
            self.since = Instant::now();
            self.count -= before;
        }
        read.len() - octets.len()
    }

    /// A frame begins, whose header is whole.
    fn begin(&mut self) {
        self.filled = 0;
        let [a, b, c, kind, flags, ..] = self.header;
        self.skip = u64::from(u32::from_be_bytes([0, a, b, c]));
        match kind {
            HEADERS => self.block = true,
            CONTINUATION => {}
            _ => self.block = false,
        }
        self.last = flags & END_HEADERS != 0;
        let idle = match kind {
            DATA => self.skip == 0 && flags & END_STREAM == 0,
            CONTINUATION => self.skip == 0,
            HEADERS | WINDOW_UPDATE => false,
            _ => true,
        };
        self.count += u32::from(idle);
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
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Heads that pass before they are processed: what they become in memory is up to 100 times what they were on the wire.
pub(crate) const BURST: u32 = 16;
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
            for octets in wire.chunks(piece) {
                assert_eq!(frames.follow(octets), octets.len());
            }
            assert!(!frames.flooded(), "{piece}");
            frames.follow(&frame(0xbe, 3));
            assert!(frames.flooded(), "{piece}: one more, of an unknown type");
        }
    }

    #[test]
    fn empty_frames_of_other_kinds_count_as_well() {
        for (kind, flags, counts) in
            [(DATA, 0, true), (DATA, END_STREAM, false), (CONTINUATION, 0, true), (HEADERS, 0, false)]
        {
            let mut frames = Frames::new();
            frames.follow(&[0; 24]);
            let mut empty = frame(kind, 0);
            empty[4] = flags;
            frames.follow(&empty.repeat(MOST as usize + 1));
            assert_eq!(frames.flooded(), counts, "{kind} {flags}");
        }
    }

    #[test]
    fn a_burst_of_heads_is_cut_behind_its_last_one() {
        let mut frames = Frames::new();
        frames.follow(&[0; 24]);
        let mut head = frame(HEADERS, 5);
        head[4] = END_HEADERS;
        let burst = BURST as usize * head.len();
        let mut wire = head.repeat(BURST as usize + 2);
        assert_eq!(frames.follow(&wire), burst);
        assert!(frames.is_burst() && frames.follow(&wire[burst..]) == 0);
        frames.turn(1);
        assert_eq!(frames.follow(&wire.split_off(burst)), 2 * head.len());
        assert!(!frames.is_burst());
    }

    #[test]
    fn a_head_is_under_way_until_its_block_ends() {
        let mut frames = Frames::new();
        let mut feed = |octets: &[u8]| {
            frames.follow(octets);
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
        frames.follow(&[0; 24]);
        for _ in 0..MOST * 3 {
            tokio::time::advance(Duration::from_millis(2)).await;
            frames.follow(&frame(6, 8));
            assert!(!frames.flooded());
        }
    }
}
