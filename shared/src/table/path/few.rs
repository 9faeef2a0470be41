//! A few paths in one piece of memory, compared one after the other.

use std::sync::Arc;

use super::{RouteEntry, base};
use crate::ir::PathMatch;

/// The paths of entries that come in order of preference.
#[derive(Debug)]
pub(super) struct Few {
    /// Exact paths and bases of prefixes, one after the other.
    text: Box<[u8]>,
    rules: Box<[Rule]>,
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Where its path ends in the text; it starts where the one before ends.
    end: u32,
    exact: bool,
}

impl Few {
    pub(super) fn build(entries: &[Arc<RouteEntry>]) -> Self {
        let mut text = Vec::new();
        let rules = entries.iter().map(|entry| {
            let (exact, path) = match &entry.route.matcher.path {
                PathMatch::Exact(path) => (true, &**path),
                PathMatch::Prefix(path) => (false, base(path)),
            };
            text.extend_from_slice(path.as_bytes());
            Rule { end: u32::try_from(text.len()).expect("a few paths have fewer than 2^32 octets"), exact }
        });
        let rules = rules.collect();
        Self { text: text.into(), rules }
    }

    /// The entries whose path takes `path`, best first.
    pub(super) fn candidates(&self, path: &str) -> impl Iterator<Item = usize> {
        let mut start = 0;
        self.rules.iter().enumerate().filter_map(move |(at, rule)| {
            let end = rule.end as usize;
            let own = &self.text[std::mem::replace(&mut start, end)..end];
            let rest = path.as_bytes().strip_prefix(own)?;
            (rest.is_empty() || !rule.exact && rest[0] == b'/').then_some(at)
        })
    }
}
