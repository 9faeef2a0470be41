//! What was told of each object: enough to see whether it changed, without a second copy.
//!
//! Compares by content, since versions repeat themselves when an API's memory is restored.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::time::Instant;

use portico_compile::{AnyObject, Key};
use portico_shared::{Kind, ObjectRef};
use serde::Serialize;

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Known {
    told: HashMap<Key, u64>,
    hasher: RandomState,
}

/// A listing that is being read, after objects were told before.
#[derive(Debug, Default)]
pub(super) struct Relist {
    seen: HashSet<Key>,
    /// Changed objects that are not told before the end, by which time they may be gone.
    changed: Vec<AnyObject>,
}

impl Known {
    /// Whether this object differs from what was told of it, which it is from now on.
    pub(super) fn note(&mut self, object: &AnyObject) -> bool {
        let print = self.fingerprint(object);
        self.told.insert(key(object.reference()), print) != Some(print)
    }

    /// Whether something was told of this object, which is gone from now on.
    pub(super) fn forget(&mut self, key: &Key) -> bool {
        self.told.remove(key).is_some()
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.told.contains_key(key)
    }

    /// Number of objects told of for which this holds.
    pub(super) fn count(&self, holds: impl Fn(&Key) -> bool) -> usize {
        self.told.keys().filter(|key| holds(key)).count()
    }

    /// Forgets and gives what was told of in this scope (all, or one namespace) and is not kept.
    pub(super) fn retain(&mut self, scope: Option<&str>, keep: impl Fn(&Key) -> bool) -> Vec<Key> {
        let in_scope = |key: &Key| scope.is_none_or(|namespace| *key.namespace == *namespace);
        self.told.extract_if(|key, _| in_scope(key) && !keep(key)).map(|(key, _)| key).collect()
    }

    fn fingerprint(&self, object: &AnyObject) -> u64 {
        let mut writer = HashWriter(self.hasher.build_hasher());
        let written = match object {
            AnyObject::Ingress(it) => write(&mut writer, &it.value),
            AnyObject::IngressClass(it) => write(&mut writer, &it.value),
            AnyObject::Service(it) => write(&mut writer, &it.value),
            AnyObject::EndpointSlice(it) => write(&mut writer, &it.value),
            AnyObject::Secret(it) => write(&mut writer, &it.value),
            AnyObject::ConfigMap(it) => write(&mut writer, &it.value),
            AnyObject::Namespace(it) => write(&mut writer, &it.value),
        };
        written.expect("an object that was read from JSON can be written as JSON");
        writer.0.finish()
    }
}

impl Relist {
    /// Starts over. What changed in a listing that broke off was noted as told, and is kept.
    pub(super) fn begin(&mut self) {
        self.seen.clear();
    }

    pub(super) fn see(&mut self, key: Key) {
        self.seen.insert(key);
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.seen.contains(key)
    }

    pub(super) fn changed(&mut self, object: AnyObject) {
        self.changed.push(object);
    }

    /// Puts what changed among what is told next.
    pub(super) fn settle(&mut self, pending: &mut Pending) {
        std::mem::take(&mut self.changed).into_iter().for_each(|object| pending.upsert(object));
    }
}

/// Changes that will be told together, the last one of each object only.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: BTreeMap<ObjectRef, Option<AnyObject>>,
    noticed: Option<Instant>,
}

impl Pending {
    pub(super) fn upsert(&mut self, object: AnyObject) {
        self.changes.insert(object.reference().clone(), Some(object));
    }

    pub(super) fn delete(&mut self, object: ObjectRef) {
        self.changes.insert(object, None);
    }

    /// Something in it was noticed then.
    pub(super) fn noticed(&mut self, at: Instant) {
        self.noticed = Some(self.noticed.map_or(at, |first| first.min(at)));
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Everything so far: upserts, and deletes.
    pub(super) fn take(&mut self) -> (Vec<AnyObject>, Vec<ObjectRef>) {
        let (mut upserts, mut deletes) = (Vec::new(), Vec::new());
        for (reference, object) in std::mem::take(&mut self.changes) {
            match object {
                Some(object) => upserts.push(object),
                None => deletes.push(reference),
            }
        }
        (upserts, deletes)
    }

    /// When the first of it was noticed; asked once.
    pub(super) fn since(&mut self) -> Instant {
        self.noticed.take().unwrap_or_else(Instant::now)
    }
}

/// The key of an object, whatever its kind.
pub(super) fn key(reference: &ObjectRef) -> Key {
    Key { namespace: reference.namespace.clone(), name: reference.name.clone() }
}

/// The identity of an object of this kind.
pub(super) fn reference(kind: Kind, key: &Key) -> ObjectRef {
    ObjectRef { kind, namespace: key.namespace.clone(), name: key.name.clone() }
}

struct HashWriter<H>(H);

fn write<H: Hasher, T: Serialize>(writer: &mut HashWriter<H>, value: &T) -> serde_json::Result<()> {
    serde_json::to_writer(writer, value)
}

impl<H: Hasher> io::Write for HashWriter<H> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
