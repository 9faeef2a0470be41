//! README.md lists the flags as they are. `UPDATE_README=1` writes the list anew.

use std::fs;

use super::{root, update};
use crate::cli::reference;

const BEGIN: &str = "<!-- flags:begin -->\n";
const END: &str = "<!-- flags:end -->";

#[test]
fn the_table_of_flags_is_fresh() {
    let path = root().join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("README.md has the mark where the flags begin");
    let (_, after) = rest.split_once(END).expect("README.md has the mark where the flags end");
    let fresh = format!("{before}{BEGIN}{}\n{END}{after}", reference::flags());
    if update("UPDATE_README") {
        fs::write(&path, &fresh).unwrap();
    } else {
        assert!(text == fresh, "the flags in README.md are not those of the program: UPDATE_README=1 writes them anew");
    }
}
