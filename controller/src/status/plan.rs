//! Which statuses must be written now: wanted against held, and nothing twice in a row.
//!
//! Knows no client. Worked out anew from all Ingresses each time, so that a change that nobody told of is found too.
//! Invariants: only Ingresses of ours are given addresses; only addresses that are ours are taken away; no Ingress is
//! written more than [`OFTEN`] times in [`CALM`], and when somebody else writes it too, once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::networking::v1::Ingress;
use portico_compile::{Key, Object, Snapshot};
use portico_shared::{Kind, ObjectRef};

use super::address::{Addresses, held, holds_none};

/// What is known of past writes and past owners.
#[derive(Debug, Default)]
pub(super) struct Memory {
    written: BTreeMap<Key, Written>,
    retries: BTreeMap<Key, Retry>,
    /// Ingresses that were ours and still exist, with the addresses that they held then.
    left: BTreeMap<Key, Addresses>,
    ours: Arc<BTreeSet<ObjectRef>>,
}

/// The last write to an Ingress.
#[derive(Clone, Debug)]
struct Written {
    addresses: Addresses,
    at: Instant,
    /// The last writes, this one included, up to [`OFTEN`] of them.
    recent: VecDeque<Instant>,
}

/// A write that failed.
#[derive(Clone, Copy, Debug)]
struct Retry {
    failures: u32,
    at: Instant,
}

/// One status to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// Give it these addresses, maybe the first that it has.
    Set { addresses: Addresses, first: bool },
    /// Take its addresses away, if it still holds exactly these.
    Withdraw(Addresses),
}

/// What to write, and when to look again though nothing changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) writes: Vec<(Key, Write)>,
    pub(super) again: Option<Instant>,
}

/// The objects that a plan is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Objects<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) served: &'a BTreeSet<ObjectRef>,
    pub(super) ours: &'a Arc<BTreeSet<ObjectRef>>,
}

impl Memory {
    /// Notes which Ingresses ceased to be ours. Every replica does, as any may have to take their addresses away.
    pub(super) fn observe(&mut self, objects: Objects<'_>) {
        let ingresses = &objects.snapshot.ingresses;
        if !Arc::ptr_eq(&self.ours, objects.ours) {
            let gone = self.ours.difference(objects.ours).map(key);
            let left = gone.filter_map(|key| ingresses.get(&key).map(|ingress| (key, held(&ingress.value))));
            self.left.extend(left.filter(|(_, held)| !held.is_empty()));
            self.ours = objects.ours.clone();
        }
        let ours = |key: &Key| objects.ours.contains(&reference(key));
        // An Ingress of that name made anew starts without a status and is told apart by that.
        self.left
            .retain(|key, left| !ours(key) && ingresses.get(key).is_some_and(|ingress| held(&ingress.value) == *left));
        self.written.retain(|key, _| ingresses.contains_key(key));
        self.retries.retain(|key, _| ingresses.contains_key(key));
    }

    /// What to write so that served Ingresses hold `wanted`, leaving alone what is `busy`. While nobody knows what is
    /// wanted, only what this process wrote is taken away.
    pub(super) fn plan(
        &self,
        objects: Objects<'_>,
        wanted: Option<&Addresses>,
        busy: &BTreeSet<Key>,
        now: Instant,
    ) -> Plan {
        let mut plan = Plan::default();
        for (key, ingress) in objects.snapshot.ingresses.iter().filter(|(key, _)| !busy.contains(*key)) {
            let Some(write) = self.needed(objects, key, ingress, wanted) else { continue };
            let due = self.due(key, &write, now);
            if due <= now {
                plan.writes.push((key.clone(), write));
            } else {
                plan.again = Some(plan.again.map_or(due, |again| again.min(due)));
            }
        }
        plan
    }

    fn needed(
        &self,
        objects: Objects<'_>,
        key: &Key,
        ingress: &Object<Ingress>,
        wanted: Option<&Addresses>,
    ) -> Option<Write> {
        let reference = &ingress.reference;
        if objects.served.contains(reference) {
            let wanted = wanted.filter(|wanted| held(&ingress.value) != **wanted)?;
            return Some(Write::Set { addresses: wanted.clone(), first: holds_none(&ingress.value) });
        }
        if holds_none(&ingress.value) {
            return None;
        }
        let held = held(&ingress.value);
        let written = self.written.get(key).is_some_and(|written| written.addresses == held);
        let was_ours = || {
            let known = objects.ours.contains(reference) || self.left.contains_key(key);
            known || is_orphan(objects.snapshot, &ingress.value)
        };
        (written || Some(&held) == wanted && was_ours()).then_some(Write::Withdraw(held))
    }

