//! What a change touches: Ingresses that are to be read, and the hosts that they are read for.
//!
//! An Ingress is touched when it changed itself or when something did that it refers to. A host is touched when a touched
//! Ingress names it, or named it. Of a touched host everything is made again, so every Ingress that names it is read;
//! nothing else that those name is touched by that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::Ingress;
use portico_shared::ir::HostPattern;
use portico_shared::{Kind, ObjectRef};

use super::Memory;
use crate::caps::Caps;
use crate::class::{Classes, seniority};
use crate::ingress::{self, Scope, host};
use crate::report::Reporter;
use crate::snapshot::{Key, Object, SecretEntry, Snapshot};

/// What is to be compiled.
#[derive(Debug, Default)]
pub(crate) struct Work<'a> {
    pub(crate) scope: Scope,
    /// Ingresses of ours to read, oldest first.
    pub(crate) ingresses: Vec<&'a Arc<Object<Ingress>>>,
    /// Of those that changed in any way, the ones that are over a cap: nothing of them is read.
    pub(crate) refused: Vec<&'a Arc<Object<Ingress>>>,
    /// Of wildcard hosts out of scope that stand above names in it, the oldest Ingress.
    pub(crate) owners: HashMap<HostPattern, &'a ObjectRef>,
    /// Services of which nothing may be kept.
    pub(crate) services: HashSet<Key>,
    /// Ingresses that changed or refer to what did. Not told when everything is compiled.
    pub(crate) touched: BTreeSet<Key>,
}

impl<'a> Work<'a> {
    /// What is different in a snapshot. When that is much, or nothing was compiled before, it is everything, and memory is
    /// emptied.
    pub(crate) fn find(snapshot: &'a Snapshot, memory: &mut Memory, report: &mut Reporter) -> Self {
        let (classes, options) = (Classes::new(snapshot), &*snapshot.options);
        let mut caps = std::mem::take(&mut memory.caps);
        let Some((touched, services)) = memory.touched(snapshot, &classes, &mut caps) else {
            memory.forget();
            let ours: Vec<_> = crate::class::ours(snapshot, report).collect();
            memory.caps = Caps::new(&ours, options);
            let (refused, mut ingresses): (Vec<_>, Vec<_>) =
                ours.into_iter().partition(|ingress| memory.caps.refuses(ingress, options, report));
            // They come by namespace and name.
            ingresses.sort_by(|a, b| seniority(a).cmp(&seniority(b)));
            return Self { ingresses, refused, ..Self::default() };
        };
        memory.caps = caps;
        // Misses and certificates without a host are settled each time, and they depend on these.
        let mut hosts = HashSet::from([HostPattern::Any]);
        let mut reading = BTreeMap::new();
        let mut refused = Vec::new();
        for key in &touched {
            let before = memory.ingress(key);
            let mut after = snapshot.ingresses.get(key).filter(|ingress| classes.takes(ingress, report));
            refused.extend(after.take_if(|ingress| memory.caps.refuses(ingress, options, report)));
            let named = before.into_iter().chain(after).map(|ingress| &ingress.value);
            hosts.extend(named.flat_map(|ingress| ingress::ruled(ingress).chain(ingress::listed(ingress))));
            reading.extend(after.map(|ingress| (ingress.key(), ingress)));
        }
        hosts.extend(memory.names_below(&hosts));
        let naming = hosts.iter().filter_map(|pattern| memory.hosts.get(pattern));
        let naming = naming.flat_map(|record| record.named_by.iter().map(|(ingress, _)| ingress));
        for key in naming.chain(memory.users.ruleless()).map(|ingress| ingress.key()) {
            if !touched.contains(&key) {
                let ingress = snapshot.ingresses.get(&key).expect("an Ingress that is gone is touched");
                reading.insert(key, ingress);
            }
        }
        let mut ingresses: Vec<_> = reading.into_values().collect();
        ingresses.sort_by(|a, b| seniority(a).cmp(&seniority(b)));
        let owners = memory.owners_above(snapshot, &ingresses, &hosts);
        Self { scope: Scope::Hosts(hosts), ingresses, refused, owners, services, touched }
    }

    /// Whether everything is compiled.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.scope, Scope::Whole)
    }
}

