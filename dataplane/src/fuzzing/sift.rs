//! What passes the gate, whole and in pieces.

use tokio::io::ReadBuf;

use crate::gate::{Judge, Sieve};

/// What came of octets.
#[derive(Debug)]
pub(super) struct Sifted<J: Judge> {
    pub(super) passed: Vec<u8>,
    pub(super) fault: Option<J::Fault>,
    pub(super) sieve: Sieve<J>,
}

/// Feeds a sieve until it finds a fault. What lies in a buffer already is left as it is.
pub(super) fn sift<'a, J: Judge>(mut sieve: Sieve<J>, pieces: impl Iterator<Item = &'a [u8]>) -> Sifted<J> {
    let mut passed = Vec::new();
    let mut fault = None;
    for (number, piece) in pieces.enumerate() {
        let before = number % 3;
        let mut memory = vec![0; before + piece.len()];
        let mut buffer = ReadBuf::new(&mut memory);
        buffer.put_slice(&b"##"[..before]);
        buffer.put_slice(piece);
        sieve.take(&mut buffer, before);
        let filled = buffer.filled().strip_prefix(&b"##"[..before]).expect("what was there stays");
        passed.extend_from_slice(filled);
        give(&mut sieve, &mut passed);
        if let Some(found) = sieve.fault() {
            assert!(sieve.is_shut());
            fault = Some(found.why);
            break;
        }
    }
    Sifted { passed, fault, sieve }
}

/// Takes out what lies ready.
pub(super) fn give<J: Judge>(sieve: &mut Sieve<J>, passed: &mut Vec<u8>) {
    let mut memory = [0; 61];
    let mut buffer = ReadBuf::new(&mut memory);
    while sieve.give(&mut buffer) {
        passed.extend_from_slice(buffer.filled());
        buffer.clear();
    }
}

/// The same octets must be judged alike however they come. What is refused may be refused later in pieces, when a part of
/// it was in order; the reason may be another one, when there are several.
pub(super) fn agree<J: Judge>(whole: &Sifted<J>, cut: &Sifted<J>) {
    assert_eq!(whole.fault.is_some(), cut.fault.is_some(), "refused in one way only");
    assert!(cut.passed.starts_with(&whole.passed), "what passes depends on how it comes");
    if whole.fault.is_none() {
        assert_eq!(cut.passed.len(), whole.passed.len());
        assert_eq!(cut.sieve.held(), whole.sieve.held());
        assert_eq!(cut.sieve.messages(), whole.sieve.messages());
        assert_eq!(cut.sieve.at_head(), whole.sieve.at_head());
        assert_eq!(cut.sieve.holds(), whole.sieve.holds());
    }
}
