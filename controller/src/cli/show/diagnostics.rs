//! Diagnostics as a compiler prints them: what, where, the line, how to mend it.

use std::fmt::Write as _;

use super::count;
use crate::cli::paint::Paint;
use crate::view::Place;
use crate::view::diagnostics::DiagnosticView;

/// Writes every diagnostic; `line` gives the text of a place's line, `None` when it cannot be read.
pub(crate) fn diagnostics(all: &[DiagnosticView], paint: Paint, line: impl Fn(&Place) -> Option<String>) -> String {
    let mut out = String::new();
    for diagnostic in all {
        one(&mut out, diagnostic, paint, &line).expect("writing to a string never fails");
    }
    out
}

/// How many of each severity there are, as words: `1 error, 2 warnings`.
pub(crate) fn tally(all: &[DiagnosticView]) -> String {
    let words =
        [("error", "error"), ("warning", "warning"), ("info", "note")].into_iter().filter_map(|(severity, noun)| {
            let number = all.iter().filter(|it| it.severity == severity).count();
            (number > 0).then(|| count(number, noun))
        });
    words.collect::<Vec<_>>().join(", ")
}

fn one(
    out: &mut String,
    diagnostic: &DiagnosticView,
    paint: Paint,
    line: impl Fn(&Place) -> Option<String>,
) -> std::fmt::Result {
    let DiagnosticView { severity, code, object, field, location, message, hint } = diagnostic;
    let head = format!("{severity}[{code}]");
    let head = match severity.as_str() {
        "error" => paint.bad(head),
        "warning" => paint.doubtful(head),
        _ => paint.strong(head),
    };
    write!(out, "{head}: ")?;
    if let Some(object) = object {
        match object.namespace.as_str() {
            "" => write!(out, "{} {}: ", object.kind, object.name)?,
            namespace => write!(out, "{} {namespace}/{}: ", object.kind, object.name)?,
        }
    }
    if !field.is_empty() {
        write!(out, "{field}: ")?;
    }
    writeln!(out, "{}", paint.strong(message))?;
    let gutter = location.as_ref().map_or(1, |place| place.line.to_string().len());
    if let Some(place) = location {
        writeln!(out, "{:gutter$}{} {place}", "", paint.faint("-->"))?;
        // A Secret's line may hold a key, and what is printed here ends in other people's logs.
        let secret = object.as_ref().is_some_and(|object| object.kind == "Secret");
        if let Some(text) = Some(place).filter(|_| !secret).and_then(line) {
            quote(out, place, &text, gutter, paint)?;
        }
    }
    if let Some(hint) = hint {
        writeln!(out, "{:gutter$} {} hint: {hint}", "", paint.faint("="))?;
    }
    out.push('\n');
    Ok(())
}

/// The line with a caret below the column.
fn quote(out: &mut String, place: &Place, text: &str, gutter: usize, paint: Paint) -> std::fmt::Result {
    let bar = paint.faint("|");
    let before = usize::try_from(place.column).unwrap_or(1).saturating_sub(1);
    // Tabs stay tabs below the line, so that the caret stands where the column is.
    let indent: String = text.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let shown: String = text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).take(WIDEST).collect();
    writeln!(out, "{:gutter$} {bar}", "")?;
    writeln!(out, "{} {bar} {}", paint.faint(place.line), shown.trim_end())?;
    if before < WIDEST {
        writeln!(out, "{:gutter$} {bar} {indent}{}", "", paint.bad("^"))?;
    }
    Ok(())
}

/// Longest line that is quoted, in characters: beyond it lies data, not what a person wrote.
const WIDEST: usize = 160;
