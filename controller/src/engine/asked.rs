//! Which Secrets the source was asked for and has not spoken of yet.
//!
//! For sources that read Secrets by name. A table that is built before a Secret it newly needs was read would serve the
//! default certificate for a moment, so a round waits for the answer, but not for long: the source may be cut off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use portico_compile::{AnyObject, Key, Snapshot, wanted_secrets};
use portico_shared::{Kind, ObjectRef};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::source::{Change, Objects, Wanted};

/// What a source was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    sender: watch::Sender<Wanted>,
    open: BTreeSet<Key>,
    /// When the oldest open question was asked.
    since: Option<Instant>,
}

impl Asked {
    pub(super) fn new(sender: watch::Sender<Wanted>) -> Self {
        Self { sender, open: BTreeSet::new(), since: None }
    }

    /// Asks for what these objects refer to and the source was not asked for before.
    pub(super) fn ask(&mut self, snapshot: &Snapshot) {
        let wanted = wanted_secrets(snapshot);
        let before = self.sender.borrow().clone();
        self.open.retain(|key| wanted.contains(key));
        let new = wanted.iter().filter(|key| !before.contains(*key) && !snapshot.secrets.contains_key(*key));
        self.open.extend(new.cloned());
        if self.open.is_empty() {
            self.since = None;
        } else {
            self.since.get_or_insert_with(Instant::now);
        }
        // Sent even when it is the same: the first time says that everything else was seen.
        self.sender.send_replace(if *before == wanted { before } else { Arc::new(wanted) });
    }

    /// Takes note of what the source says of Secrets.
    pub(super) fn hear(&mut self, change: &Change) {
        if self.open.is_empty() {
            return;
        }
        let secret = |reference: &ObjectRef| {
            let key = || Key { namespace: reference.namespace.clone(), name: reference.name.clone() };
            (reference.kind == Kind::Secret).then(key)
        };
        match &change.objects {
            Objects::Replace { kinds, .. } => {
                if kinds.contains(&Kind::Secret) {
                    self.open.clear();
                }
            }
            Objects::Update { upserts, deletes } => {
                let told = upserts.iter().map(AnyObject::reference).chain(deletes);
                for key in told.filter_map(secret) {
                    self.open.remove(&key);
                }
            }
        }
        if self.open.is_empty() {
            self.since = None;
        }
    }

    /// Until when a round should wait.
    pub(super) fn wait(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    /// Stops waiting for what was not answered in time.
    pub(super) fn give_up(&mut self) {
        self.open.clear();
        self.since = None;
    }
}

/// How long a round waits for Secrets.
const PATIENCE: Duration = Duration::from_secs(1);
