//! The path index: matchit finds the node, the node's list finds the route.
//!
//! A rule is not one entry: a Prefix takes its own path, that path with a slash, and everything below. So rules are
//! first merged per node, and each node holds every route that can match there in order of precedence; a candidate
//! without predicates ends the list. The trie itself stores a small number.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::RouteEntry;
use super::predicate::{RequestView, holds, is_open};
use crate::ir::PathMatch;

/// The routes of one virtual host, by path.
#[derive(Debug)]
pub(super) struct PathIndex {
    entries: Vec<Arc<RouteEntry>>,
    finder: Finder,
}

/// How a node is found.
#[derive(Debug)]
enum Finder {
    /// Only `/` prefixes: every path is in one node.
    Whole(Vec<u32>),
    /// Several nodes.
    Trie { trie: matchit::Router<u32>, nodes: Vec<Vec<u32>> },
}

impl PathIndex {
    /// Indexes entries that come in order of seniority.
    pub(super) fn build(entries: Vec<Arc<RouteEntry>>) -> Self {
        let rules = Rules::group(&entries);
        let finder = if rules.exact.is_empty() && rules.prefix.keys().all(|base| base.is_empty()) {
            Finder::Whole(rules.below(&entries, ""))
        } else {
            rules.trie(&entries)
        };
        Self { entries, finder }
    }

    /// The first route whose path and predicates take the request.
    pub(super) fn find(&self, request: &RequestView<'_>) -> Option<&Arc<RouteEntry>> {
        let candidates = match &self.finder {
            Finder::Whole(candidates) => candidates,
            Finder::Trie { trie, nodes } => &nodes[*trie.at(request.path).ok()?.value as usize],
        };
        candidates.iter().map(|&at| &self.entries[at as usize]).find(|entry| holds(&entry.route.matcher, request))
    }

    /// All routes, in order of seniority.
    pub(super) fn entries(&self) -> &[Arc<RouteEntry>] {
        &self.entries
    }
}

/// Entries by what their path takes: exact path, or base (the prefix without its trailing slash; `/` is empty).
#[derive(Default)]
struct Rules<'a> {
    exact: HashMap<&'a str, Vec<u32>>,
    prefix: HashMap<&'a str, Vec<u32>>,
}

impl<'a> Rules<'a> {
    fn group(entries: &'a [Arc<RouteEntry>]) -> Self {
        let mut rules = Self::default();
        for (at, entry) in (0..).zip(entries) {
            let slot = match &entry.route.matcher.path {
                PathMatch::Exact(path) => rules.exact.entry(path).or_default(),
                PathMatch::Prefix(path) => rules.prefix.entry(base(path)).or_default(),
            };
            slot.push(at);
        }
        rules
    }

    fn trie(&self, entries: &[Arc<RouteEntry>]) -> Finder {
        let mut trie = matchit::Router::new();
        let mut nodes = Vec::new();
        let mut insert = |pattern: String, candidates: Vec<u32>| {
            let id = u32::try_from(nodes.len()).expect("a host has fewer than 2^32 paths");
            // A pattern that is there already stands for the same literal and so has the same candidates.
            if trie.insert(pattern, id).is_ok() {
                nodes.push(candidates);
            }
        };
        for base in self.prefix.keys() {
            let literal = escape(base);
            if !base.is_empty() {
                insert(literal.clone(), self.at(entries, base));
            }
            insert(format!("{literal}/"), self.at(entries, &format!("{base}/")));
            insert(format!("{literal}/{{*below}}"), self.below(entries, base));
        }
        for path in self.exact.keys() {
            insert(escape(path), self.at(entries, path));
        }
        Finder::Trie { trie, nodes }
    }

    /// What matches the path `path`.
    fn at(&self, entries: &[Arc<RouteEntry>], path: &str) -> Vec<u32> {
        let mut found: Vec<u32> = self.exact.get(path).into_iter().flatten().copied().collect();
        found.extend(self.prefixes(path));
        ordered(entries, found)
    }

    /// What matches every path below `base`.
    fn below(&self, entries: &[Arc<RouteEntry>], base: &str) -> Vec<u32> {
        ordered(entries, self.prefixes(base).collect())
    }

    /// Prefixes that take `path`: bases end where a segment ends, so at one of its slashes or at its end.
    fn prefixes(&self, path: &str) -> impl Iterator<Item = u32> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.filter_map(|end| self.prefix.get(&path[..end])).flatten().copied()
    }
}

/// Best first, cut after the first candidate that takes any request.
fn ordered(entries: &[Arc<RouteEntry>], mut found: Vec<u32>) -> Vec<u32> {
    found.sort_by_key(|&at| (precedence(&entries[at as usize]), at));
    if let Some(open) = found.iter().position(|&at| is_open(&entries[at as usize].route.matcher)) {
        found.truncate(open + 1);
    }
    found
}

/// Order of preference, smallest first: Exact, longer path, a method, more headers, more query parameters.
pub(super) fn precedence(entry: &RouteEntry) -> impl Ord + use<> {
    let matcher = &entry.route.matcher;
    (
        matches!(matcher.path, PathMatch::Prefix(_)),
        Reverse(matcher.path.path().len()),
        matcher.method.is_none(),
        Reverse(matcher.headers.len()),
        Reverse(matcher.query.len()),
    )
}

fn base(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}

/// A literal as matchit writes it: braces doubled.
fn escape(literal: &str) -> String {
    literal.replace('{', "{{").replace('}', "}}")
}
