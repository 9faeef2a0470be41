//! The gate for responses: the same verdict however the octets come; what passes is to another parser the one answer that
//! was asked for, with exactly its body.

use std::sync::Arc;

use super::pieces;
use super::reading::{self, Body, Chunked, Head};
use super::sift::{Sifted, agree, sift};
use crate::gate::Sieve;
use crate::gate::response::{Asked, Line, Responses};
use crate::observe::metrics::WorkerMetrics;

/// How to cut and what was asked, then what an upstream sends.
pub fn response_gate(octets: &[u8]) {
    let [seed, asked, octets @ ..] = octets else { return };
    let asked = [Asked::Plain, Asked::Head, Asked::Upgrade, Asked::Nothing][usize::from(*asked % 4)];
    let line = || {
        let line = Arc::<Line>::default();
        line.ask(asked);
        line.sent();
        line
    };
    let most = if seed >> 7 == 0 { 64 * 1024 } else { 128 };
    let sieve = |line: &Arc<Line>| Sieve::new(Responses::new(line.clone(), Arc::<WorkerMetrics>::default(), most));
    let lines = [line(), line()];
    let whole = sift(sieve(&lines[0]), std::iter::once(octets));
    let cut = sift(sieve(&lines[1]), pieces(seed & 0x7f, octets));
    agree(&whole, &cut);
    for (sifted, line) in [(whole, &lines[0]), (cut, &lines[1])] {
        let ended = read(&sifted, octets, asked);
        assert_eq!(line.is_clean(), ended || asked == Asked::Nothing, "whether anything is owed");
    }
}

/// Reads what passed once more; whether the answer came to its end and the connection may be lent again.
fn read(sifted: &Sifted<Responses>, sent: &[u8], asked: Asked) -> bool {
    let passed = &sifted.passed[..];
    if passed.is_empty() {
        assert_eq!(sifted.sieve.messages(), 0);
        return false;
    }
    assert_ne!(asked, Asked::Nothing);
    assert_eq!(sifted.sieve.messages(), 1);
    let mut sent = sent;
    for number in 0.. {
        let head = Head::at(sent);
        let (status, _) = reading::response(sent, &head);
        if status >= 200 || status == 101 {
            break;
        }
        assert!(number < 10, "more interim answers than a client waits for");
        sent = &sent[head.length..];
    }
    assert!(sent.starts_with(passed), "what passes is what was sent");
    let head = Head::at(passed);
    let (status, http_1_1) = reading::response(passed, &head);
    let body = &passed[head.length..];
    let framing = reading::framing(&head, http_1_1);
    match (status, framing) {
        (101, _) => {
            assert_eq!(asked, Asked::Upgrade);
            false
        }
        (204 | 304, _) => ends(body, 0),
        _ if asked == Asked::Head => ends(body, 0),
        (_, Body::Unsaid) => false,
        (_, Body::Length(length)) => ends(body, length),
        (_, Body::Chunked) => match reading::chunks(body) {
            Chunked::Whole(length, _) => ends(body, length as u64),
            Chunked::Partial(_) => false,
            Chunked::Broken => panic!("a broken body passes"),
        },
    }
}

/// Whether a body of this length is whole; more than that must not pass.
fn ends(body: &[u8], length: u64) -> bool {
    assert!(body.len() as u64 <= length, "more than the body passes");
    body.len() as u64 == length
}
