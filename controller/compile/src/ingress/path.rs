//! Paths of rules: type and normal form.
//!
//! A path is brought to the form in which requests are matched ([`normalise::normalise`]), so that no spelling of a rule
//! misses requests that it means.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::HTTPIngressPath;
use portico_shared::Code;
use portico_shared::ir::PathMatch;
use portico_shared::normalise::path as normalise;

use crate::report::{Problem, quote};

/// A path type of the API, in order of preference at equal paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PathType {
    Exact,
    Prefix,
    /// Matched as Prefix.
    ImplementationSpecific,
}

impl PathType {
    /// The word in a manifest.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "Exact",
            Self::Prefix => "Prefix",
            Self::ImplementationSpecific => "ImplementationSpecific",
        }
    }
}

/// What a claim on a host is keyed by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PathKey {
    pub(crate) kind: PathType,
    /// Normalised path.
    pub(crate) path: Arc<str>,
}

/// Paths read so far: a few of them stand in most rules.
#[derive(Debug, Default)]
pub(crate) struct Paths(HashSet<Arc<str>>);

impl Paths {
    /// Drops what nothing has any more.
    pub(crate) fn prune(&mut self) {
        self.0.retain(|path| Arc::strong_count(path) > 1);
    }

    fn one(&mut self, path: &str) -> Arc<str> {
        if let Some(known) = self.0.get(path) {
            return known.clone();
        }
        let path: Arc<str> = path.into();
        self.0.insert(path.clone());
        path
    }
}

impl PathKey {
    /// Reads type and path of a rule; the problem's field is relative to the path's entry.
    pub(crate) fn read(path: &HTTPIngressPath, paths: &mut Paths) -> Result<Self, Problem> {
        let kind = match path.path_type.as_str() {
            "Exact" => PathType::Exact,
            "Prefix" => PathType::Prefix,
            "ImplementationSpecific" => PathType::ImplementationSpecific,
            other => {
                let message = match other {
                    "" => "pathType is missing; the path is left out".to_owned(),
                    other => format!("pathType {} is not known; the path is left out", quote(other)),
                };
                return Err(Problem::error(Code::ObjectInvalid, "pathType", message)
                    .hint("write Exact, Prefix or ImplementationSpecific"));
            }
        };
        let raw = match path.path.as_deref() {
            None | Some("") if kind == PathType::ImplementationSpecific => "/",
            raw => raw.unwrap_or_default(),
        };
        if kind == PathType::ImplementationSpecific && looks_like_regex(raw) {
            let message = format!("path {} is a regular expression; the path is left out", quote(raw));
            return Err(Problem::error(Code::ObjectInvalid, "path", message)
                .hint("native rules know no regular expressions: write pathType Prefix or Exact with a plain path"));
        }
        match normalise::normalise(raw) {
            Ok(path) => Ok(Self { kind, path: paths.one(&path) }),
            Err(reason) => {
                let message = format!("path {} cannot be used: {reason}; the path is left out", quote(raw));
                Err(Problem::error(Code::ObjectInvalid, "path", message)
                    .hint("begin with /, and write unusual characters as percent escapes"))
            }
        }
    }

    /// The matcher.
    pub(crate) fn matcher(&self) -> PathMatch {
        match self.kind {
            PathType::Exact => PathMatch::Exact(self.path.clone()),
            PathType::Prefix | PathType::ImplementationSpecific => PathMatch::Prefix(self.path.clone()),
        }
    }
}

/// Whether a path holds what only regular expressions hold. Parentheses alone do not count: real paths have them.
fn looks_like_regex(path: &str) -> bool {
    path.ends_with('$')
        || path.contains(['|', '^', '\\', '{', '}'])
        || [".*", ".+", "(?", ")?", ")*", ")+", "]*", "]+", "$)"].iter().any(|part| path.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regexes() {
        for (path, expected) in [
            ("/foo(/|$)(.*)", true),
            ("/foo(.*)", true),
            ("/foo/.+", true),
            ("/foo$", true),
            ("/[0-9]+", true),
            ("/a{2}", true),
            ("/\\d", true),
            ("/odata/Products(1)", false),
            ("/a.b/c*", false),
            ("/price$/x", false),
            ("/~user", false),
        ] {
            assert_eq!(looks_like_regex(path), expected, "{path}");
        }
    }
}
