//! A hash map of which the next generation shares what does not change.
//!
//! Entries are spread over a fixed number of small maps by the upper bits of their hash. A copy shares all of them, a change
//! copies the one it falls into; a look-up hashes once. Keys come from configuration and are asked for by requests, so the
//! hash is keyed.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

/// A hash map with cheap copies.
#[derive(Clone)]
pub(super) struct Shards<K, V> {
    /// Empty, or all of them.
    shards: Vec<Arc<HashTable<(K, V)>>>,
    hasher: RandomState,
    len: usize,
}

/// As many as leave few entries to copy where there are many hosts, and little to copy where there are few.
const SHARDS: usize = 128;

impl<K: Eq + Hash, V> Shards<K, V> {
    /// The value of a key.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let (_, value) = self.shards.get(shard(hash))?.find(hash, |(other, _)| other.borrow() == key)?;
        Some(value)
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All values, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.shards.iter().flat_map(|shard| shard.iter()).map(|(_, value)| value)
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Shards<K, V> {
    /// Sets the value of a key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.shards.is_empty() {
            self.shards = vec![Arc::default(); SHARDS];
        }
        let hash = self.hasher.hash_one(&key);
        let shard = Arc::make_mut(&mut self.shards[shard(hash)]);
        match shard.find_mut(hash, |(other, _)| *other == key) {
            Some(entry) => entry.1 = value,
            None => {
                self.len += 1;
                shard.insert_unique(hash, (key, value), |(key, _)| self.hasher.hash_one(key));
            }
        }
    }

    /// Takes an entry away.
    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let Some(shard) = self.shards.get_mut(shard(hash)) else { return };
        if let Ok(entry) = Arc::make_mut(shard).find_entry(hash, |(other, _)| other.borrow() == key) {
            entry.remove();
            self.len -= 1;
        }
    }
}

/// The shard of a hash; the tables go by its lower bits and its uppermost seven.
fn shard(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self { shards: Vec::new(), hasher: RandomState::new(), len: 0 }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Shards<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.shards.iter().flat_map(|shard| shard.iter());
        f.debug_map().entries(entries.map(|(key, value)| (key, value))).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn it_is_a_map_and_copies_stay_as_they_were() {
        let (mut map, mut model) = (Shards::default(), HashMap::new());
        assert!(map.get("0").is_none() && map.is_empty());
        let mut past = Vec::new();
        for step in 0..5000_u32 {
            let key: Arc<str> = (step * 7919 % 1000).to_string().into();
            if step % 3 == 2 {
                map.remove(&*key);
                model.remove(&key);
            } else {
                map.insert(key.clone(), step);
                model.insert(key, step);
            }
            if step % 1000 == 500 {
                past.push((map.clone(), model.clone()));
            }
        }
        past.push((map, model));
        for (map, model) in past {
            assert_eq!((map.len, map.is_empty(), map.values().count()), (model.len(), false, model.len()));
            assert!((0..1000).all(|key| map.get(&*key.to_string()) == model.get(&*key.to_string())));
        }
    }
}
