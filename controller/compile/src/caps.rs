//! Caps on what the Ingresses of one namespace may ask for, so that no tenant takes what all share.
//!
//! An Ingress that would bring its namespace over a cap is refused as a whole, as if it were not there; the oldest ones
//! keep what they have, and a younger one that still fits is served. Knows numbers only, nothing of what they are for.
//! Invariant: who is refused follows from the Ingresses of ours in that namespace alone, whatever order they came in.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::Ingress;
use portico_shared::Code;

use crate::class::{Classes, seniority};
use crate::report::{Problem, Reporter, Subject};
use crate::snapshot::{Key, Object, Options, Snapshot};
use crate::wanted;

/// What each namespace asks for, and who of it gets nothing.
#[derive(Debug, Default)]
pub(crate) struct Caps {
    namespaces: HashMap<Arc<str>, Asked>,
    refused: BTreeMap<Key, Cap>,
}

/// What the Ingresses of one namespace ask for together, refused ones included.
#[derive(Debug, Default)]
struct Asked {
    ingresses: usize,
    rules: usize,
    /// Secrets of certificates, with the number of Ingresses that name each.
    certificates: HashMap<Box<str>, usize>,
}

/// The cap that an Ingress is refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cap {
    Rules,
    Certificates,
}

impl Caps {
    /// Counts all Ingresses of ours.
    pub(crate) fn new(ours: &[&Arc<Object<Ingress>>], options: &Options) -> Self {
        let mut caps = Self::default();
        if !is_capped(options) {
            return caps;
        }
        ours.iter().for_each(|ingress| caps.add(ingress));
        let over = caps.namespaces.iter().filter(|(_, asked)| asked.is_over(options));
        let mut over: HashMap<_, _> = over.map(|(namespace, _)| (namespace.clone(), Vec::new())).collect();
        if !over.is_empty() {
            for ingress in ours {
                over.get_mut(&ingress.reference.namespace).into_iter().for_each(|all| all.push(*ingress));
            }
            caps.refused = over.into_values().flat_map(|all| refused(all, options)).collect();
        }
        caps
    }

    /// Takes note of Ingresses of ours that are others than before; returns those whose fate changed with that, and
    /// perhaps did not change themselves.
    pub(crate) fn change<'a>(
        &mut self,
        changes: impl IntoIterator<Item = [Option<&'a Arc<Object<Ingress>>>; 2]>,
        snapshot: &Snapshot,
        classes: &Classes<'_>,
    ) -> BTreeSet<Key> {
        let options = &*snapshot.options;
        let mut changed = BTreeSet::new();
        if !is_capped(options) {
            return changed;
        }
        let mut namespaces: HashSet<Arc<str>> = HashSet::new();
        for [before, after] in changes {
            before.into_iter().for_each(|ingress| self.remove(ingress));
            after.into_iter().for_each(|ingress| self.add(ingress));
            namespaces.extend(before.or(after).map(|ingress| ingress.reference.namespace.clone()));
        }
        for namespace in namespaces {
            let before: BTreeMap<_, _> = self.refused_in(&namespace).map(|(key, cap)| (key.clone(), *cap)).collect();
            let is_over = self.namespaces.get(&namespace).is_some_and(|asked| asked.is_over(options));
            if before.is_empty() && !is_over {
                continue;
            }
            let ingresses = within(snapshot, &namespace).filter(|it| classes.takes(it, &mut Reporter::default()));
            let now = if is_over { refused(ingresses.collect(), options) } else { BTreeMap::new() };
            changed.extend(before.iter().filter(|(key, cap)| now.get(*key) != Some(*cap)).map(|(key, _)| key.clone()));
            changed.extend(now.keys().filter(|key| !before.contains_key(*key)).cloned());
            self.refused.retain(|key, _| !before.contains_key(key));
            self.refused.extend(now);
        }
        changed
    }

    /// Whether an Ingress is refused; it is told.
    pub(crate) fn refuses(&self, ingress: &Object<Ingress>, options: &Options, report: &mut Reporter) -> bool {
        if self.refused.is_empty() {
            return false;
        }
        let key = ingress.key();
        let Some(cap) = self.refused.get(&key) else { return false };
        report.turn_to(Subject::Ingress(key));
        report.add(ingress, cap.problem(ingress, options));
        true
    }

    /// Whether an Ingress is not refused.
    pub(crate) fn admits(&self, ingress: &Object<Ingress>) -> bool {
        self.refused.is_empty() || !self.refused.contains_key(&ingress.key())
    }

    fn refused_in(&self, namespace: &Arc<str>) -> impl Iterator<Item = (&Key, &Cap)> {
        let first = Key { namespace: namespace.clone(), name: "".into() };
        self.refused.range(first..).take_while(move |(key, _)| key.namespace == *namespace)
    }

