//! Many paths: matchit finds the node, the node's list finds the route.
//!
//! A rule is not one entry: a Prefix takes its own path, that path with a slash, and everything below. So rules are
//! first merged per node, and each node holds every route that can match there in order of precedence; a candidate
//! without predicates ends the list. The trie itself stores a small number.

use std::collections::HashMap;
use std::sync::Arc;

use super::{RouteEntry, base, precedence};
use crate::ir::PathMatch;
use crate::table::predicate::is_open;

/// The paths of entries that come in order of seniority.
#[derive(Debug)]
pub(super) struct Trie {
    trie: matchit::Router<u32>,
    nodes: Vec<Box<[u32]>>,
}

impl Trie {
    pub(super) fn build(entries: &[Arc<RouteEntry>]) -> Self {
        Rules::group(entries).trie(entries)
    }

    /// Entries whose path takes `path`, best first, up to one that takes any request.
    pub(super) fn candidates(&self, path: &str) -> &[u32] {
        self.trie.at(path).map_or(&[], |found| &self.nodes[*found.value as usize])
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

    fn trie(&self, entries: &[Arc<RouteEntry>]) -> Trie {
        let mut trie = matchit::Router::new();
        let mut nodes = Vec::new();
        let mut insert = |pattern: String, candidates: Box<[u32]>| {
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
        Trie { trie, nodes }
    }

    /// What matches the path `path`.
    fn at(&self, entries: &[Arc<RouteEntry>], path: &str) -> Box<[u32]> {
        let mut found: Vec<u32> = self.exact.get(path).into_iter().flatten().copied().collect();
        found.extend(self.prefixes(path));
        ordered(entries, found)
    }

    /// What matches every path below `base`.
    fn below(&self, entries: &[Arc<RouteEntry>], base: &str) -> Box<[u32]> {
        ordered(entries, self.prefixes(base).collect())
    }

    /// Prefixes that take `path`: bases end where a segment ends, so at one of its slashes or at its end.
    fn prefixes(&self, path: &str) -> impl Iterator<Item = u32> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.filter_map(|end| self.prefix.get(&path[..end])).flatten().copied()
    }
}

/// Best first, cut after the first candidate that takes any request.
fn ordered(entries: &[Arc<RouteEntry>], mut found: Vec<u32>) -> Box<[u32]> {
    found.sort_by_key(|&at| (precedence(&entries[at as usize]), at));
    if let Some(open) = found.iter().position(|&at| is_open(&entries[at as usize].route.matcher)) {
        found.truncate(open + 1);
    }
    found.into()
}

/// A literal as matchit writes it: braces doubled.
fn escape(literal: &str) -> String {
    literal.replace('{', "{{").replace('}', "}}")
}
