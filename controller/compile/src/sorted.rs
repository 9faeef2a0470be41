//! A sorted map of which a copy costs nothing, and a change of the copy little: what does not change is shared.
//!
//! A row of short runs of entries. A copy shares all of them; a change copies the run that it falls into. So the objects
//! of one moment can be kept beside those of the next, and two maps of which one was made from the other are compared by
//! their runs. Invariant: no run is empty, and keys rise within a run and from one to the next.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

/// A sorted map with cheap copies.
#[derive(Clone)]
pub struct Sorted<K, V> {
    runs: Arc<Vec<Run<K, V>>>,
    len: usize,
}

type Run<K, V> = Arc<Vec<(K, V)>>;

/// Most entries of a run.
const LONGEST: usize = 64;
/// A run that is shorter joins the one after it.
const SHORT: usize = 8;

impl<K, V> Sorted<K, V> {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.runs.iter().flat_map(|run| run.iter()).map(|(key, value)| (key, value))
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> Sorted<K, V> {
    /// The entry of a key.
    pub fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let run = self.runs.get(self.run_of(key)?)?;
        let at = run.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
        Some((&run[at].0, &run[at].1))
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// Whether there is an entry of that key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).is_some()
    }

    /// Entries from `first` on.
    pub fn from<'a, Q: Ord + ?Sized>(&'a self, first: &Q) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V, Q>
    where
        K: Borrow<Q>,
    {
        let run = self.run_of(first).unwrap_or(0);
        let skipped = self.runs.get(run).map_or(0, |run| run.partition_point(|(key, _)| key.borrow() < first));
        self.runs[run..].iter().flat_map(|run| run.iter()).skip(skipped).map(|(key, value)| (key, value))
    }

    /// Keys that only one of the two maps has, or whose values are not the same. Runs that both share are not looked at.
    pub fn differences<'a>(&'a self, other: &'a Self, same: impl Fn(&V, &V) -> bool) -> Vec<&'a K> {
        let (mut ours, mut theirs) = (Cursor::new(self), Cursor::new(other));
        let mut found = Vec::new();
        loop {
            if ours.skip_shared(&mut theirs) {
                continue;
            }
            match (ours.peek(), theirs.peek()) {
                (Some((a, x)), Some((b, y))) => match a.cmp(b) {
                    std::cmp::Ordering::Less => found.extend(ours.next()),
                    std::cmp::Ordering::Greater => found.extend(theirs.next()),
                    std::cmp::Ordering::Equal => {
                        let same = same(x, y);
                        theirs.next();
                        found.extend(ours.next().filter(|_| !same));
                    }
                },
                (Some(_), None) => found.extend(ours.next()),
                (None, Some(_)) => found.extend(theirs.next()),
                (None, None) => return found,
            }
        }
    }

    /// The run that holds a key, if any does.
    fn run_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        self.runs.partition_point(|run| run[0].0.borrow() <= key).checked_sub(1)
    }
}

impl<K: Ord + Clone, V: Clone> Sorted<K, V> {
    /// Sets the value of a key; returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.run_of(&key).unwrap_or(0);
        let runs = Arc::make_mut(&mut self.runs);
        if runs.is_empty() {
            runs.push(Arc::default());
        }
        let is_last = at + 1 == runs.len();
        let run = Arc::make_mut(&mut runs[at]);
        match run.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(place) => Some(std::mem::replace(&mut run[place].1, value)),
            Err(place) => {
                self.len += 1;
                if run.len() < LONGEST {
                    run.insert(place, (key, value));
                } else if is_last && place == LONGEST {
                    // What comes in order fills one run after the other.
                    runs.push(Arc::new(vec![(key, value)]));
                } else {
                    let mut upper = run.split_off(LONGEST / 2);
                    let (half, place) = match place.checked_sub(LONGEST / 2) {
                        Some(place) => (&mut upper, place),
                        None => (run, place),
                    };
                    half.insert(place, (key, value));
                    runs.insert(at + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    /// Takes an entry away.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.run_of(key)?;
        let place = self.runs[at].binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
        let runs = Arc::make_mut(&mut self.runs);
        let run = Arc::make_mut(&mut runs[at]);
        let (_, value) = run.remove(place);
        self.len -= 1;
        let left = run.len();
        if left == 0 {
            runs.remove(at);
        } else if left < SHORT && runs.get(at + 1).is_some_and(|next| left + next.len() <= LONGEST) {
            let next = runs.remove(at + 1);
            Arc::make_mut(&mut runs[at]).extend(next.iter().cloned());
        }
        Some(value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.run_of(key)?;
        let place = self.runs[at].binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
        let run = Arc::make_mut(&mut Arc::make_mut(&mut self.runs)[at]);
        Some(&mut run[place].1)
    }

    /// Takes everything away.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A place in a map.
struct Cursor<'a, K, V> {
    runs: &'a [Run<K, V>],
    /// Place within the first of the runs.
    place: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn new(map: &'a Sorted<K, V>) -> Self {
        Self { runs: &map.runs, place: 0 }
    }

    fn peek(&self) -> Option<&'a (K, V)> {
        self.runs.first().map(|run| &run[self.place])
    }

    fn next(&mut self) -> Option<&'a K> {
        let (key, _) = self.peek()?;
        self.place += 1;
        if self.place == self.runs[0].len() {
            (self.runs, self.place) = (&self.runs[1..], 0);
        }
        Some(key)
    }

    /// Steps over a run that both have and stand before.
    fn skip_shared(&mut self, other: &mut Self) -> bool {
        let (Some(a), Some(b)) = (self.runs.first(), other.runs.first()) else { return false };
        let shared = self.place == 0 && other.place == 0 && Arc::ptr_eq(a, b);
        if shared {
            (self.runs, other.runs) = (&self.runs[1..], &other.runs[1..]);
        }
        shared
    }
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self { runs: Arc::default(), len: 0 }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Sorted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Sorted<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Sorted<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<K: Ord, V> Index<&K> for Sorted<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        self.get(key).expect("who indexes knows that the key is there")
    }
}

#[cfg(test)]
mod tests;
