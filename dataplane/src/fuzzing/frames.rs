//! HTTP/2 frames followed by their headers: the same counts however they come, and those of a walk from frame to frame.

use super::pieces;
use crate::protocol::frames::{BURST, Frames};

/// How to cut, then what a client sends behind the preface.
pub fn frames(octets: &[u8]) {
    let Some((&seed, octets)) = octets.split_first() else { return };
    let wire = [&[0; 24], octets].concat();
    let whole = follow(std::iter::once(&wire[..]));
    let cut = follow(pieces(seed, &wire));
    assert_eq!(whole, cut, "cutting changes the counts");
    assert_eq!(whole, walk(octets));
}

/// Control frames, header blocks that ended, and whether one is under way.
type Counts = (u32, u32, bool);

fn follow<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Counts {
    let (mut frames, mut turn, mut heads) = (Frames::new(), 0, 0);
    for mut piece in pieces {
        while !piece.is_empty() {
            let taken = frames.follow(piece);
            piece = &piece[taken..];
            assert!(frames.is_burst() || piece.is_empty(), "stops without a burst");
            assert!(frames.heads() <= BURST);
            if frames.is_burst() {
                heads += frames.heads();
                turn += 1;
                frames.turn(turn);
            }
        }
    }
    (frames.count(), heads + frames.heads(), frames.in_head())
}

/// RFC 9113 section 4.1: length, type, flags, stream.
fn walk(mut octets: &[u8]) -> Counts {
    let (mut count, mut heads, mut block) = (0, 0, false);
    while let [a, b, c, kind, flags, _, _, _, _, payload @ ..] = octets {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let carries = match kind {
            0 => length > 0 || flags & 1 == 1,
            1 | 8 => true,
            9 => length > 0,
            _ => false,
        };
        count += u32::from(!carries);
        block = *kind == 1 || *kind == 9 && block;
        let Some(rest) = payload.get(length..) else { break };
        octets = rest;
        if block && flags & 4 == 4 {
            heads += 1;
            block = false;
        }
    }
    (count, heads, block)
}
