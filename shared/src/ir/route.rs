//! A route: match, action, policies.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::action::Action;
use super::matcher::Matcher;
use super::policy::Policies;
use crate::origin::Origin;

/// A route's name, unique within an IR and stable while its Ingress, host and path are: label of metrics and logs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RouteName(pub Arc<str>);

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One rule of the cluster, free of its dialect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Route {
    /// Name for metrics, logs and explanations.
    pub name: RouteName,
    /// Which requests of the host.
    pub matcher: Matcher,
    /// What to do with them.
    pub action: Action,
    /// Settings of this route, shared by routes that have the same.
    pub policies: Arc<Policies>,
    /// The object and field it was written in.
    pub origin: Origin,
}
