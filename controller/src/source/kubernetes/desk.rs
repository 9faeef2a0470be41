//! Where the news of all watches comes together and becomes events.
//!
//! Holds back until everything was listed; then tells differences, as many at once as came at once. Says when something
//! stands in the way, and when it does no more, once each. Invariant: an event never holds a part of a listing.

use std::time::Instant;

use portico_shared::Kind;
use tokio::sync::{mpsc, oneshot, watch};

use super::FIRST;
use super::known::{Known, Pending, Relist, key, reference};
use super::listing::{News, Step, What};
use crate::cluster::{Connection, Failure, Reach, Refusal, Resource};
use crate::source::{Change, Event, Objects};

/// What comes of Secrets.
#[derive(Debug)]
pub(super) enum SecretNews {
    /// All that are needed, for the first time.
    First(Pending),
    /// Differences.
    Changed(Pending),
    /// Something stands in the way.
    Trouble(String),
}

/// One listing as the desk sees it.
#[derive(Debug)]
pub(super) struct Scope {
    kind: Kind,
    resource: Resource,
    namespace: Option<String>,
    known: Known,
    relist: Relist,
    listed: bool,
    troubled: bool,
}

/// The desk.
#[derive(Debug)]
pub(super) struct Desk {
    connection: Connection,
    scopes: Vec<Scope>,
    events: mpsc::Sender<Event>,
    pending: Pending,
    /// Whether everything but Secrets was told.
    told: bool,
    reach: watch::Receiver<Reach>,
    /// Since when the API is away, when that was told.
    away: Option<Instant>,
}

/// The engine is gone.
struct Unheard;

impl Scope {
    pub(super) fn new(kind: Kind, resource: Resource, namespace: Option<String>) -> Self {
        let (known, relist, listed, troubled) = Default::default();
        Self { kind, resource, namespace, known, relist, listed, troubled }
    }
}

impl Desk {
    pub(super) fn new(connection: Connection, scopes: Vec<Scope>, events: mpsc::Sender<Event>) -> Self {
        let reach = connection.gate.reach();
        Self { connection, scopes, events, pending: Pending::default(), told: false, reach, away: None }
    }

    /// Works until the engine is gone. `begin` is used once everything but Secrets was told.
    pub(super) async fn run(
        mut self,
        mut news: mpsc::Receiver<News>,
        mut secrets: mpsc::Receiver<SecretNews>,
        begin: oneshot::Sender<()>,
    ) {
        let mut begin = Some(begin);
        let events = self.events.clone();
        loop {
            let result = tokio::select! {
                () = events.closed() => return,
                Ok(()) = self.reach.changed() => self.look().await,
                Some(first) = news.recv() => {
                    let mut result = self.take(first).await;
                    // What came together is told together.
                    while let (Ok(()), true, Ok(next)) = (&result, self.pending.len() < BATCH, news.try_recv()) {
                        result = self.take(next).await;
                    }
                    result
                }
                Some(it) = secrets.recv() => self.take_secrets(it).await,
                else => return,
            };
            if result.is_err() || self.flush().await.is_err() {
                return;
            }
            if self.told {
                // The reader of Secrets ends only with us.
                let _ = begin.take().map(|begin| begin.send(()));
            }
        }
    }

    async fn take(&mut self, news: News) -> Result<(), Unheard> {
        let scope = &mut self.scopes[news.listing];
        match news.what {
            What::Begin => scope.relist.begin(),
            What::Listed(objects) => {
                for object in objects {
                    scope.relist.see(key(object.reference()));
                    if scope.known.note(&object) {
                        scope.relist.changed(object);
                    }
                }
            }
            What::End { flawed } => {
                let mut relist = std::mem::take(&mut scope.relist);
                relist.settle(&mut self.pending);
                self.pending.noticed(news.noticed);
                let gone = if flawed { Vec::new() } else { scope.known.retain(None, |key| relist.has(key)) };
                gone.iter().for_each(|key| self.pending.delete(reference(scope.kind, key)));
                scope.listed = true;
                if std::mem::take(&mut scope.troubled) {
                    tracing::info!("{} can be read again", scope.resource.as_str());
                    return self.calm().await;
                }
            }
            What::Changed(steps) => {
                for step in steps {
                    match step {
                        Step::Upsert(object) if scope.known.note(&object) => self.pending.upsert(object),
                        Step::Delete(object) if scope.known.forget(&key(&object)) => self.pending.delete(object),
                        Step::Upsert(_) | Step::Delete(_) => continue,
                    }
                    self.pending.noticed(news.noticed);
                }
            }
            What::Trouble(failure) => {
                scope.troubled = true;
                let trouble = trouble(scope.resource, scope.namespace.as_deref(), &failure);
                return self.send(Event::Trouble(trouble)).await;
            }
        }
        Ok(())
    }

