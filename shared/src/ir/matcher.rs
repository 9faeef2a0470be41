//! Matchers: tests on path, method, headers and query.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A path test, in normalised form (see [`crate::normalise::path`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum PathMatch {
    /// The same bytes.
    Exact(Arc<str>),
    /// Element-wise prefix: one trailing slash of the rule is ignored, `/` takes everything.
    Prefix(Arc<str>),
}

impl PathMatch {
    /// The path as the rule has it.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Exact(path) | Self::Prefix(path) => path,
        }
    }

    /// Whether this matcher takes `path`; the specification of the table's path index.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(rule) => path == &**rule,
            Self::Prefix(rule) => {
                let rule = rule.strip_suffix('/').unwrap_or(rule);
                path.strip_prefix(rule).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "= {path}"),
            Self::Prefix(path) => f.write_str(path),
        }
    }
}

/// A test of one value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum ValueMatch {
    /// Equal bytes.
    Exact(Arc<str>),
    /// Any value will do.
    Present,
}

impl ValueMatch {
    /// Whether `value` passes.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(expected) => expected.as_bytes() == value,
            Self::Present => true,
        }
    }
}

/// A test on a request header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct HeaderMatch {
    /// Field name in lower case.
    pub name: Arc<str>,
    /// Test of its value; repeated fields pass when one of them does.
    pub value: ValueMatch,
}

/// A test on a query parameter, compared without decoding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct QueryMatch {
    /// Parameter name.
    pub name: Arc<str>,
    /// Test of the first value with that name.
    pub value: ValueMatch,
}

/// All tests of a route; a request must pass every one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Matcher {
    /// Path test.
    pub path: PathMatch,
    /// Tests beyond the path. Apart, because most routes have none and routes are many.
    #[serde(flatten)]
    beyond: Option<Box<Beyond>>,
}

/// Tests beyond the path. Never without any.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
struct Beyond {
    method: Option<Arc<str>>,
    headers: Box<[HeaderMatch]>,
    query: Box<[QueryMatch]>,
}

impl Matcher {
    /// A matcher of the path alone, which is all that an Ingress can say.
    #[must_use]
    pub fn path(path: PathMatch) -> Self {
        Self { path, beyond: None }
    }

    /// A matcher of everything.
    #[must_use]
    pub fn new(
        path: PathMatch,
        method: Option<Arc<str>>,
        headers: impl Into<Box<[HeaderMatch]>>,
        query: impl Into<Box<[QueryMatch]>>,
    ) -> Self {
        let beyond = Beyond { method, headers: headers.into(), query: query.into() };
        Self { path, beyond: (beyond != Beyond::default()).then(|| Box::new(beyond)) }
    }

    /// Whether there is no test beyond the path.
    #[must_use]
    pub fn is_path_alone(&self) -> bool {
        self.beyond.is_none()
    }

    /// Method, case-sensitive; `None` takes any.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.beyond.as_ref()?.method.as_deref()
    }

    /// Header tests.
    #[must_use]
    pub fn headers(&self) -> &[HeaderMatch] {
        self.beyond.as_ref().map_or(&[], |beyond| &beyond.headers)
    }

    /// Query tests.
    #[must_use]
    pub fn query(&self) -> &[QueryMatch] {
        self.beyond.as_ref().map_or(&[], |beyond| &beyond.query)
    }
}
