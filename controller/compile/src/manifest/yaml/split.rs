//! Cuts a text into pieces that can be read one by one, so that a broken document hides no other.
//!
//! A line that starts with `---` or `...` ends a document wherever it stands (YAML 1.2.2 section 9.1.2: neither may
//! occur inside one, quoted and block scalars included), so cutting there needs no understanding of the rest.
//! Directives (`%...`) stay with the document that they are for.

/// A run of whole lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk<'t> {
    pub(super) text: &'t str,
    /// How many lines of the file come before.
    pub(super) lines_before: u32,
}

/// The chunks of `text`, in order; together they are the whole text.
pub(super) fn chunks(text: &str) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = text;
    let mut lines_before = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = chunk_end(rest);
        let (text, after) = rest.split_at(end);
        let chunk = Chunk { text, lines_before };
        lines_before += line_breaks(text);
        rest = after;
        Some(chunk)
    })
}

/// Where the first chunk of `text` ends: before the second document, or after an end marker.
fn chunk_end(text: &str) -> usize {
    let mut at = 0;
    let mut only_prologue = true;
    for line in text.split_inclusive('\n') {
        if marks(line, "---") {
            if !only_prologue {
                return at;
            }
            only_prologue = false;
        } else if marks(line, "...") {
            return at + line.len();
        } else if !line.trim_ascii().is_empty() && !line.starts_with(['#', '%', '\u{feff}']) {
            only_prologue = false;
        }
        at += line.len();
    }
    at
}

fn marks(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn line_breaks(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let breaks = bytes
        .iter()
        .enumerate()
        .filter(|(at, byte)| **byte == b'\n' || (**byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')))
        .count();
    u32::try_from(breaks).unwrap_or(u32::MAX)
}
