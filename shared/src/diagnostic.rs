//! Problems found on the way from objects to a routing table: data, never control flow.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::origin::{Location, ObjectRef};

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something the user asked for is not served as asked.
    Error,
    /// Served, but probably not what was meant.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// Lower-case word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What kind of problem a diagnostic reports: the same word in `portico check`, metrics, admin answers and Events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum Code { $($(#[$doc])* $name),+ }

        impl Code {
            /// Every code, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code as it is printed.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

codes! {
    /// A file could not be read or is not YAML or JSON.
    FileUnreadable,
    /// An object breaks a rule that the API server enforces; it is refused.
    ObjectInvalid,
    /// A field the API does not know; it is ignored.
    FieldUnknown,
    /// An object refused or unreadable now is served as last accepted.
    LastGoodKept,
    /// The same object is written twice; the first stands.
    ObjectDuplicate,
    /// An Ingress names a class that does not exist or is not ours.
    ClassForeign,
    /// A backend names a Service that does not exist.
    ServiceNotFound,
    /// A backend names a port that its Service does not have.
    PortNotFound,
    /// A Service port that is not TCP.
    ProtocolUnsupported,
    /// A Service without a usable endpoint.
    NoEndpoints,
    /// An `appProtocol` that Portico does not know.
    AppProtocolUnknown,
    /// `backend.resource` names a kind that Portico cannot route to.
    ResourceBackendUnsupported,
    /// An ExternalName that is refused or cannot be used.
    ExternalNameRefused,
    /// A TLS Secret that does not exist.
    SecretNotFound,
    /// A TLS Secret whose content cannot be used.
    SecretInvalid,
    /// A certificate that does not cover a host it is named for.
    CertificateMismatch,
    /// A certificate that is past its end or before its start.
    CertificateExpired,
    /// A certificate that ends within 14 days.
    CertificateExpiring,
    /// The same host and path claimed twice; the older claim stands.
    PathConflict,
    /// A rule that no request can reach.
    RuleShadowed,
    /// Two Ingresses claim the TLS settings or default backend of one host; the older stands.
    HostConflict,
    /// An annotation whose value cannot be used.
    AnnotationInvalid,
    /// An annotation under a prefix of ours that Portico does not know.
    AnnotationUnknown,
    /// A default named by a flag does not exist or cannot be used.
    DefaultUnusable,
    /// A cap on objects, names, rules or certificates was reached; what is over it is left out.
    LimitReached,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One problem of one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// What kind.
    pub code: Code,
    /// The object, unless the problem is a whole file's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// Field path in the object; empty for the whole object.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub field: Arc<str>,
    /// Place in a file, in directory mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        write!(f, "{}[{}]: ", self.severity.as_str(), self.code)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        one_line(&self.message, f)
    }
}

/// Writes text that may quote foreign objects so that it stays one line: control characters escaped, such as `\n`.
fn one_line(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for part in text.split_inclusive(char::is_control) {
        let (clear, control) = match part.chars().next_back().filter(|last| last.is_control()) {
            Some(last) => (&part[..part.len() - last.len_utf8()], Some(last)),
            None => (part, None),
        };
        f.write_str(clear)?;
        if let Some(control) = control {
            write!(f, "{}", control.escape_default())?;
        }
    }
    Ok(())
}

/// All diagnostics of one compile, sorted by severity, then code, then object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// A report of these diagnostics, sorted and without repetitions.
    #[must_use]
    pub fn new(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort();
        diagnostics.dedup();
        Self { diagnostics }
    }

    /// The diagnostics in order.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether any diagnostic is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_objects_makes_no_lines() {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            code: Code::ObjectInvalid,
            object: None,
            field: "".into(),
            location: None,
            message: "x\"\n\u{1b}[31mINFO all is well\r\n\u{85}y".to_owned(),
            hint: None,
        };
        let text = diagnostic.to_string();
        assert_eq!(text, "error[ObjectInvalid]: x\"\\n\\u{1b}[31mINFO all is well\\r\\n\\u{85}y");
    }
}
