//! The latest objects, and what changed since somebody last looked.
//!
//! Knows no source and compiles nothing. A Secret is read once, when it changes, and the last version of it that had a
//! certificate is remembered until the Secret is deleted. Invariant: a snapshot is never changed after it was handed out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use portico_compile::{AnyObject, Key, Object, Options, SERVICE_LABEL, SecretEntry, Snapshot, secret};
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
    /// What the source complains of.
    pub diagnostics: bool,
}

impl Dirty {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
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
                self.listed.extend(kinds);
            }
        }
        if let Some(diagnostics) = change.diagnostics {
            self.dirty.diagnostics = true;
            self.diagnostics = diagnostics;
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

    /// The objects as of `now` (seconds since 1970), and what changed since the last call.
    pub fn snapshot(&mut self, now: i64) -> (Arc<Snapshot>, Dirty) {
        if self.snapshot.now != now {
            Arc::make_mut(&mut self.snapshot).now = now;
        }
        (self.snapshot.clone(), std::mem::take(&mut self.dirty))
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
        self.dirty.objects = true;
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

    fn upsert_slice(&mut self, slice: Arc<Object<EndpointSlice>>) {
        let key = slice.key();
        let service = service_of(&slice);
        if self.owners.get(&key) != service.as_ref() {
            self.delete_slice(&key);
        }
        let Some(service) = service else { return };
        self.owners.insert(key.clone(), service.clone());
        let snapshot = Arc::make_mut(&mut self.snapshot);
        snapshot.slices.entry(service.clone()).or_default().insert(key.name, slice);
        self.dirty.services.insert(service);
    }

    fn delete(&mut self, object: &ObjectRef) {
        let key = Key { namespace: object.namespace.clone(), name: object.name.clone() };
        if object.kind == Kind::EndpointSlice {
            return self.delete_slice(&key);
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

    fn delete_slice(&mut self, key: &Key) {
        let Some(service) = self.owners.remove(key) else { return };
        let snapshot = Arc::make_mut(&mut self.snapshot);
        if let Some(slices) = snapshot.slices.get_mut(&service) {
            slices.remove(&key.name);
            if slices.is_empty() {
                snapshot.slices.remove(&service);
            }
        }
        self.dirty.services.insert(service);
    }
}

/// The Service that an EndpointSlice belongs to.
fn service_of(slice: &Object<EndpointSlice>) -> Option<Key> {
    let name = slice.value.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
    Some(Key { namespace: slice.reference.namespace.clone(), name: name.as_str().into() })
}

fn upsert_secret(secrets: &mut BTreeMap<Key, SecretEntry>, object: Arc<Object<Secret>>) {
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use portico_compile::manifest;

    use super::*;

    fn objects(text: &str) -> Vec<AnyObject> {
        let manifest = manifest::parse("test.yaml", text);
        assert_eq!(manifest.diagnostics, []);
        manifest.objects
    }

    fn change(objects: Objects) -> Change {
        Change { objects, diagnostics: None, noticed: Instant::now() }
    }

    fn update(text: &str, deletes: &[ObjectRef]) -> Change {
        change(Objects::Update { upserts: objects(text), deletes: deletes.to_vec() })
    }

    fn slice(name: &str, service: &str, address: &str) -> String {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}\n  labels: \
             {{kubernetes.io/service-name: {service}}}\naddressType: IPv4\nendpoints: [{{addresses: [{address}]}}]\n\
             ports: [{{port: 80}}]\n---\n"
        )
    }

    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n---\n";

    #[test]
    fn slices_alone_dirty_only_their_services() {
        let mut store = Store::new(Options::default());
        store.apply(change(Objects::Replace { kinds: KINDS.to_vec(), objects: objects(SERVICE) }));
        assert!(store.is_complete() && store.dirty().objects);
        let (first, _) = store.snapshot(1);
        store.apply(update(&slice("s1", "a", "10.0.0.1"), &[]));
        let (second, dirty) = store.snapshot(1);
        assert_eq!(dirty, Dirty { services: [Key::new("default", "a")].into(), ..Dirty::default() });
        assert_eq!((first.slices.len(), second.slices.len()), (0, 1), "what was handed out stays as it was");
        store.apply(update(&slice("s1", "b", "10.0.0.1"), &[]));
        let (third, dirty) = store.snapshot(1);
        assert_eq!(dirty.services, [Key::new("default", "a"), Key::new("default", "b")].into());
        assert!(!third.slices.contains_key(&Key::new("default", "a")));
        store.apply(update("", &[ObjectRef::new(Kind::EndpointSlice, "default", "s1")]));
        let (fourth, dirty) = store.snapshot(2);
        assert_eq!((fourth.slices.len(), dirty.services.len(), fourth.now), (0, 1, 2));
        assert!(store.dirty().is_clean());
    }

    #[test]
    fn listing_of_a_kind_takes_away_what_it_does_not_name() {
        let mut store = Store::new(Options::default());
        store.apply(update(&(SERVICE.to_owned() + &slice("s", "a", "10.0.0.1")), &[]));
        assert!(!store.is_complete());
        store.apply(change(Objects::Replace { kinds: vec![Kind::EndpointSlice], objects: Vec::new() }));
        let counts: BTreeMap<_, _> = store.counts().into_iter().collect();
        assert_eq!((counts[&Kind::Service], counts[&Kind::EndpointSlice]), (1, 0));
    }

    #[test]
    fn secret_remembers_its_last_usable_certificate() {
        let issued = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a certificate");
        let secret = |cert: &str| {
            let key = issued.signing_key.serialize_pem().replace('\n', "\n    ");
            let cert = cert.replace('\n', "\n    ");
            format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: t}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: \
                 |\n    {cert}\n  tls.key: |\n    {key}\n"
            )
        };
        let mut store = Store::new(Options::default());
        store.apply(update(&secret(&issued.cert.pem()), &[]));
        let key = Key::new("default", "t");
        let good = store.snapshot(0).0.secrets[&key].certificate.clone().expect("usable");
        store.apply(update(&secret("nothing"), &[]));
        let entry = store.snapshot(0).0.secrets[&key].clone();
        assert!(entry.certificate.is_err());
        assert_eq!(entry.last_usable.as_deref(), Some(&*good));
        store.apply(update("", &[ObjectRef::new(Kind::Secret, "default", "t")]));
        assert!(store.snapshot(0).0.secrets.is_empty());
    }
}