    async fn take_secrets(&mut self, news: SecretNews) -> Result<(), Unheard> {
        match news {
            SecretNews::First(mut secrets) => {
                let noticed = secrets.since();
                let objects = Objects::Replace { kinds: vec![Kind::Secret], objects: secrets.take().0 };
                self.send(Event::Change(Change { objects, diagnostics: None, noticed })).await
            }
            SecretNews::Changed(mut secrets) => {
                let (noticed, (upserts, deletes)) = (secrets.since(), secrets.take());
                let objects = Objects::Update { upserts, deletes };
                self.send(Event::Change(Change { objects, diagnostics: None, noticed })).await
            }
            SecretNews::Trouble(trouble) => self.send(Event::Trouble(trouble)).await,
        }
    }

    /// Tells what is pending.
    async fn flush(&mut self) -> Result<(), Unheard> {
        let objects = match self.told {
            true if self.pending.len() == 0 => {
                let _nothing_came_of_it = self.pending.since();
                return Ok(());
            }
            true => {
                let (upserts, deletes) = self.pending.take();
                Objects::Update { upserts, deletes }
            }
            false if self.scopes.iter().all(|scope| scope.listed) => {
                self.told = true;
                Objects::Replace { kinds: FIRST.to_vec(), objects: self.pending.take().0 }
            }
            false => return Ok(()),
        };
        let noticed = self.pending.since();
        self.send(Event::Change(Change { objects, diagnostics: None, noticed })).await
    }

    /// Looks whether the API went or came.
    async fn look(&mut self) -> Result<(), Unheard> {
        let reach = self.reach.borrow_and_update().clone();
        match reach {
            Reach::Away(why) if self.away.is_none() => {
                self.away = Some(Instant::now());
                let until =
                    if self.told { "what is known stays in effect" } else { "nothing is served before it answers" };
                let trouble = format!("the API at {} cannot be reached: {why}; {until}", self.connection.gate);
                self.send(Event::Trouble(trouble)).await
            }
            Reach::Answers => {
                if let Some(since) = self.away.take() {
                    let away = since.elapsed().as_secs_f64();
                    tracing::info!("the API at {} answers again, after {away:.1} s", self.connection.gate);
                    return self.calm().await;
                }
                Ok(())
            }
            Reach::Away(_) | Reach::Hopeful => Ok(()),
        }
    }

    /// Says so when nothing stands in the way any more.
    async fn calm(&self) -> Result<(), Unheard> {
        let calm = self.away.is_none() && self.scopes.iter().all(|scope| !scope.troubled);
        if calm { self.send(Event::Calm).await } else { Ok(()) }
    }

    async fn send(&self, event: Event) -> Result<(), Unheard> {
        self.events.send(event).await.map_err(|_| Unheard)
    }
}

/// What is wrong with reading a resource, and what mends it.
pub(super) fn trouble(resource: Resource, namespace: Option<&str>, failure: &Failure) -> String {
    let scope = namespace.map_or_else(|| "in the whole cluster".to_owned(), |it| format!("in namespace {it}"));
    let resource = resource.as_str();
    let remedy = match failure {
        Failure::Refused(Refusal { code: 403, .. }) => {
            let role = if namespace.is_some() { "Role" } else { "ClusterRole" };
            format!("; allow `list` and `watch` of `{resource}` {scope} in the {role} of Portico's ServiceAccount")
        }
        Failure::Refused(Refusal { code: 401, .. }) => {
            "; the token is not accepted: is it from another cluster, or expired?".to_owned()
        }
        Failure::Refused(Refusal { code: 404, .. }) => "; does this API offer the resource?".to_owned(),
        _ => String::new(),
    };
    format!("{resource} cannot be read {scope}: {failure}{remedy}")
}

/// Changes that are told at once, more only when they come from one listing.
const BATCH: usize = 4096;
