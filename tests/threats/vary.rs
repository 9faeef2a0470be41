//! Variants of a head that mean the same: letter case of names, blanks around values, order of fields.

use crate::corpus::Vary;

/// A name, and what is done to the field lines.
type Change = (&'static str, fn(&mut Vec<Vec<u8>>));

/// The octets as they are, and in every variant, each with its name.
pub(crate) fn variants(octets: &[u8], ways: &[Vary]) -> Vec<(String, Vec<u8>)> {
    let mut variants = vec![("as written".to_owned(), octets.to_vec())];
    for way in ways {
        let changes: &[Change] = match way {
            Vary::Case => &[
                ("upper case", |lines| names(lines, |_, octet| octet.to_ascii_uppercase())),
                ("lower case", |lines| names(lines, |_, octet| octet.to_ascii_lowercase())),
                ("mixed case", |lines| {
                    names(
                        lines,
                        |at, octet| {
                            if at % 2 == 0 { octet.to_ascii_lowercase() } else { octet.to_ascii_uppercase() }
                        },
                    );
                }),
            ],
            Vary::Blanks => &[
                ("no blank", |lines| blanks(lines, "", "")),
                ("two blanks", |lines| blanks(lines, "  ", "")),
                ("tabs", |lines| blanks(lines, "\t", "\t")),
                ("blanks behind", |lines| blanks(lines, " ", "  ")),
            ],
            Vary::Order => &[("other order", |lines| lines.reverse()), ("rotated", |lines| lines.rotate_left(1))],
        };
        for (name, change) in changes {
            variants.push(((*name).to_owned(), changed(octets, change)));
        }
    }
    variants.dedup_by(|one, other| one.1 == other.1);
    variants
}

/// With the field lines of the first head changed.
fn changed(octets: &[u8], change: &dyn Fn(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n").expect("what is varied has a whole head");
    let head = String::from_utf8_lossy(&octets[..end]);
    let mut lines: Vec<Vec<u8>> = head.split("\r\n").map(|line| line.as_bytes().to_vec()).collect();
    let first = lines.remove(0);
    change(&mut lines);
    lines.insert(0, first);
    [lines.join(&b"\r\n"[..]), octets[end..].to_vec()].concat()
}

fn names(lines: &mut [Vec<u8>], letter: impl Fn(usize, u8) -> u8) {
    for line in lines {
        let colon = line.iter().position(|octet| *octet == b':').unwrap_or(line.len());
        for (at, octet) in line[..colon].iter_mut().enumerate() {
            *octet = letter(at, *octet);
        }
    }
}

fn blanks(lines: &mut [Vec<u8>], before: &str, behind: &str) {
    for line in lines {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
        let value = String::from_utf8_lossy(&line[colon + 1..]).trim_start_matches(' ').to_owned();
        line.truncate(colon + 1);
        line.extend(format!("{before}{value}{behind}").into_bytes());
    }
}
