//! The latest objects, and what changed since somebody last looked.
//!
//! Knows no source and compiles nothing. A Secret is read once, when it changes, and the last version of it that had a
//! certificate is remembered until the Secret is deleted. Invariant: a snapshot is never changed after it was handed out.

#[cfg(test)]
mod tests;
mod trigger;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::Secret;
use portico_compile::{AnyObject, Key, Object, Options, SecretEntry, Slice, Snapshot, Sorted, secret};
use portico_shared::ir::CertificateName;
use portico_shared::{Diagnostic, Kind, ObjectRef};

use crate::source::{Change, KINDS, Objects};

/// The latest objects.
#[derive(Debug)]
pub struct Store {
    snapshot: Arc<Snapshot>,
    /// The Service of each EndpointSlice that has one.
    owners: BTreeMap<Key, Key>,
    /// Kinds that were listed whole at least once.
    listed: BTreeSet<Kind>,
    diagnostics: Vec<Diagnostic>,
    dirty: Dirty,
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Objects other than EndpointSlices: everything must be compiled.
    pub objects: bool,
    /// Services whose EndpointSlices changed.
    pub services: BTreeSet<Key>,
    /// Of these, when the oldest of the changes happened, as far as the slices say so and it is news: never of the first
    /// listing.
    pub moments: BTreeMap<Key, SystemTime>,
    /// What the source complains of.
    pub diagnostics: bool,
    /// What an API server says of objects in their status: nothing that is compiled.
    pub statuses: bool,
}

