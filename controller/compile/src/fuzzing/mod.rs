//! Entry points for fuzzing: what reads foreign text here, each beside an oracle that says whether it read it right.
//!
//! Built for tests and with the feature `fuzzing` only. An entry point takes any octets and panics exactly when the oracle
//! disagrees. The corpora lie in `tests/fuzz/corpus`; every test run replays them. What needs only what is public -
//! manifests, snapshots - is in `tests/oracle`.

mod annotation;
mod secret;

pub use annotation::annotation;
pub use secret::secret;

/// An entry point and the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every entry point of this crate.
pub const TARGETS: &[Target] = &[("annotation", annotation), ("secret", secret)];

#[cfg(test)]
mod tests {
    //! The corpora once more.

    use std::path::Path;

    #[test]
    fn corpora_are_replayed() {
        for (name, target) in super::TARGETS {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name);
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
