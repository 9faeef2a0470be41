//! The files of the checkout, without what builds leave behind.

use std::path::{Path, PathBuf};

/// A text file of the tree.
pub(crate) struct File {
    /// Path from the root, with forward slashes.
    pub(crate) path: String,
    /// Content.
    pub(crate) text: String,
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the checkout").to_owned()
}

/// Every file whose name ends in one of these.
pub(crate) fn files(endings: &[&str]) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    visit(&root, &mut |path| {
        let name = path.strip_prefix(&root).expect("the walk begins at the root").to_string_lossy().into_owned();
        if endings.iter().any(|ending| name.ends_with(ending)) {
            let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
            found.push(File { path: name, text });
        }
    });
    assert!(!found.is_empty(), "no file ends in any of {endings:?}");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("entries can be read").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn visit(directory: &Path, found: &mut impl FnMut(&Path)) {
    for name in names(directory) {
        let path = directory.join(&name);
        let kind = path.symlink_metadata().expect("entries can be asked").file_type();
        if kind.is_dir() && !matches!(name.as_str(), "target" | ".git" | "artifacts") {
            visit(&path, found);
        } else if kind.is_file() {
            found(&path);
        }
    }
}
