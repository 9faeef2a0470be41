//! Secrets that are read by name: at once when they are newly needed, then again and again, spread over time.
//!
//! Later readings ask for the metadata first, and for the whole only when that differs, so that keys do not travel for
//! nothing. Invariant: never more readings at once than the limit.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use portico_compile::Key;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::cluster::{Connection, Failure, Patience, Refusal};

/// Names to read.
pub(super) struct Named {
    connection: Connection,
    refresh: Duration,
    entries: HashMap<Key, Entry>,
    due: BTreeSet<(Instant, Key)>,
    reading: JoinSet<(Key, Answer)>,
    /// How many were never answered.
    new: usize,
}

#[derive(Debug, Default)]
struct Entry {
    /// When it is read next; `None` while it is being read.
    due: Option<Instant>,
    version: Option<Version>,
    patience: Patience,
    answered: bool,
    /// How often in a row it was refused by an API that may not know our roles yet.
    refusals: u32,
    /// Since when every answer was an error.
    failing: Option<Instant>,
}

/// What tells two versions of a Secret apart, as long as the API was not away in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    uid: Option<String>,
    version: Option<String>,
    openings: u64,
}

/// What came of a reading.
#[derive(Debug)]
pub(super) enum Answer {
    /// The Secret.
    Found(Box<Secret>, Version),
    /// It did not change.
    Same,
    /// There is none.
    Absent,
    /// It may not be read.
    Denied(Failure),
    /// Nothing is known.
    Failed(Failure),
}

impl Named {
    pub(super) fn new(connection: Connection, refresh: Duration) -> Self {
        let (entries, due, reading, new) = Default::default();
        Self { connection, refresh, entries, due, reading, new }
    }

    /// Reads this Secret now, whenever it was read before.
    pub(super) fn add(&mut self, key: Key) {
        self.remove(&key);
        let now = Instant::now();
        self.entries.insert(key.clone(), Entry { due: Some(now), ..Entry::default() });
        self.due.insert((now, key));
        self.new += 1;
    }

    /// Does not read this Secret any more.
    pub(super) fn remove(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.new -= usize::from(!entry.answered);
        if let Some(due) = entry.due {
            self.due.remove(&(due, key.clone()));
        }
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// Number of names.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the API answers only errors when asked for this Secret, for longer than a moment: it cannot be decrypted, say.
    pub(super) fn is_stuck(&self, key: &Key) -> bool {
        let failing = self.entries.get(key).and_then(|entry| entry.failing);
        failing.is_some_and(|since| since.elapsed() >= STUCK)
    }

    /// The next answer, and whether it is the first one about this Secret. Can be dropped and asked again.
    pub(super) async fn next(&mut self) -> (Key, Answer, bool) {
        loop {
            self.start();
            let due = self.due.first().map(|(due, _)| *due).filter(|_| self.reading.len() < self.limit());
            tokio::select! {
                Some(Ok((key, answer))) = self.reading.join_next() => {
                    if let Some((answer, first)) = self.take(&key, answer) {
                        return (key, answer, first);
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                else => std::future::pending().await,
            }
        }
    }

    /// Starts what is due.
    fn start(&mut self) {
        let now = Instant::now();
        while self.reading.len() < self.limit() && self.due.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, key)) = self.due.pop_first() else { return };
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.due = None;
            let version = entry.version.clone();
            self.reading.spawn(read(self.connection.clone(), key, version));
        }
    }

    fn limit(&self) -> usize {
        if self.new > 0 { FIRST_AT_ONCE } else { AT_ONCE }
    }

    /// Notes an answer and when to read again. `None` when nobody needs it any more.
    fn take(&mut self, key: &Key, answer: Answer) -> Option<(Answer, bool)> {
        let entry = self.entries.get_mut(key).filter(|entry| entry.due.is_none())?;
        let first = !entry.answered;
        let young = self.connection.gate.is_young();
        let answer = match answer {
            Answer::Denied(failure) if young && entry.refusals < REFUSALS => {
                entry.refusals += 1;
                Answer::Failed(failure)
            }
            other => other,
        };
        entry.failing = match &answer {
            // That the API is away says nothing of this Secret.
            Answer::Failed(Failure::Away(_)) => None,
            Answer::Failed(_) => entry.failing.or_else(|| Some(Instant::now())),
            Answer::Found(..) | Answer::Same | Answer::Absent | Answer::Denied(_) => None,
        };
        let wait = match &answer {
            // The gate holds it back.
            Answer::Failed(Failure::Away(_)) => Duration::ZERO,
            Answer::Failed(failure) => entry.patience.next(young, failure.retry_after()),
            Answer::Found(..) | Answer::Same | Answer::Absent | Answer::Denied(_) => {
                entry.patience.reset();
                (entry.answered, entry.refusals) = (true, 0);
                self.new -= usize::from(first);
                // What was read together at first is spread from then on.
                let earliest = if first { 0.0 } else { 0.9 };
                self.refresh.mul_f64(fastrand::f64().mul_add(1.0 - earliest, earliest))
            }
        };
        match &answer {
            Answer::Found(_, version) => entry.version = Some(version.clone()),
            Answer::Absent | Answer::Denied(_) => entry.version = None,
            Answer::Same | Answer::Failed(_) => {}
        }
        let due = Instant::now() + wait;
        entry.due = Some(due);
        self.due.insert((due, key.clone()));
        Some((answer, first))
    }
}

async fn read(connection: Connection, key: Key, known: Option<Version>) -> (Key, Answer) {
    connection.gate.pass().await;
    let answer = match timeout(ANSWER, ask(&connection, &key, known)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => match Failure::of(&error) {
            failure @ Failure::Refused(Refusal { code: 403, .. }) => Answer::Denied(failure),
            failure => Answer::Failed(failure),
        },
        Err(_) => Answer::Failed(Failure::Away("it did not answer in time".to_owned())),
    };
    if let Answer::Failed(Failure::Away(why)) = &answer {
        connection.gate.lost(why);
    }
    (key, answer)
}

async fn ask(connection: &Connection, key: &Key, known: Option<Version>) -> kube::Result<Answer> {
    let api = Api::<Secret>::namespaced(connection.client.clone(), &key.namespace);
    let openings = connection.gate.openings();
    // A version says nothing once the API was away: its memory may have been restored.
    if let Some(known) = known.filter(|known| known.openings == openings) {
        match api.get_metadata_opt(&key.name).await? {
            None => return Ok(Answer::Absent),
            Some(now) if Version::of(&now.metadata, openings) == known => return Ok(Answer::Same),
            Some(_) => {}
        }
    }
    Ok(api.get_opt(&key.name).await?.map_or(Answer::Absent, |secret| {
        let version = Version::of(&secret.metadata, openings);
        Answer::Found(Box::new(secret), version)
    }))
}

impl Version {
    fn of(metadata: &ObjectMeta, openings: u64) -> Self {
        Self { uid: metadata.uid.clone(), version: metadata.resource_version.clone(), openings }
    }
}

/// How many are read at once while some were never read.
const FIRST_AT_ONCE: usize = 64;
const AT_ONCE: usize = 16;
/// As often a 403 is not believed while the API has only just come up: about a second.
const REFUSALS: u32 = 3;
/// After this time without any other answer than errors, one Secret is not waited for.
const STUCK: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
