//! Rules of the tree that no compiler checks: who may depend on whom, how long files get, what the top level holds.
//!
//! Reads the checkout only. Every rule names all offenders at once.

mod crates;
mod examples;
mod layout;
mod text;
mod threats;
mod tree;

/// Fails with all `offences`, when there are any.
#[track_caller]
fn settle(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}
