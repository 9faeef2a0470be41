//! What the text of files may and may not hold.

use crate::{settle, tree};

/// Source of programs.
pub(crate) const SOURCE: &[&str] = &[".rs", ".go", ".py"];
/// Everything that people write.
const WRITTEN: &[&str] = &[".rs", ".go", ".py", ".toml", ".md", ".yaml", ".yml", ".txt", ".json", "/run", ".justfile"];

/// Never in Rust code; written in two halves, so that this file may be read like any other.
const NEVER: &[(&str, &str)] = &[
    ("to", "do!("),
    ("unim", "plemented!("),
    ("db", "g!("),
    ("#[ig", "nore"),
    ("#[should_", "panic"),
    ("thread::", "sleep"),
    ("allow(dead", "_code)"),
    ("allow(un", "used"),
];

#[test]
fn nothing_is_left_for_later() {
    let mut offences = Vec::new();
    for file in tree::files(&[".rs"]) {
        for (number, line) in file.text.lines().enumerate() {
            for (head, tail) in NEVER {
                if line.contains(&format!("{head}{tail}")) {
                    offences.push(format!("{}:{}: {head}{tail}", file.path, number + 1));
                }
            }
        }
    }
    settle("no placeholders, skipped tests, fixed pauses or silenced dead code", &offences);
}

#[test]
fn every_module_says_what_it_is() {
    let silent = |file: &tree::File| !file.text.starts_with("//!");
    let offences: Vec<_> = tree::files(&[".rs"]).into_iter().filter(silent).map(|file| file.path).collect();
    settle("every Rust file opens with a //! doc", &offences);
}

#[test]
fn no_trailing_whitespace() {
    let mut offences = Vec::new();
    for file in tree::files(WRITTEN) {
        for (number, line) in file.text.lines().enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                offences.push(format!("{}:{}", file.path, number + 1));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            offences.push(format!("{}: no line end at the end", file.path));
        }
    }
    settle("lines end where their text ends", &offences);
}
