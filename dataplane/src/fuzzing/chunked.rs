//! Chunked bodies on their way through: what passes decodes to what another decoder finds, what does not is broken to it as
//! well, and what is encoded in order always passes.

use super::reading::{Chunked, chunks};
use super::sift::{Sifted, agree, sift};
use super::{Choices, pieces};
use crate::config::Limits;
use crate::gate::Sieve;
use crate::gate::request::Requests;

/// How to cut, then a chunked body, and once more a payload to be chunked.
pub fn chunked(octets: &[u8]) {
    let Some((&seed, octets)) = octets.split_first() else { return };
    let (passed, fault) = through(seed, octets);
    match (chunks(octets), fault) {
        (Chunked::Whole(length, payload), _) => {
            let body = passed.get(..length).expect("the body passes");
            assert_eq!(chunks(body), Chunked::Whole(length, payload));
        }
        (Chunked::Partial(_), false) => assert_eq!(passed, octets),
        // A line may be broken before its end is seen.
        (Chunked::Partial(_), true) | (Chunked::Broken, true) => {}
        (Chunked::Broken, false) => panic!("a broken body passes"),
    }
    let mut choices = Choices(octets);
    let (wire, payload) = encode(&mut choices);
    let (passed, fault) = through(seed, &wire);
    assert!(passed == wire && !fault, "what is in order is refused: {}", wire.escape_ascii());
    assert_eq!(chunks(&wire), Chunked::Whole(wire.len(), payload));
}

/// What of a body passes behind a head, and whether anything is refused.
fn through(seed: u8, body: &[u8]) -> (Vec<u8>, bool) {
    let sieve = || {
        let head = sift(Sieve::new(Requests::new(&Limits::default())), std::iter::once(HEAD));
        assert!(head.passed == HEAD && head.fault.is_none());
        head.sieve
    };
    let whole = sift(sieve(), std::iter::once(body));
    let cut = sift(sieve(), pieces(seed, body));
    agree(&whole, &cut);
    let Sifted { passed, fault, .. } = cut;
    (passed, fault.is_some())
}

/// A payload in chunks, with extensions and trailers.
fn encode(choices: &mut Choices<'_>) -> (Vec<u8>, Vec<u8>) {
    let (mut wire, mut payload) = (Vec::new(), Vec::new());
    for _ in 0..choices.octet() % 8 {
        let data = choices.octets();
        if data.is_empty() {
            break;
        }
        let extension = ["", ";", ";a=b", "; a=\"b;\t\"", ";\u{e9}"][usize::from(choices.octet() % 5)];
        let size = if choices.flag() { format!("{:X}", data.len()) } else { format!("0{:x}", data.len()) };
        wire.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
        wire.extend_from_slice(data);
        wire.extend_from_slice(b"\r\n");
        payload.extend_from_slice(data);
    }
    wire.extend_from_slice(if choices.flag() { b"000;x\r\n" } else { b"0\r\n" });
    for _ in 0..choices.octet() % 4 {
        wire.extend_from_slice(["X: 1\r\n", "x:\r\n", "Y: \u{e9}\t \r\n"][usize::from(choices.octet() % 3)].as_bytes());
    }
    wire.extend_from_slice(b"\r\n");
    (wire, payload)
}

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