impl Memory {
    /// Ingresses that changed or refer to what did, and Services that did; `None` when everything is to be compiled.
    fn touched(
        &self,
        snapshot: &Snapshot,
        classes: &Classes<'_>,
        caps: &mut Caps,
    ) -> Option<(BTreeSet<Key>, HashSet<Key>)> {
        let before = self.snapshot.as_ref().filter(|before| before.options == snapshot.options)?;
        if !snapshot.classes.differences(&before.classes, Arc::ptr_eq).is_empty() {
            return None;
        }
        let services = snapshot.services.differences(&before.services, Arc::ptr_eq);
        let slices = snapshot.slices.differences(&before.slices, Arc::ptr_eq);
        let mut services: HashSet<Key> = services.into_iter().chain(slices).cloned().collect();
        let secrets: BTreeSet<_> = snapshot.secrets.differences(&before.secrets, same).into_iter().collect();
        let verified = self.authorities.iter().filter(|(_, secret)| secrets.contains(secret));
        services
            .extend(verified.map(|(name, _)| Key { namespace: name.namespace.clone(), name: name.service.clone() }));

        let ingresses = snapshot.ingresses.differences(&before.ingresses, Arc::ptr_eq);
        let mut touched: BTreeSet<Key> = ingresses.iter().copied().cloned().collect();
        let users = services.iter().flat_map(|key| self.users.of_service(key));
        let users = users.chain(secrets.into_iter().flat_map(|key| self.users.of_secret(key)));
        touched.extend(users.map(|ingress| ingress.key()));
        let many = (snapshot.ingresses.len() / SHARE).max(FEW);
        if touched.len() > many {
            return None;
        }
        // Told when they are read.
        let takes = |ingress: &&Arc<_>| classes.takes(ingress, &mut Reporter::default());
        let changes = ingresses.into_iter().map(|key| [self.ingress(key), snapshot.ingresses.get(key).filter(takes)]);
        touched.extend(caps.change(changes, snapshot, classes));
        (touched.len() <= many).then_some((touched, services))
    }

    /// An Ingress of ours as it was.
    pub(super) fn ingress(&self, key: &Key) -> Option<&Arc<Object<Ingress>>> {
        let reference = ObjectRef { kind: Kind::Ingress, namespace: key.namespace.clone(), name: key.name.clone() };
        let before = self.snapshot.as_ref().filter(|_| self.ours.contains(&reference))?;
        before.ingresses.get(key)
    }

    /// Names of TLS entries below wildcards among these hosts: what such a host is decides about them.
    fn names_below(&self, hosts: &HashSet<HostPattern>) -> Vec<HostPattern> {
        let wildcards = hosts.iter().filter(|pattern| matches!(pattern, HostPattern::OneLabel(_)));
        let names = wildcards.flat_map(|wildcard| {
            let listed = self.users.below(wildcard).iter().flat_map(|ingress| ingress::listed(&ingress.value));
            listed.filter(|pattern| host::wildcard_above(pattern).as_ref() == Some(wildcard))
        });
        names.collect()
    }

    /// The oldest Ingresses of wildcards that are none of these hosts, but stand above names among them.
    fn owners_above<'a>(
        &self,
        snapshot: &'a Snapshot,
        ingresses: &[&'a Arc<Object<Ingress>>],
        hosts: &HashSet<HostPattern>,
    ) -> HashMap<HostPattern, &'a ObjectRef> {
        let names = ingresses.iter().flat_map(|ingress| ingress::listed(&ingress.value));
        let above = names.filter(|name| hosts.contains(name)).filter_map(|name| host::wildcard_above(&name));
        let above: HashSet<_> = above.filter(|wildcard| !hosts.contains(wildcard)).collect();
        let owners = above.into_iter().filter_map(|wildcard| {
            let naming = self.hosts.get(&wildcard)?.named_by.iter().map(|(ingress, _)| ingress);
            let owner = naming.into_iter().find(|it| ingress::ruled(&it.value).any(|pattern| pattern == wildcard))?;
            Some((wildcard, &snapshot.ingresses.get(&owner.key())?.reference))
        });
        owners.collect()
    }
}

/// Whether a Secret is the one it was.
fn same(a: &SecretEntry, b: &SecretEntry) -> bool {
    let certificate = match (&a.certificate, &b.certificate) {
        (Ok(a), Ok(b)) => Arc::ptr_eq(a, b),
        (a, b) => a == b,
    };
    let usable = a.last_usable.as_ref().map(Arc::as_ptr) == b.last_usable.as_ref().map(Arc::as_ptr);
    Arc::ptr_eq(&a.object, &b.object) && certificate && usable
}

/// Touched Ingresses from this part of all on make it worth while to compile everything.
const SHARE: usize = 4;
/// As many touched Ingresses never do.
const FEW: usize = 64;