    fn add(&mut self, ingress: &Object<Ingress>) {
        let asked = self.namespaces.entry(ingress.reference.namespace.clone()).or_default();
        asked.ingresses += 1;
        asked.rules += rules(&ingress.value);
        for name in certificates(&ingress.value) {
            *asked.certificates.entry(name.into()).or_default() += 1;
        }
    }

    fn remove(&mut self, ingress: &Object<Ingress>) {
        let Some(asked) = self.namespaces.get_mut(&ingress.reference.namespace) else { return };
        asked.ingresses -= 1;
        asked.rules -= rules(&ingress.value);
        for name in certificates(&ingress.value) {
            let Some(count) = asked.certificates.get_mut(name) else { continue };
            *count -= 1;
            if *count == 0 {
                asked.certificates.remove(name);
            }
        }
        if asked.ingresses == 0 {
            self.namespaces.remove(&ingress.reference.namespace);
        }
    }
}

impl Asked {
    fn is_over(&self, options: &Options) -> bool {
        exceeds(self.rules, options.rules_per_namespace)
            || exceeds(self.certificates.len(), options.certificates_per_namespace)
    }
}

impl Cap {
    /// What is told of the Ingress: nothing that another one's change would make untrue.
    fn problem(self, ingress: &Object<Ingress>, options: &Options) -> Problem {
        let (what, field, asked, cap, flag) = match self {
            Self::Rules => {
                let asked = rules(&ingress.value);
                ("rules", "spec.rules", asked, options.rules_per_namespace, "--max-rules-per-namespace")
            }
            Self::Certificates => {
                let asked = certificates(&ingress.value).len();
                let flag = "--max-certificates-per-namespace";
                ("certificates", "spec.tls", asked, options.certificates_per_namespace, flag)
            }
        };
        let cap = cap.unwrap_or_default();
        let message = format!(
            "its {what} ({asked}) would bring its namespace over the cap of {cap}; nothing of the Ingress is served"
        );
        let hint = format!("remove what the namespace does not need, or have the operator raise {flag}");
        Problem::error(Code::LimitReached, field, message).hint(hint)
    }
}

/// Those of one namespace's Ingresses that do not fit, each looked at after the older ones.
fn refused(mut ingresses: Vec<&Arc<Object<Ingress>>>, options: &Options) -> BTreeMap<Key, Cap> {
    ingresses.sort_by(|a, b| seniority(a).cmp(&seniority(b)));
    let (mut taken, mut named) = (0, HashSet::new());
    let mut refused = BTreeMap::new();
    for ingress in ingresses {
        let (rules, certificates) = (rules(&ingress.value), certificates(&ingress.value));
        let new = certificates.iter().filter(|name| !named.contains(*name)).count();
        if exceeds(taken + rules, options.rules_per_namespace) {
            refused.insert(ingress.key(), Cap::Rules);
        } else if new > 0 && exceeds(named.len() + new, options.certificates_per_namespace) {
            refused.insert(ingress.key(), Cap::Certificates);
        } else {
            taken += rules;
            named.extend(certificates);
        }
    }
    refused
}

fn is_capped(options: &Options) -> bool {
    options.rules_per_namespace.is_some() || options.certificates_per_namespace.is_some()
}

fn exceeds(count: usize, cap: Option<usize>) -> bool {
    cap.is_some_and(|cap| count > cap)
}

/// Rules as they are counted: paths, and hosts without any; or the names listed for TLS, when these are more; at least one.
fn rules(ingress: &Ingress) -> usize {
    let Some(spec) = &ingress.spec else { return 1 };
    let paths = spec.rules.iter().flatten().map(|rule| rule.http.as_ref().map_or(0, |http| http.paths.len()).max(1));
    let listed = spec.tls.iter().flatten().map(|entry| entry.hosts.as_ref().map_or(0, Vec::len));
    paths.sum::<usize>().max(listed.sum()).max(1)
}

/// Secrets that its certificates are read from.
fn certificates(ingress: &Ingress) -> HashSet<&str> {
    wanted::certificates(ingress).collect()
}

/// Ingresses of one namespace, of whatever class.
fn within<'a>(snapshot: &'a Snapshot, namespace: &Arc<str>) -> impl Iterator<Item = &'a Arc<Object<Ingress>>> {
    let namespace = namespace.clone();
    let first = Key { namespace: namespace.clone(), name: "".into() };
    let from = snapshot.ingresses.from(&first).map(|(_, ingress)| ingress);
    from.take_while(move |ingress| ingress.reference.namespace == namespace)
}
