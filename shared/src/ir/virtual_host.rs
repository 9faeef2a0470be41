//! A virtual host: what one hostname serves.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::certificate::CertificateName;
use super::route::Route;

/// Which hosts a virtual host answers for. Names are lower case, without port and trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum HostPattern {
    /// This name only.
    Exact(Arc<str>),
    /// Exactly one label before this suffix (Ingress): `foo.com` here means `*.foo.com`.
    OneLabel(Arc<str>),
    /// One or more labels before this suffix (Gateway API).
    ManyLabels(Arc<str>),
    /// Any authority, also none.
    Any,
}

impl HostPattern {
    /// The pattern of an Ingress rule's `host`: empty is any, `*.` is one label.
    #[must_use]
    pub fn from_ingress(host: &str) -> Self {
        match host.strip_prefix("*.") {
            _ if host.is_empty() => Self::Any,
            Some(suffix) => Self::OneLabel(suffix.into()),
            None => Self::Exact(host.into()),
        }
    }

    /// Whether this pattern takes `host`, a normalised name; the specification of the table's host index.
    #[must_use]
    pub fn matches(&self, host: Option<&str>) -> bool {
        let label_before = |suffix: &str| {
            let rest = host?.strip_suffix(suffix)?.strip_suffix('.')?;
            (!rest.is_empty()).then_some(rest)
        };
        match self {
            Self::Exact(name) => host == Some(name),
            Self::OneLabel(suffix) => label_before(suffix).is_some_and(|label| !label.contains('.')),
            Self::ManyLabels(suffix) => label_before(suffix).is_some(),
            Self::Any => true,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::OneLabel(suffix) => write!(f, "*.{suffix}"),
            Self::ManyLabels(suffix) => write!(f, "**.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// The routes of one host pattern and its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct VirtualHost {
    /// Which hosts.
    pub pattern: HostPattern,
    /// Routes in order of seniority: of two that match equally well the earlier wins.
    pub routes: Vec<Arc<Route>>,
    /// Where a request for this host goes that no route matches; then the listener's fallback.
    pub fallback: Option<Arc<Route>>,
    /// Certificate for exactly this pattern; `None` leaves the choice to the listener.
    pub certificate: Option<CertificateName>,
}
