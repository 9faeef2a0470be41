//! How answers are written for people: text in, text out, no world.

pub(crate) mod diagnostics;
pub(crate) mod explain;
pub(crate) mod routes;
#[cfg(test)]
mod tests;

/// A number with its noun in the right form: `1 route`, `2 routes`.
fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}
