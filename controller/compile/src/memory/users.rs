//! Which Ingresses of ours refer to what.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::Ingress;
use portico_shared::ir::HostPattern;

use crate::ingress::{self, host};
use crate::snapshot::{Key, Object};
use crate::wanted;

/// Ingresses of ours by what they refer to.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// By Services behind them, whether or not these exist.
    services: Index<Key>,
    /// By Secrets of their certificates, whether or not these exist.
    secrets: Index<Key>,
    /// By wildcard hosts above names that they list for TLS.
    wildcards: Index<HostPattern>,
    /// Without rules.
    ruleless: Vec<Arc<Object<Ingress>>>,
}

#[derive(Debug)]
struct Index<K>(HashMap<K, Vec<Arc<Object<Ingress>>>>);

impl Users {
    pub(super) fn add(&mut self, ingress: &Arc<Object<Ingress>>) {
        services(ingress).into_iter().for_each(|key| self.services.add(key, ingress));
        secrets(ingress).into_iter().for_each(|key| self.secrets.add(key, ingress));
        wildcards(ingress).into_iter().for_each(|pattern| self.wildcards.add(pattern, ingress));
        if !ingress::has_rules(&ingress.value) {
            self.ruleless.push(ingress.clone());
        }
    }

    pub(super) fn remove(&mut self, ingress: &Arc<Object<Ingress>>) {
        services(ingress).iter().for_each(|key| self.services.remove(key, ingress));
        secrets(ingress).iter().for_each(|key| self.secrets.remove(key, ingress));
        wildcards(ingress).iter().for_each(|pattern| self.wildcards.remove(pattern, ingress));
        self.ruleless.retain(|other| !Arc::ptr_eq(other, ingress));
    }

    pub(super) fn of_service(&self, key: &Key) -> &[Arc<Object<Ingress>>] {
        self.services.get(key)
    }

    pub(super) fn of_secret(&self, key: &Key) -> &[Arc<Object<Ingress>>] {
        self.secrets.get(key)
    }

    pub(super) fn below(&self, wildcard: &HostPattern) -> &[Arc<Object<Ingress>>] {
        self.wildcards.get(wildcard)
    }

    pub(super) fn ruleless(&self) -> &[Arc<Object<Ingress>>] {
        &self.ruleless
    }
}

impl<K: Eq + Hash> Index<K> {
    fn add(&mut self, key: K, ingress: &Arc<Object<Ingress>>) {
        let users = self.0.entry(key).or_default();
        if users.is_empty() {
            // Nearly everything has one user.
            users.reserve_exact(1);
        }
        users.push(ingress.clone());
    }

    fn remove(&mut self, key: &K, ingress: &Arc<Object<Ingress>>) {
        let Some(users) = self.0.get_mut(key) else { return };
        users.retain(|other| !Arc::ptr_eq(other, ingress));
        if users.is_empty() {
            self.0.remove(key);
        }
    }

    fn get<Q: Eq + Hash>(&self, key: &Q) -> &[Arc<Object<Ingress>>]
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

fn services(ingress: &Object<Ingress>) -> BTreeSet<Key> {
    keys(ingress, wanted::backends(&ingress.value))
}

fn secrets(ingress: &Object<Ingress>) -> BTreeSet<Key> {
    keys(ingress, wanted::certificates(&ingress.value))
}

fn keys<'a>(ingress: &Object<Ingress>, names: impl Iterator<Item = &'a str>) -> BTreeSet<Key> {
    // Mostly one name, again and again.
    let names: BTreeSet<&str> = names.collect();
    names.into_iter().map(|name| Key { namespace: ingress.reference.namespace.clone(), name: name.into() }).collect()
}

fn wildcards(ingress: &Object<Ingress>) -> BTreeSet<HostPattern> {
    ingress::listed(&ingress.value).filter_map(|pattern| host::wildcard_above(&pattern)).collect()
}
