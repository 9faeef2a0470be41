//! Writes Events: a new one, or one more of a series.
//!
//! Needs `create` and `patch` of events in `events.k8s.io`, and no right to read them. What was written is remembered
//! for a while, so that the same problem that comes again raises a count instead of adding an Event, and a problem that
//! comes and goes all the time raises it once in [`BETWEEN`].

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::event::{Reporter, Telling};
use super::numbers::Fate;
use crate::cluster::Failure;

/// Where Events go.
pub(super) struct Sink {
    client: Client,
    reporter: Reporter,
    sent: HashMap<String, Sent>,
}

/// An Event that was written.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// When it was written last.
    at: Instant,
    /// How often it was told, as written.
    count: i32,
    /// How often it came since.
    held: i32,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("reporter", &self.reporter).field("sent", &self.sent.len()).finish_non_exhaustive()
    }
}

impl Sink {
    pub(super) fn new(client: Client, reporter: Reporter) -> Self {
        Self { client, reporter, sent: HashMap::new() }
    }

    /// Writes an Event, or counts it.
    pub(super) async fn send(&mut self, telling: &Telling, now: Instant) -> Result<Fate, Failure> {
        self.attempt(telling, now).await.map_err(|error| Failure::of(&error))
    }

    async fn attempt(&mut self, telling: &Telling, now: Instant) -> Result<Fate, kube::Error> {
        self.prune(now);
        let api = Api::namespaced(self.client.clone(), telling.namespace());
        let name = telling.name(&self.reporter.controller);
        let id = format!("{}/{name}", telling.namespace());
        if let Some(sent) = self.sent.get_mut(&id) {
            if now < sent.at + BETWEEN {
                sent.held = sent.held.saturating_add(1);
                return Ok(Fate::Held);
            }
            let count = sent.count.saturating_add(sent.held).saturating_add(1);
            match repeat(&api, &name, count).await {
                Ok(()) => {
                    self.sent.insert(id, Sent { at: now, count, held: 0 });
                    return Ok(Fate::Repeated);
                }
                // The API server forgets Events after a while.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let event = telling.event(&self.reporter, Timestamp::now());
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {
                self.sent.insert(id, Sent { at: now, count: 1, held: 0 });
                Ok(Fate::Sent)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let told = count(&api, &name).await?;
                if !telling.repeats {
                    // Long ago as far as we know: should it come again, that is told.
                    let at = now.checked_sub(BETWEEN).unwrap_or(now);
                    self.sent.insert(id, Sent { at, count: told, held: 0 });
                    return Ok(Fate::Held);
                }
                let count = told.saturating_add(1);
                repeat(&api, &name, count).await?;
                self.sent.insert(id, Sent { at: now, count, held: 0 });
                Ok(Fate::Repeated)
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps what was written of late, and only so much of it: what is forgotten too early is found by its name.
    fn prune(&mut self, now: Instant) {
        if self.sent.len() >= MOST {
            self.sent.retain(|_, sent| now < sent.at + BETWEEN);
        }
        if self.sent.len() >= MOST {
            self.sent.clear();
        }
    }
}

async fn repeat(api: &Api<Event>, name: &str, count: i32) -> Result<(), kube::Error> {
    let observed = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let series = json!({"series": {"count": count.max(2), "lastObservedTime": observed}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(&series)).await.map(drop)
}

/// How often an Event was told. Patching nothing shows it without the right to read Events.
async fn count(api: &Api<Event>, name: &str) -> Result<i32, kube::Error> {
    let event = api.patch(name, &PatchParams::default(), &Patch::Merge(&json!({}))).await?;
    Ok(event.series.map_or(1, |series| series.count))
}

/// Shortest time between two writes of one Event.
const BETWEEN: Duration = Duration::from_secs(60);
/// Events remembered, the most.
const MOST: usize = 4096;
