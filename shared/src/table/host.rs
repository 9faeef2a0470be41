//! The host index: exact name, then one-label wildcard, then the longest many-label wildcard, then any.

use std::collections::HashMap;
use std::sync::Arc;

use super::HostTable;
use crate::ir::HostPattern;

/// Virtual hosts by pattern. Keys are configuration, look-ups are requests; the standard keyed hash serves both.
#[derive(Debug, Default)]
pub(super) struct HostIndex {
    exact: HashMap<Arc<str>, Arc<HostTable>>,
    one_label: HashMap<Arc<str>, Arc<HostTable>>,
    many_labels: HashMap<Arc<str>, Arc<HostTable>>,
    any: Option<Arc<HostTable>>,
}

impl HostIndex {
    /// An index with room for this many patterns, most of which are exact.
    pub(super) fn with_capacity(patterns: usize) -> Self {
        Self { exact: HashMap::with_capacity(patterns), ..Self::default() }
    }

    pub(super) fn insert(&mut self, pattern: &HostPattern, table: Arc<HostTable>) {
        match pattern {
            HostPattern::Exact(name) => drop(self.exact.insert(name.clone(), table)),
            HostPattern::OneLabel(suffix) => drop(self.one_label.insert(suffix.clone(), table)),
            HostPattern::ManyLabels(suffix) => drop(self.many_labels.insert(suffix.clone(), table)),
            HostPattern::Any => self.any = Some(table),
        }
    }

    /// The table of exactly this pattern.
    pub(super) fn get(&self, pattern: &HostPattern) -> Option<&Arc<HostTable>> {
        match pattern {
            HostPattern::Exact(name) => self.exact.get(name),
            HostPattern::OneLabel(suffix) => self.one_label.get(suffix),
            HostPattern::ManyLabels(suffix) => self.many_labels.get(suffix),
            HostPattern::Any => self.any.as_ref(),
        }
    }

    /// The best table for a normalised host.
    pub(super) fn find(&self, host: Option<&str>) -> Option<&Arc<HostTable>> {
        host.and_then(|host| self.find_named(host)).or(self.any.as_ref())
    }

    fn find_named(&self, host: &str) -> Option<&Arc<HostTable>> {
        if let Some(table) = self.exact.get(host) {
            return Some(table);
        }
        if self.one_label.is_empty() && self.many_labels.is_empty() {
            return None;
        }
        let (_, parent) = host.split_once('.')?;
        if let Some(table) = self.one_label.get(parent) {
            return Some(table);
        }
        if self.many_labels.is_empty() {
            return None;
        }
        let mut suffix = Some(parent);
        while let Some(name) = suffix {
            if let Some(table) = self.many_labels.get(name) {
                return Some(table);
            }
            suffix = name.split_once('.').map(|(_, rest)| rest);
        }
        None
    }
}
