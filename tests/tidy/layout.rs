//! What lies where and how long it is.

use crate::tree::{self, File};
use crate::{settle, text};

/// Everything at the top of the checkout; builds add `target`, Git adds `.git`.
const TOP: &[&str] = &[
    ".ci",
    ".clippy.toml",
    ".deny.toml",
    ".gitignore",
    ".justfile",
    ".rustfmt.toml",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "controller",
    "dataplane",
    "deploy",
    "examples",
    "shared",
    "tests",
];

/// Longest source file, in lines.
const HARD_CAP: usize = 600;
/// Longest median of the Rust files, in lines.
const MEDIAN_CAP: usize = 150;

#[test]
fn the_top_level_is_the_designs() {
    let mut names = tree::names(&tree::root());
    names.retain(|name| !matches!(name.as_str(), "target" | ".git"));
    assert_eq!(names, TOP);
}

#[test]
fn no_source_file_is_too_long() {
    let long = |file: File| {
        let lines = file.text.lines().count();
        (lines > HARD_CAP).then(|| format!("{} has {lines} lines", file.path))
    };
    let offences: Vec<_> = tree::files(text::SOURCE).into_iter().filter_map(long).collect();
    settle("no source file is longer than 600 lines", &offences);
}

#[test]
fn the_median_file_is_short() {
    let mut lengths: Vec<_> = tree::files(&[".rs"]).iter().map(|file| file.text.lines().count()).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= MEDIAN_CAP, "the median Rust file has {median} lines, more than {MEDIAN_CAP}");
}
