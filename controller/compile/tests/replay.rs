//! The corpora of fuzzing once more.

#![allow(clippy::unwrap_used)]

mod arbitrary;
mod oracle;

use std::path::Path;

#[test]
fn corpora_are_replayed() {
    for (name, target) in [("manifest", oracle::manifest as fn(&[u8])), ("snapshot", oracle::snapshot)] {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name);
        let mut count = 0;
        for entry in std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display())) {
            let path = entry.unwrap().path();
            // Shown when the target panics.
            println!("{}", path.display());
            target(&std::fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{} is empty", corpus.display());
    }
}
