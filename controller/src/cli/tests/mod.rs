//! The command line as a whole: refusals, and the documents that are checked against the program.

mod examples;
mod readme;
mod refusals;

use std::path::{Path, PathBuf};

use clap::FromArgMatches;

use super::args::{Cli, Command, command};

/// The top of the source tree.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The command that these words ask for.
fn parse(words: &[&str]) -> Command {
    let words = std::iter::once("portico").chain(words.iter().copied());
    let matches = command().try_get_matches_from(words).unwrap_or_else(|error| panic!("{error}"));
    Cli::from_arg_matches(&matches).unwrap().command
}

/// Whether the documents are to be written instead of checked.
fn update(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}
