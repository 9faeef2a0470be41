//! The gate for requests: the same verdict however the octets come; what passes is to another parser the same messages,
//! each with exactly its body; what stands in for a refused head passes itself.

use http::Uri;

use super::pieces;
use super::reading::{self, Body, Chunked, Head};
use super::sift::{Sifted, agree, give, sift};
use crate::config::Limits;
use crate::gate::Sieve;
use crate::gate::request::{Requests, stand_in};

/// How to cut, then what a client sends. The highest bit chooses limits that short heads break.
pub fn request_gate(octets: &[u8]) {
    let Some((&seed, octets)) = octets.split_first() else { return };
    let limits = match seed >> 7 {
        0 => Limits::default(),
        _ => Limits { head: 200, fields: 4, target: 40, method: 4, ..Limits::default() },
    };
    let sieve = || Sieve::new(Requests::new(&limits));
    let whole = sift(sieve(), std::iter::once(octets));
    let cut = sift(sieve(), pieces(seed & 0x7f, octets));
    agree(&whole, &cut);
    for sifted in [whole, cut] {
        if sifted.sieve.at_head() {
            assert!(sifted.sieve.held().len() <= limits.head, "a head that never ends is kept");
        }
        read(sifted, octets, &limits);
    }
    for standing in [stand_in(octets), stand_in(octets.get(2..).unwrap_or_default())] {
        let sifted = sift(Sieve::new(Requests::new(&Limits::default())), std::iter::once(&standing[..]));
        assert!(sifted.fault.is_none() && sifted.sieve.messages() == 1 && sifted.sieve.held().is_empty());
        assert_eq!(sifted.passed, standing);
        read(sifted, &standing, &Limits::default());
    }
}

/// Reads what passed once more, beside the octets that it came from.
fn read(mut sifted: Sifted<Requests>, sent: &[u8], limits: &Limits) {
    let (mut rest, mut sent, mut count) = (&sifted.passed[..], sent, 0);
    while !rest.is_empty() {
        count += 1;
        let head = Head::at(rest);
        let (method, target, http_1_1) = reading::request(rest, &head);
        assert!(head.length <= limits.head + 2 * limits.target && head.fields.len() <= limits.fields);
        assert!(method.len() <= limits.method && !["CONNECT", "PRI"].contains(&method), "{method}");
        // hyper parses the target with this and refuses what it cannot.
        let uri: Uri = target.parse().unwrap_or_else(|error| panic!("{target:?}: {error}"));
        assert!(target.starts_with('/') || uri.authority().is_some() || (method, target) == ("OPTIONS", "*"));
        let original = Head::at(sent.strip_prefix(b"\r\n").unwrap_or(sent));
        assert_eq!(head.first, escaped(original.first));
        assert_eq!(head.fields, original.fields);
        sent = &sent.strip_prefix(b"\r\n").unwrap_or(sent)[original.length..];
        rest = &rest[head.length..];
        let body = match reading::framing(&head, http_1_1) {
            Body::Unsaid if sifted.sieve.holds() && rest.is_empty() => {
                assert!(method == "GET" && http_1_1 && !head.values("upgrade").is_empty());
                0
            }
            Body::Unsaid => 0,
            Body::Length(length) => rest.len().min(usize::try_from(length).unwrap_or(usize::MAX)),
            Body::Chunked => match reading::chunks(rest) {
                Chunked::Whole(length, _) => length,
                Chunked::Partial(_) => rest.len(),
                Chunked::Broken => panic!("a broken body passes"),
            },
        };
        assert_eq!(rest[..body], sent[..body], "a body is changed");
        (rest, sent) = (&rest[body..], &sent[body..]);
    }
    assert_eq!(sifted.sieve.messages(), count, "another number of messages");
    if sifted.sieve.holds() {
        // Behind an upgrade everything belongs to the other protocol.
        let held = sifted.sieve.held().to_vec();
        let mut after = Vec::new();
        sifted.sieve.open();
        give(&mut sifted.sieve, &mut after);
        assert!(after == held && sent == after);
    }
}

/// A request line whose query is written as hyper reads it.
fn escaped(line: &[u8]) -> Vec<u8> {
    let query = line.iter().position(|octet| *octet == b'?').unwrap_or(line.len());
    let foreign = |octet: &u8| matches!(octet, b'"' | b'<' | b'>');
    if !line[query..].iter().any(foreign) && std::str::from_utf8(line).is_ok() {
        return line.to_vec();
    }
    let escape = |octet: &u8| match octet {
        b'"' | b'<' | b'>' | 0x80.. => format!("%{octet:02X}").into_bytes(),
        _ => vec![*octet],
    };
    [&line[..query], &line[query..].iter().flat_map(escape).collect::<Vec<_>>()].concat()
}
