//! Entry points for fuzzing: what reads foreign text here, each beside an oracle that says whether it read it right.
//!
//! Built for tests and with the feature `fuzzing` only. An entry point takes any octets and panics exactly when the oracle
//! disagrees. The corpora lie in `tests/fuzz/corpus`; every test run replays them.

mod authority;
mod path;
pub(crate) mod table;

pub use authority::authority;
pub use path::path;
pub use table::table;

/// An entry point and the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every entry point of this crate.
pub const TARGETS: &[Target] = &[("authority", authority), ("path", path), ("table", table)];

/// Choices made by octets; when they run out, the first of each.
#[derive(Debug)]
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.octet()) % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Up to 15 octets; how many comes first.
    fn octets(&mut self) -> &'a [u8] {
        let length = self.below(16).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
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
