//! What is known of each name, and when to ask again. Pure but for the cells it fills: the time comes from outside.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portico_shared::ir::EndpointSource;
use portico_shared::table::{RoutingTable, UpstreamCell};
use portico_shared::{Code, Diagnostic, EndpointSet, Kind, ObjectRef, Severity};
use tokio::time::Instant;

use super::guard::Guard;
use super::lookup::Addresses;

/// The names of a table.
#[derive(Debug)]
pub(super) struct Names {
    guard: Guard,
    entries: HashMap<Arc<str>, Entry>,
    /// Upstreams whose names are not followed because there are too many.
    beyond: Vec<Arc<UpstreamCell>>,
    resolved: u64,
    failed: u64,
    /// Whether the problems may differ from those told last.
    changed: bool,
}

/// Numbers for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Names followed.
    pub names: usize,
    /// Names that the last question gave no address for.
    pub failing: usize,
    /// Questions answered with an address.
    pub resolved: u64,
    /// Questions without one.
    pub failed: u64,
}

#[derive(Debug)]
struct Entry {
    /// Upstreams that are filled, with the port to connect to.
    cells: Vec<(Arc<UpstreamCell>, u16)>,
    addresses: BTreeSet<IpAddr>,
    /// When the addresses are too old to be kept.
    kept_until: Instant,
    /// When to ask; `None` while asking.
    due: Option<Instant>,
    /// Why the last question gave nothing.
    failure: Option<String>,
    problems: Vec<Diagnostic>,
}

impl Names {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard, entries: HashMap::new(), beyond: Vec::new(), resolved: 0, failed: 0, changed: false }
    }

    /// Follows exactly the names of `table`; new ones are due at once.
    pub(super) fn follow(&mut self, table: &RoutingTable, now: Instant) {
        let mut named: BTreeMap<Arc<str>, Vec<(Arc<UpstreamCell>, u16)>> = BTreeMap::new();
        for cell in table.upstreams() {
            if let EndpointSource::Dns { name, port } = &cell.upstream.source {
                named.entry(name.clone()).or_default().push((cell.clone(), *port));
            }
        }
        self.entries.retain(|name, _| named.contains_key(name));
        self.beyond.clear();
        for (name, cells) in named {
            if self.entries.len() >= MOST && !self.entries.contains_key(&name) {
                self.beyond.extend(cells.into_iter().map(|(cell, _)| cell));
                continue;
            }
            let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry::new(now));
            entry.cells = cells;
            entry.fill(&name, &self.guard);
        }
        self.changed = true;
    }

    /// Up to `most` names that are to be asked for now.
    pub(super) fn take_due(&mut self, now: Instant, most: usize) -> Vec<Arc<str>> {
        let due = self.entries.iter_mut().filter(|(_, entry)| entry.due.is_some_and(|due| due <= now));
        due.take(most)
            .map(|(name, entry)| {
                entry.due = None;
                name.clone()
            })
            .collect()
    }

    /// When the next name is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.values().filter_map(|entry| entry.due).min()
    }

    /// Takes an answer.
    pub(super) fn answered(&mut self, name: &str, answer: Result<Addresses, String>, now: Instant) {
        match &answer {
            Ok(_) => self.resolved += 1,
            Err(_) => self.failed += 1,
        }
        // The name may have gone while it was asked for.
        let Some(entry) = self.entries.get_mut(name) else { return };
        match answer {
            Ok(Addresses { addresses, ttl }) => {
                entry.addresses = addresses;
                entry.failure = None;
                entry.kept_until = now + ttl + KEPT;
                entry.due = Some(now + ttl);
            }
            Err(reason) => {
                if now >= entry.kept_until {
                    entry.addresses.clear();
                }
                entry.failure = Some(reason);
                entry.due = Some(now + AFTER_FAILURE);
            }
        }
        self.changed |= entry.fill(name, &self.guard);
    }

    /// Numbers for metrics.
    pub(super) fn counts(&self) -> Counts {
        let failing = self.entries.values().filter(|entry| entry.failure.is_some()).count();
        Counts { names: self.entries.len(), failing, resolved: self.resolved, failed: self.failed }
    }

    /// Everything that is wrong, if that may have changed since the last call.
    pub(super) fn new_problems(&mut self) -> Option<Vec<Diagnostic>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut problems: Vec<_> = self.entries.values().flat_map(|entry| &entry.problems).cloned().collect();
        problems.extend(self.beyond.iter().map(|cell| {
            let message = format!("its name is not resolved: there are more than {MOST}");
            problem(cell, Severity::Error, Code::LimitReached, message)
        }));
        problems.sort();
        problems.dedup();
        Some(problems)
    }
}

impl Entry {
    fn new(now: Instant) -> Self {
        let (cells, addresses, failure, problems) = Default::default();
        Self { cells, addresses, kept_until: now, due: Some(now), failure, problems }
    }

    /// Puts what is known and allowed into the upstreams. Returns whether other problems than before came of it.
    fn fill(&mut self, name: &str, guard: &Guard) -> bool {
        let mut problems = Vec::new();
        for (cell, port) in &self.cells {
            if let Some(reason) = &self.failure {
                let (severity, so) = match self.addresses.is_empty() {
                    true => (Severity::Error, ""),
                    false => (Severity::Warning, "; its last addresses are used for a while"),
                };
                problems.push(problem(cell, severity, Code::ExternalNameRefused, format!("{name} {reason}{so}")));
            }
            let mut allowed = Vec::new();
            for ip in &self.addresses {
                let address = SocketAddr::new(*ip, *port);
                let Some(reason) = guard.refuse(address) else {
                    allowed.push(address);
                    continue;
                };
                let message = format!("{name} leads to {ip}, which is {reason} and is not used");
                problems.push(problem(cell, Severity::Error, Code::ExternalNameRefused, message));
            }
            let set = EndpointSet::new(allowed);
            if *cell.endpoints.load() != set {
                cell.endpoints.store(Arc::new(set));
            }
        }
        let changed = self.problems != problems;
        self.problems = problems;
        changed
    }
}

fn problem(cell: &UpstreamCell, severity: Severity, code: Code, message: String) -> Diagnostic {
    let name = &cell.upstream.name;
    let object = Some(ObjectRef::new(Kind::Service, &name.namespace, &name.service));
    Diagnostic { severity, code, object, field: "spec.externalName".into(), location: None, message, hint: None }
}

/// Names that are followed at most.
const MOST: usize = 10_000;
/// How long addresses are kept past their time when the name cannot be resolved.
const KEPT: Duration = Duration::from_secs(300);
/// Pause after a question that gave nothing.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
