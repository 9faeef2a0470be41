//! The path index: which route of a virtual host takes a path.
//!
//! Most hosts have a few routes, which are compared one after the other: a trie takes twenty times their memory, and at
//! ten thousand hosts three times as long, since all of it has to be fetched. Hosts with many have the trie.

mod few;
mod trie;

use std::cmp::Reverse;
use std::sync::Arc;

use super::RouteEntry;
use super::predicate::{RequestView, holds};
use crate::ir::PathMatch;
use few::Few;
use trie::Trie;

/// The routes of one virtual host, by path.
#[derive(Debug)]
pub(super) struct PathIndex {
    /// In order of preference where they are few, else of seniority.
    entries: Box<[Arc<RouteEntry>]>,
    finder: Finder,
}

/// How candidates are found.
#[derive(Debug)]
enum Finder {
    Few(Few),
    Many(Box<Trie>),
}

/// Number of routes up to which comparing all of them is no slower than a trie; see the bench `lookup`.
const FEW: usize = 16;

impl PathIndex {
    /// Indexes entries that come in order of seniority.
    pub(super) fn build(mut entries: Box<[Arc<RouteEntry>]>) -> Self {
        let finder = if entries.len() <= FEW {
            entries.sort_by_key(|entry| precedence(entry));
            Finder::Few(Few::build(&entries))
        } else {
            Finder::Many(Box::new(Trie::build(&entries)))
        };
        Self { entries, finder }
    }

    /// The first route whose path and predicates take the request.
    pub(super) fn find(&self, request: &RequestView<'_>) -> Option<&Arc<RouteEntry>> {
        let holding = |entry: &&Arc<RouteEntry>| holds(&entry.route.matcher, request);
        match &self.finder {
            Finder::Few(few) => few.candidates(request.path).map(|at| &self.entries[at]).find(holding),
            Finder::Many(trie) => {
                trie.candidates(request.path).iter().map(|&at| &self.entries[at as usize]).find(holding)
            }
        }
    }

    /// All routes; of those that are equally preferred the older comes first.
    pub(super) fn entries(&self) -> &[Arc<RouteEntry>] {
        &self.entries
    }
}

/// Order of preference, smallest first: Exact, longer path, a method, more headers, more query parameters.
pub(super) fn precedence(entry: &RouteEntry) -> impl Ord + use<> {
    let matcher = &entry.route.matcher;
    (
        matches!(matcher.path, PathMatch::Prefix(_)),
        Reverse(matcher.path.path().len()),
        matcher.method().is_none(),
        Reverse(matcher.headers().len()),
        Reverse(matcher.query().len()),
    )
}

/// What a prefix takes itself: without its trailing slash, so that `/` is empty.
fn base(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}
