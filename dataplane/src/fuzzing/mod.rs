//! Entry points for fuzzing: what reads foreign octets here, each beside an oracle that says whether it read them right.
//!
//! Built for tests and with the feature `fuzzing` only. An entry point takes any octets and panics exactly when the oracle
//! disagrees. The corpora lie in `tests/fuzz/corpus`; every test run replays them.

mod access_log;
mod chunked;
mod client_hello;
mod fields;
mod frames;
mod proxy_protocol;
mod reading;
mod request_gate;
mod request_head;
mod response_gate;
mod sift;

pub use access_log::access_log;
pub use chunked::chunked;
pub use client_hello::client_hello;
pub use fields::fields;
pub use frames::frames;
pub use proxy_protocol::proxy_protocol;
pub use request_gate::request_gate;
pub use request_head::request_head;
pub use response_gate::response_gate;

/// An entry point and the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every entry point of this crate.
pub const TARGETS: &[Target] = &[
    ("access_log", access_log),
    ("chunked", chunked),
    ("client_hello", client_hello),
    ("fields", fields),
    ("frames", frames),
    ("proxy_protocol", proxy_protocol),
    ("request_gate", request_gate),
    ("request_head", request_head),
    ("response_gate", response_gate),
];

/// Choices made by octets; when they run out, the first of each.
#[derive(Debug)]
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn flag(&mut self) -> bool {
        self.octet() & 1 == 1
    }

    /// Octets whose number comes first.
    fn octets(&mut self) -> &'a [u8] {
        let length = usize::from(self.octet()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}

/// Cuts octets as `seed` says: 0 each by itself, else into pieces of changing length.
fn pieces(seed: u8, mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed);
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(u32::from(seed));
        let most = 1 << (seed % 8);
        let length = (1 + (state >> 16) as usize % most).min(octets.len());
        let (piece, rest) = octets.split_at(length);
        octets = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    //! The corpora once more.

    use std::path::Path;

    #[test]
    fn corpora_are_replayed() {
        for (name, target) in super::TARGETS {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(name);
            let entries = std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
            let mut count = 0;
            for entry in entries {
                let path = entry.expect("entries can be read").path();
                // Shown when the target panics.
                println!("{}", path.display());
                target(&std::fs::read(&path).expect("files can be read"));
                count += 1;
            }
            assert!(count > 0, "{} is empty", corpus.display());
        }
    }
}
