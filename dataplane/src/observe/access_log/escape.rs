//! Foreign octets made harmless: no control character, no broken UTF-8, no more than [`LONGEST`] octets.
//!
//! The same escapes serve JSON strings (RFC 8259 section 7) and the quoted values of a text line.

use std::fmt;
use std::io::Write;

/// Takes formatted text and appends it escaped; the limit holds for each piece, and pieces are few.
pub(super) struct Escaping<'o>(pub(super) &'o mut Vec<u8>);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escaped(self.0, text.as_bytes());
        Ok(())
    }
}

/// Appends `value` escaped, without quotes, cut with `…` where it would take more than [`LONGEST`] octets.
pub(super) fn escaped(out: &mut Vec<u8>, value: &[u8]) {
    let end = out.len() + LONGEST - CUT.len();
    for chunk in value.utf8_chunks() {
        let replaced = if chunk.invalid().is_empty() { "" } else { "\u{fffd}" };
        for character in chunk.valid().chars().chain(replaced.chars()) {
            let before = out.len();
            escape(out, character);
            if out.len() > end {
                out.truncate(before);
                out.extend_from_slice(CUT.as_bytes());
                return;
            }
        }
    }
}

fn escape(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        ' '..='~' => out.push(character as u8),
        // All of these are below U+10000: one escape each.
        _ if unsafe_to_show(character) => {
            write!(out, "\\u{:04x}", u32::from(character)).expect("writing to a vector cannot fail");
        }
        _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Controls (C0, DEL, C1), line separators, and what turns the direction of text.
fn unsafe_to_show(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
}

/// Longest value in octets, escapes included, quotes not.
pub(crate) const LONGEST: usize = 2048;
/// Stands for what was cut.
const CUT: &str = "…";
