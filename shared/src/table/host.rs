//! The host index: exact name, then one-label wildcard, then the longest many-label wildcard, then any.

use std::sync::Arc;

use super::HostTable;
use super::shards::Shards;
use crate::ir::HostPattern;

/// Virtual hosts by pattern; a copy shares what does not change.
#[derive(Clone, Debug, Default)]
pub(super) struct HostIndex {
    exact: Shards<Arc<str>, Arc<HostTable>>,
    one_label: Shards<Arc<str>, Arc<HostTable>>,
    many_labels: Shards<Arc<str>, Arc<HostTable>>,
    any: Option<Arc<HostTable>>,
}

impl HostIndex {
    pub(super) fn insert(&mut self, pattern: &HostPattern, table: Arc<HostTable>) {
        match pattern {
            HostPattern::Exact(name) => self.exact.insert(name.clone(), table),
            HostPattern::OneLabel(suffix) => self.one_label.insert(suffix.clone(), table),
            HostPattern::ManyLabels(suffix) => self.many_labels.insert(suffix.clone(), table),
            HostPattern::Any => self.any = Some(table),
        }
    }

    pub(super) fn remove(&mut self, pattern: &HostPattern) {
        match pattern {
            HostPattern::Exact(name) => self.exact.remove(&**name),
            HostPattern::OneLabel(suffix) => self.one_label.remove(&**suffix),
            HostPattern::ManyLabels(suffix) => self.many_labels.remove(&**suffix),
            HostPattern::Any => self.any = None,
        }
    }

    /// All tables, in no order.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<HostTable>> {
        self.exact.values().chain(self.one_label.values()).chain(self.many_labels.values()).chain(&self.any)
    }

    /// The table of exactly this pattern.
    pub(super) fn get(&self, pattern: &HostPattern) -> Option<&Arc<HostTable>> {
        match pattern {
            HostPattern::Exact(name) => self.exact.get(&**name),
            HostPattern::OneLabel(suffix) => self.one_label.get(&**suffix),
            HostPattern::ManyLabels(suffix) => self.many_labels.get(&**suffix),
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