impl Dirty {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anything changed that traffic may notice once it is compiled.
    #[must_use]
    pub fn has_effect(&self) -> bool {
        self.objects || !self.services.is_empty()
    }
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let snapshot = Arc::new(Snapshot { options: Arc::new(options), ..Snapshot::default() });
        let (owners, listed, diagnostics, dirty) = Default::default();
        Self { snapshot, owners, listed, diagnostics, dirty }
    }

    /// Takes a change, all of it or nothing as far as snapshots are concerned.
    pub fn apply(&mut self, change: Change) {
        match change.objects {
            Objects::Update { upserts, deletes } => {
                deletes.iter().for_each(|object| self.delete(object));
                upserts.into_iter().for_each(|object| self.upsert(object));
            }
            Objects::Replace { kinds, objects } => {
                let kept: BTreeSet<_> = objects.iter().map(|object| object.reference().clone()).collect();
                let gone: Vec<_> = kinds.iter().flat_map(|kind| self.references(*kind)).collect();
                gone.iter().filter(|object| !kept.contains(object)).for_each(|object| self.delete(object));
                objects.into_iter().for_each(|object| self.upsert(object));
                // An empty listing is news too.
                self.dirty.objects = true;
                if kinds.contains(&Kind::EndpointSlice) && !self.listed.contains(&Kind::EndpointSlice) {
                    self.dirty.moments.clear();
                }
                self.listed.extend(kinds);
            }
        }
        if let Some(diagnostics) = change.diagnostics {
            self.dirty.diagnostics = true;
            self.diagnostics = diagnostics;
        }
    }

    /// Sets the zone for topology hints, unless the operator chose one.
    pub fn set_zone(&mut self, zone: String) {
        if self.snapshot.options.zone.is_none() {
            let options = Options { zone: Some(zone), ..Options::clone(&self.snapshot.options) };
            Arc::make_mut(&mut self.snapshot).options = Arc::new(options);
            self.dirty.objects = true;
        }
    }

    /// Whether every kind was listed, so that what is missing does not exist.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        KINDS.iter().all(|kind| self.listed.contains(kind))
    }

    /// What the source complains of.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// What changed since the last [`Store::snapshot`].
    #[must_use]
    pub fn dirty(&self) -> &Dirty {
        &self.dirty
    }

    /// The objects as they are, for a look that leaves no trace.
    #[must_use]
    pub fn objects(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The objects as of `now` (seconds since 1970), and what changed since the last call.
    pub fn snapshot(&mut self, now: i64) -> (Arc<Snapshot>, Dirty) {
        if self.snapshot.now != now {
            Arc::make_mut(&mut self.snapshot).now = now;
        }
        (self.snapshot.clone(), std::mem::take(&mut self.dirty))
    }

    /// The objects, and only the Services whose EndpointSlices changed; whatever else changed is still to be looked at.
    pub fn services(&mut self) -> (Arc<Snapshot>, Dirty) {
        let services = std::mem::take(&mut self.dirty.services);
        let moments = std::mem::take(&mut self.dirty.moments);
        (self.snapshot.clone(), Dirty { services, moments, ..Dirty::default() })
    }

    /// Number of objects of each kind.
    #[must_use]
    pub fn counts(&self) -> [(Kind, usize); KINDS.len()] {
        KINDS.map(|kind| (kind, self.count(kind)))
    }

    fn count(&self, kind: Kind) -> usize {
        let snapshot = &*self.snapshot;
        match kind {
            Kind::Ingress => snapshot.ingresses.len(),
            Kind::IngressClass => snapshot.classes.len(),
            Kind::Service => snapshot.services.len(),
            Kind::EndpointSlice => self.owners.len(),
            Kind::Secret => snapshot.secrets.len(),
            Kind::ConfigMap => snapshot.config_maps.len(),
            Kind::Namespace => snapshot.namespaces.len(),
        }
    }

    fn references(&self, kind: Kind) -> Vec<ObjectRef> {
        let snapshot = &*self.snapshot;
        let keys: Vec<&Key> = match kind {
            Kind::Ingress => snapshot.ingresses.keys().collect(),
            Kind::IngressClass => snapshot.classes.keys().collect(),
            Kind::Service => snapshot.services.keys().collect(),
            Kind::EndpointSlice => self.owners.keys().collect(),
            Kind::Secret => snapshot.secrets.keys().collect(),
            Kind::ConfigMap => snapshot.config_maps.keys().collect(),
            Kind::Namespace => snapshot.namespaces.keys().collect(),
        };
        keys.into_iter().map(|key| ObjectRef::new(kind, &key.namespace, &key.name)).collect()
    }

    fn upsert(&mut self, object: AnyObject) {
        if let AnyObject::EndpointSlice(slice) = object {
            return self.upsert_slice(slice);
        }
        match difference(&self.snapshot, &object) {
            Difference::None => return,
            Difference::Status => self.dirty.statuses = true,
            Difference::Meaning => self.dirty.objects = true,
        }
        let snapshot = Arc::make_mut(&mut self.snapshot);
        match object {
            AnyObject::Ingress(o) => drop(snapshot.ingresses.insert(o.key(), o)),
            AnyObject::IngressClass(o) => drop(snapshot.classes.insert(o.key(), o)),
            AnyObject::Service(o) => drop(snapshot.services.insert(o.key(), o)),
            AnyObject::Secret(o) => upsert_secret(&mut snapshot.secrets, o),
            AnyObject::ConfigMap(o) => drop(snapshot.config_maps.insert(o.key(), o)),
            AnyObject::Namespace(o) => drop(snapshot.namespaces.insert(o.key(), o)),
            AnyObject::EndpointSlice(_) => {}
        }
    }

    fn upsert_slice(&mut self, slice: Arc<Object<Slice>>) {
        let key = slice.key();
        let service = service_of(&slice);
        let before = service.as_ref().and_then(|service| self.snapshot.slice(service, &key.name));
        if before.is_some_and(|before| before.spans.is_none() && before.value == slice.value) {
            return;
        }
        let moment = trigger::news(before.map(|before| &before.value), &slice.value);
        if self.owners.get(&key) != service.as_ref() {
            self.delete_slice(&key);
        }
        let Some(service) = service else { return };
        self.owners.insert(key.clone(), service.clone());
        Arc::make_mut(&mut self.snapshot).set_slice(service.clone(), slice);
        if let Some(moment) = moment {
            let oldest = self.dirty.moments.entry(service.clone()).or_insert(moment);
            *oldest = moment.min(*oldest);
        }
        self.dirty.services.insert(service);
    }

    fn delete(&mut self, object: &ObjectRef) {
        let key = Key { namespace: object.namespace.clone(), name: object.name.clone() };
        if object.kind == Kind::EndpointSlice {
            return self.delete_slice(&key);
        }
        if !self.holds(object.kind, &key) {
            return;
        }
        self.dirty.objects = true;
        let snapshot = Arc::make_mut(&mut self.snapshot);
        match object.kind {
            Kind::Ingress => drop(snapshot.ingresses.remove(&key)),
            Kind::IngressClass => drop(snapshot.classes.remove(&key)),
            Kind::Service => drop(snapshot.services.remove(&key)),
            Kind::Secret => drop(snapshot.secrets.remove(&key)),
            Kind::ConfigMap => drop(snapshot.config_maps.remove(&key)),
            Kind::Namespace => drop(snapshot.namespaces.remove(&key)),
            Kind::EndpointSlice => {}
        }
    }

    fn holds(&self, kind: Kind, key: &Key) -> bool {
        let snapshot = &*self.snapshot;
        match kind {
            Kind::Ingress => snapshot.ingresses.contains_key(key),
            Kind::IngressClass => snapshot.classes.contains_key(key),
            Kind::Service => snapshot.services.contains_key(key),
            Kind::EndpointSlice => self.owners.contains_key(key),
            Kind::Secret => snapshot.secrets.contains_key(key),
            Kind::ConfigMap => snapshot.config_maps.contains_key(key),
            Kind::Namespace => snapshot.namespaces.contains_key(key),
        }
    }

    fn delete_slice(&mut self, key: &Key) {
        let Some(service) = self.owners.remove(key) else { return };
        Arc::make_mut(&mut self.snapshot).remove_slice(&service, &key.name);
        self.dirty.services.insert(service);
    }
}