    /// When a write may be made: at once when we wrote something else last, but no more than [`OFTEN`] times
    /// in [`CALM`]. When
    /// we wrote the very same, either the news of it has not arrived or somebody else wrote over it: then once.
    fn due(&self, key: &Key, write: &Write, now: Instant) -> Instant {
        let retry = self.retries.get(key).map(|retry| retry.at);
        let calm = self.written.get(key).and_then(|written| {
            let often = written.recent.front().filter(|_| written.recent.len() >= OFTEN).copied();
            let repeated = written.addresses == *write.addresses();
            let since = if repeated { Some(written.at) } else { often };
            since.map(|since| since + CALM)
        });
        retry.into_iter().chain(calm).max().unwrap_or(now)
    }

    /// A write arrived.
    pub(super) fn wrote(&mut self, key: Key, write: &Write, at: Instant) {
        self.retries.remove(&key);
        let mut recent = self.written.remove(&key).map(|written| written.recent).unwrap_or_default();
        recent.drain(..(recent.len() + 1).saturating_sub(OFTEN));
        recent.push_back(at);
        self.written.insert(key, Written { addresses: write.addresses().clone(), at, recent });
    }

    /// A withdrawal found other addresses than those to take away, or no Ingress at all.
    pub(super) fn found_changed(&mut self, key: &Key, now: Instant) {
        self.left.remove(key);
        self.written.remove(key);
        // The news of it is on its way; asking again before it came would find the same.
        self.failed(key.clone(), Some(CALM), now);
    }

    /// A write failed; it is tried again after `pause`, or after a growing one.
    pub(super) fn failed(&mut self, key: Key, pause: Option<Duration>, now: Instant) {
        let failures = self.retries.get(&key).map_or(0, |retry| retry.failures).saturating_add(1);
        let growing = FIRST_RETRY * 2_u32.saturating_pow(failures.min(10) - 1);
        let pause = pause.unwrap_or_default().max(growing).min(LAST_RETRY);
        self.retries.insert(key, Retry { failures, at: now + pause });
    }

    /// Everything of ours that holds `wanted`: to take away when the last replica ends.
    pub(super) fn all(&self, objects: Objects<'_>, wanted: &Addresses) -> Vec<(Key, Write)> {
        let ours = objects.snapshot.ingresses.iter().filter(|(_, it)| objects.ours.contains(&it.reference));
        let holding = ours.filter(|(key, ingress)| {
            let held = held(&ingress.value);
            // What was written a moment ago need not have been told yet.
            let written = self.written.get(*key).is_some_and(|written| written.addresses == *wanted);
            held == *wanted || written && holds_none(&ingress.value)
        });
        holding.map(|(key, _)| (key.clone(), Write::Withdraw(wanted.clone()))).collect()
    }
}

impl Write {
    /// What the status holds afterwards.
    fn addresses(&self) -> &Addresses {
        const NONE: &Addresses = &Addresses::new();
        match self {
            Self::Set { addresses, .. } => addresses,
            Self::Withdraw(_) => NONE,
        }
    }
}

/// Whether no controller can own an Ingress: it names a class that does not exist. Whatever holds our addresses then
/// got them from us, possibly before this process began. Everything else that is not ours is left alone after a
/// restart: another controller of the same addresses may have written it.
fn is_orphan(snapshot: &Snapshot, ingress: &Ingress) -> bool {
    let class = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
    class.is_some_and(|class| !snapshot.options.class_by_name && !snapshot.classes.contains_key(&Key::new("", class)))
}

fn key(reference: &ObjectRef) -> Key {
    Key { namespace: reference.namespace.clone(), name: reference.name.clone() }
}

fn reference(key: &Key) -> ObjectRef {
    ObjectRef { kind: Kind::Ingress, namespace: key.namespace.clone(), name: key.name.clone() }
}

/// Shortest time between two writes of the same status to one Ingress.
pub(super) const CALM: Duration = Duration::from_secs(30);
/// Writes to one Ingress in that time though its objects change all the time.
const OFTEN: usize = 5;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
