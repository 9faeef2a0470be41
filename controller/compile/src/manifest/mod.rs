//! From text to checked objects.

use portico_shared::{Diagnostic, Location};

use crate::snapshot::AnyObject;

/// Where each field of one object stands in its file.
#[derive(Debug)]
pub struct Spans {
    start: Location,
}

impl Spans {
    /// Where `field` stands; the nearest enclosing field when it is absent itself.
    #[must_use]
    pub fn locate(&self, _field: &str) -> Location {
        self.start.clone()
    }
}

/// The content of one file.
#[derive(Debug, Default)]
pub struct Manifest {
    /// Objects that passed every check, in order.
    pub objects: Vec<AnyObject>,
    /// Problems: of the whole file, of refused objects (error) and of odd ones (warning).
    pub diagnostics: Vec<Diagnostic>,
    /// Whether the text could be parsed to its end.
    pub complete: bool,
}

/// Parses and checks one file. Never fails: what cannot be used is in the diagnostics.
#[must_use]
pub fn parse(_file: &str, _text: &str) -> Manifest {
    Manifest::default()
}
