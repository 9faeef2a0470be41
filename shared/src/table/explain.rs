//! Why a request goes where it goes: the same answer as the look-up, with everything that was beaten.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::Serialize;

use super::path::precedence;
use super::predicate::{RequestView, holds};
use super::{ListenerTable, RouteEntry};
use crate::ir::{PathMatch, RouteName};
use crate::origin::Origin;

/// Where a request goes and what it did not take.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Pattern of the virtual host that takes the host; `None` when none does.
    pub virtual_host: Option<String>,
    /// Which step found the route.
    pub step: Step,
    /// Routes of the virtual host that also match the path, in order, each with the step that decided against it.
    pub beaten: Vec<Beaten>,
}

/// Which part of the table answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A route of the virtual host.
    Route,
    /// The virtual host's default backend.
    HostFallback,
    /// The default backend of everything.
    ListenerFallback,
    /// Nothing: 404.
    Nothing,
}

/// A route that matches the path and lost.
#[derive(Clone, Debug, Serialize)]
pub struct Beaten {
    /// Its name.
    pub route: RouteName,
    /// Where it was written.
    pub origin: Origin,
    /// Why it lost.
    pub by: &'static str,
}

impl ListenerTable {
    /// Explains [`ListenerTable::route`] for the same arguments, together with its result.
    #[must_use]
    pub fn explain(&self, host: Option<&str>, request: &RequestView<'_>) -> (Option<&Arc<RouteEntry>>, Explanation) {
        let table = self.hosts.find(host);
        let matched = table.and_then(|table| table.paths.find(request));
        let fallback = table.and_then(|table| table.fallback.as_ref());
        let (winner, step) = match (matched, fallback, &self.fallback) {
            (Some(entry), ..) => (Some(entry), Step::Route),
            (None, Some(entry), _) => (Some(entry), Step::HostFallback),
            (None, None, Some(entry)) => (Some(entry), Step::ListenerFallback),
            (None, None, None) => (None, Step::Nothing),
        };
        let others = table.map(|table| table.paths.entries()).unwrap_or_default();
        let mut others: Vec<_> = others
            .iter()
            .filter(|entry| entry.route.matcher.path.matches(request.path))
            .filter(|entry| matched.is_none_or(|winner| !Arc::ptr_eq(winner, entry)))
            .collect();
        others.sort_by_key(|entry| precedence(entry));
        let beaten = others
            .into_iter()
            .map(|entry| Beaten {
                route: entry.route.name.clone(),
                origin: entry.route.origin.clone(),
                by: reason(matched, entry, request),
            })
            .collect();
        let virtual_host = table.map(|table| table.virtual_host.pattern.to_string());
        (winner, Explanation { virtual_host, step, beaten })
    }
}

/// The precedence step at which `entry` lost.
fn reason(winner: Option<&Arc<RouteEntry>>, entry: &RouteEntry, request: &RequestView<'_>) -> &'static str {
    let matcher = &entry.route.matcher;
    let Some(winner) = winner.filter(|_| holds(matcher, request)) else {
        return "its method, header or query test fails";
    };
    let best = &winner.route.matcher;
    match (&best.path, &matcher.path) {
        (PathMatch::Exact(_), PathMatch::Prefix(_)) => "an Exact path beats a Prefix",
        _ if best.path.path().len() > matcher.path.path().len() => "a longer path wins",
        _ if precedence(winner).cmp(&precedence(entry)) == Ordering::Less => "a route with more tests wins",
        _ => "of equal rules the older one wins",
    }
}
