//! Gathers problems while the passes run, each under the part of the compile that found it.
//!
//! The only place that knows file positions: a pass names object and field, the position is looked up here, so that the
//! IR never depends on where a line stands.

use std::collections::HashMap;
use std::sync::Arc;

use portico_shared::ir::{HostPattern, Unavailable, UpstreamName};
use portico_shared::{Code, Diagnostic, ObjectRef, Severity};

use crate::snapshot::{Key, Object};

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

/// A part of a compile: what is compiled again together, and finds its problems again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// An Ingress by itself.
    Ingress(Key),
    /// A host, whoever asks for something there.
    Host(HostPattern),
    /// An upstream with its Service.
    Upstream(UpstreamName),
    /// What belongs to no host: where misses go, and what the operator named.
    #[default]
    Rest,
}

/// Problems by the part that found them; none of them is empty.
pub(crate) type Problems = HashMap<Subject, Vec<Diagnostic>>;

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    subject: Subject,
    filed: Problems,
}

impl Reporter {
    /// Files what comes next under another part.
    pub(crate) fn turn_to(&mut self, subject: Subject) {
        self.subject = subject;
    }

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
        let diagnostic = Diagnostic { severity, code, object: Some(object), field, location, message, hint };
        self.filed.entry(self.subject.clone()).or_default().push(diagnostic);
    }

    /// What was found, by part.
    pub(crate) fn finish(self) -> Problems {
        self.filed
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
