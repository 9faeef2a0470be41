//! From text to checked objects.
//!
//! A file is read to trees that know their places (`yaml`), each document is told by its kind (`document`), held
//! against the kind's shape (`check`), turned into the API's type, completed and judged as the API server would
//! (`validate`). One bad object never harms another, and every problem of an object is reported, not only the first.
//! Nothing here reads files, knows other objects, or decides what is served.

mod check;
mod document;
mod findings;
mod path;
mod schema;
mod spans;
mod tree;
mod validate;
mod yaml;

use portico_shared::{Code, Diagnostic, Location, Severity};

use crate::snapshot::AnyObject;

pub use spans::Spans;

/// The content of one file.
#[derive(Debug, Default)]
pub struct Manifest {
    /// Objects that passed every check, in order.
    pub objects: Vec<AnyObject>,
    /// Problems: of the whole file, of refused objects (error) and of odd ones (warning).
    ///
    /// A refused object that has a name is named in its diagnostics.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether every document could be read; if not, what the unreadable ones hold is unknown.
    pub complete: bool,
}

/// Parses and checks one file. Never fails: what cannot be used is in the diagnostics.
///
/// `file` is what locations name. Kinds that Portico does not read are skipped silently.
#[must_use]
pub fn parse(file: &str, text: &str) -> Manifest {
    let mut manifest = Manifest { complete: true, ..Manifest::default() };
    let file = file.into();
    yaml::read(text, |piece| match piece {
        yaml::Piece::Document { root, duplicates } => document::read(&file, &root, &duplicates, &mut manifest),
        yaml::Piece::Unreadable { at, message } => {
            manifest.complete = false;
            manifest.diagnostics.push(Diagnostic {
                severity: Severity::Error,
                code: Code::FileUnreadable,
                object: None,
                field: "".into(),
                location: Some(Location { file: file.clone(), line: at.line, column: at.column }),
                message,
                hint: None,
            });
        }
    });
    manifest
}

#[cfg(test)]
mod tests;
