//! Diagnostics as they are written: the same JSON as the report's own, and read back.

use portico_shared::{Diagnostic, ObjectRef, Report};
use serde::{Deserialize, Serialize};

use super::Place;

/// The diagnostics of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticsView {
    /// Generation of the table that is served.
    pub generation: u64,
    /// The diagnostics, errors first.
    pub diagnostics: Vec<DiagnosticView>,
}

impl DiagnosticsView {
    /// The diagnostics of a report.
    #[must_use]
    pub fn new(generation: u64, report: &Report) -> Self {
        Self { generation, diagnostics: report.diagnostics().iter().map(DiagnosticView::from).collect() }
    }
}

/// One problem of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticView {
    /// `error`, `warning` or `info`.
    pub severity: String,
    /// Code, such as `ServiceNotFound`.
    pub code: String,
    /// The object, unless the problem is a whole file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectView>,
    /// Field path; empty for the whole object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// Place in a file, in directory mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// An object's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectView {
    /// Kind.
    pub kind: String,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl From<&ObjectRef> for ObjectView {
    fn from(object: &ObjectRef) -> Self {
        Self {
            kind: object.kind.as_str().to_owned(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
        }
    }
}

impl From<&Diagnostic> for DiagnosticView {
    fn from(diagnostic: &Diagnostic) -> Self {
        Self {
            severity: diagnostic.severity.as_str().to_owned(),
            code: diagnostic.code.as_str().to_owned(),
            object: diagnostic.object.as_ref().map(ObjectView::from),
            field: diagnostic.field.to_string(),
            location: diagnostic.location.as_ref().map(Place::from),
            message: diagnostic.message.clone(),
            hint: diagnostic.hint.clone(),
        }
    }
}
