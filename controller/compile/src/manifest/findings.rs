//! What is wrong with one object, in the API server's words where it has some.
//!
//! Messages never hold a value of a Secret: callers name the rule and pass only what may be shown.

use std::fmt::Display;

use portico_shared::{Code, Severity};

use super::path::Path;
use super::yaml::Position;

/// One problem of an object.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) code: Code,
    pub(super) field: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Only where the field path does not lead to the place.
    pub(super) at: Option<Position>,
}

/// The problems of one object, in the order of discovery.
#[derive(Debug, Default)]
pub(super) struct Findings {
    all: Vec<Finding>,
    /// Findings before this were made on the text, those after it on the object that came of it.
    of_text: usize,
}

impl Findings {
    /// A value that breaks a rule: `Invalid value: "x": why`.
    pub(super) fn invalid(&mut self, path: &Path<'_>, value: impl Display, why: impl Display) {
        let value = shorten(value.to_string());
        self.error(path.to_string(), format!("Invalid value: \"{value}\": {why}"), None);
    }

    /// A value that breaks a rule and is not to be shown.
    pub(super) fn refused(&mut self, path: &Path<'_>, why: impl Display, hint: Option<String>) {
        self.error(path.to_string(), format!("Invalid value: {why}"), hint);
    }

    /// A value that must be there; `why` may be empty.
    pub(super) fn required(&mut self, path: &Path<'_>, why: &str) {
        self.required_with(path, why, None);
    }

    /// A value that must be there, with the remedy.
    pub(super) fn required_with(&mut self, path: &Path<'_>, why: &str, hint: Option<String>) {
        let message = if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        self.error(path.to_string(), message, hint);
    }

    /// A word that is not one of those known.
    pub(super) fn unsupported(&mut self, path: &Path<'_>, value: &str, known: &[&str]) {
        let known = known.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let value = shorten(value.to_owned());
        self.error(path.to_string(), format!("Unsupported value: \"{value}\": supported values: {known}"), None);
    }

    /// The same value twice where each may stand once.
    pub(super) fn duplicate(&mut self, path: &Path<'_>, value: &str) {
        let value = shorten(value.to_owned());
        self.error(path.to_string(), format!("Duplicate value: \"{value}\""), None);
    }

    /// A value where none may be.
    pub(super) fn forbidden(&mut self, path: &Path<'_>, why: &str) {
        self.error(path.to_string(), format!("Forbidden: {why}"), None);
    }

    /// A list or text that is too long.
    pub(super) fn too_many(&mut self, path: &Path<'_>, count: usize, most: usize, what: &str) {
        self.error(path.to_string(), format!("Too many: {count}: must have at most {most} {what}"), None);
    }

    /// A kind of ours in a version that the API does not serve, or no longer.
    pub(super) fn unserved_version(&mut self, message: String, expected: &str) {
        self.error("apiVersion".to_owned(), message, Some(expected.to_owned()));
    }

    /// A key that its mapping already has.
    pub(super) fn key_twice(&mut self, field: String, at: Position) {
        let message = "the key is already set in this mapping".to_owned();
        self.error(field, message, Some("keep one of the two".to_owned()));
        if let Some(finding) = self.all.last_mut() {
            finding.at = Some(at);
        }
    }

    /// A field that the API does not know.
    pub(super) fn unknown_field(&mut self, path: &Path<'_>, near: Option<&str>) {
        self.all.push(Finding {
            severity: Severity::Warning,
            code: Code::FieldUnknown,
            field: path.to_string(),
            message: "unknown field, it is ignored".to_owned(),
            hint: near.map(|near| format!("did you mean `{near}`?")),
            at: None,
        });
    }

    /// Ends the checks on the text: what follows is said of the object made from it, in which refused values are
    /// missing, so that it is dropped where it only echoes an earlier finding.
    pub(super) fn text_done(&mut self) {
        self.of_text = self.all.len();
    }

    /// Whether the object is to be refused.
    pub(super) fn refuse(&self) -> bool {
        self.all.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// All findings.
    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.all
    }

    fn error(&mut self, field: String, message: String, hint: Option<String>) {
        let echo = self.all[..self.of_text]
            .iter()
            .any(|earlier| earlier.severity == Severity::Error && related(&earlier.field, &field));
        if !echo {
            let (severity, code) = (Severity::Error, Code::ObjectInvalid);
            self.all.push(Finding { severity, code, field, message, hint, at: None });
        }
    }
}

/// Whether one field is the other or encloses it.
fn related(a: &str, b: &str) -> bool {
    let (outer, inner) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    inner.strip_prefix(outer).is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

fn shorten(mut value: String) -> String {
    if let Some((end, _)) = value.char_indices().nth(SHOWN) {
        value.truncate(end);
        value.push('…');
    }
    value
}

/// How many characters of a value a message shows.
const SHOWN: usize = 120;
