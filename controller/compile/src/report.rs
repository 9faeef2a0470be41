//! Gathers problems while the passes run and turns them into the [`Report`].
//!
//! The only place that knows file positions: a pass names object and field, the position is looked up here, so that the
//! IR never depends on where a line stands.

use std::sync::Arc;

use portico_shared::ir::Unavailable;
use portico_shared::{Code, Diagnostic, ObjectRef, Report, Severity};

use crate::snapshot::Object;

/// A problem before it is tied to an object.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    severity: Severity,
    code: Code,
    field: Arc<str>,
    message: String,
    hint: Option<String>,
}

impl Problem {
    /// Something is not served as asked.
    pub(crate) fn error(code: Code, field: impl Into<Arc<str>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, field: field.into(), message: message.into(), hint: None }
    }

    /// Served, but probably not as meant.
    pub(crate) fn warning(code: Code, field: impl Into<Arc<str>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, field, message) }
    }

    /// Worth knowing.
    pub(crate) fn info(code: Code, field: impl Into<Arc<str>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Info, ..Self::error(code, field, message) }
    }

    /// Adds how to mend it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same problem with its field below `parent`.
    pub(crate) fn under(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field).into();
        self
    }

    /// What a route becomes that this problem stops.
    pub(crate) fn unavailable(&self) -> Unavailable {
        Unavailable { code: self.code, message: self.message.as_str().into() }
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    diagnostics: Vec<Diagnostic>,
}

impl Reporter {
    /// Files a problem of `object`.
    pub(crate) fn add<T>(&mut self, object: &Object<T>, problem: Problem) {
        let location = object.locate(&problem.field);
        self.file(object.reference.clone(), location, problem);
    }

    /// Files a problem of an object that is not there.
    pub(crate) fn add_missing(&mut self, reference: ObjectRef, problem: Problem) {
        self.file(reference, None, problem);
    }

    fn file(&mut self, object: ObjectRef, location: Option<portico_shared::Location>, problem: Problem) {
        let Problem { severity, code, field, message, hint } = problem;
        self.diagnostics.push(Diagnostic { severity, code, object: Some(object), field, location, message, hint });
    }

    /// The report: sorted, without repetitions.
    pub(crate) fn finish(self) -> Report {
        Report::new(self.diagnostics)
    }
}

/// Text of an object as messages show it: quoted, control characters escaped, cut when long.
pub(crate) fn quote(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{:?}...", &text[..cut]),
        None => format!("{text:?}"),
    }
}
