//! README.md lists the limits and the flags as they are. `UPDATE_README=1` writes the lists anew.

use std::fs;

use super::{root, update};
use crate::cli::reference;

#[test]
fn the_tables_of_limits_and_flags_are_fresh() {
    let path = root().join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let fresh = between(&between(&text, "limits", &reference::limits()), "flags", &reference::flags());
    if update("UPDATE_README") {
        fs::write(&path, &fresh).unwrap();
    } else {
        assert!(
            text == fresh,
            "README.md tells other limits or flags than the program has: UPDATE_README=1 writes them"
        );
    }
}

/// The text with what stands between two marks replaced.
fn between(text: &str, mark: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {mark}:begin -->\n"), format!("<!-- {mark}:end -->"));
    let (before, rest) = text.split_once(&begin).expect("README.md has the mark where the table begins");
    let (_, after) = rest.split_once(&end).expect("README.md has the mark where the table ends");
    format!("{before}{begin}{table}\n{end}{after}")
}