/// How an object differs from the one that is kept.
enum Difference {
    None,
    /// Only in what an API server says of it.
    Status,
    Meaning,
}

/// Compares by content alone: resource versions repeat themselves when an API server's memory is restored. An object with
/// places in a file always differs, since those may have moved.
fn difference(snapshot: &Snapshot, object: &AnyObject) -> Difference {
    fn compare<T>(
        before: Option<&Arc<Object<T>>>,
        after: &Arc<Object<T>>,
        same: impl Fn(&T, &T) -> (bool, bool),
    ) -> Difference {
        let Some(before) = before.filter(|before| before.spans.is_none() && after.spans.is_none()) else {
            return Difference::Meaning;
        };
        match same(&before.value, &after.value) {
            (false, _) => Difference::Meaning,
            (true, false) => Difference::Status,
            (true, true) => Difference::None,
        }
    }
    match object {
        AnyObject::Ingress(o) => compare(snapshot.ingresses.get(&o.key()), o, |a, b| {
            (a.metadata == b.metadata && a.spec == b.spec, a.status == b.status)
        }),
        AnyObject::Service(o) => compare(snapshot.services.get(&o.key()), o, |a, b| {
            (a.metadata == b.metadata && a.spec == b.spec, a.status == b.status)
        }),
        AnyObject::IngressClass(o) => compare(snapshot.classes.get(&o.key()), o, |a, b| (a == b, true)),
        AnyObject::ConfigMap(o) => compare(snapshot.config_maps.get(&o.key()), o, |a, b| (a == b, true)),
        AnyObject::Namespace(o) => compare(snapshot.namespaces.get(&o.key()), o, |a, b| (a == b, true)),
        AnyObject::Secret(o) => {
            compare(snapshot.secrets.get(&o.key()).map(|entry| &entry.object), o, |a, b| (a == b, true))
        }
        AnyObject::EndpointSlice(_) => Difference::Meaning,
    }
}

/// The Service that an EndpointSlice belongs to.
fn service_of(slice: &Object<Slice>) -> Option<Key> {
    Some(Key { namespace: slice.reference.namespace.clone(), name: slice.value.service.clone()? })
}

fn upsert_secret(secrets: &mut Sorted<Key, SecretEntry>, object: Arc<Object<Secret>>) {
    let key = object.key();
    let before = secrets.get(&key);
    // The same content keeps the same certificate value, so that nothing that holds it has to change.
    if let Some(entry) = before.filter(|entry| entry.object.value.data == object.value.data) {
        let entry = SecretEntry { object, ..entry.clone() };
        secrets.insert(key, entry);
        return;
    }
    let name = CertificateName { namespace: key.namespace.clone(), secret: key.name.clone() };
    let certificate = secret::read(name, &object.value).map(Arc::new);
    let usable = certificate.as_ref().ok().cloned();
    let last_usable = usable.or_else(|| before.and_then(|entry| entry.last_usable.clone()));
    secrets.insert(key, SecretEntry { object, certificate, last_usable });
}
