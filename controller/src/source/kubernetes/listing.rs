//! One listing and watch: of one kind, in the whole cluster or in one namespace.
//!
//! Not kube's watcher: that goes on from the last version after any break, and a version from before the API's memory
//! was restored can lie in the future, where nothing is ever told; and it lets a listing come from a stale cache. Here a
//! watch goes on only when it ended as agreed; after any other end everything is listed again, consistently.
//! Invariant: what follows [`What::Begin`] up to [`What::End`] is all there is.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use portico_compile::AnyObject;
use portico_shared::ObjectRef;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::trim::Kept;
use crate::cluster::{Class, Connection, Failure, Patience};

/// What a listing tells.
#[derive(Debug)]
pub(super) struct News {
    /// Which listing.
    pub(super) listing: usize,
    /// When it came.
    pub(super) noticed: Instant,
    /// What it says.
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// Everything is listed from here on; what came since the last [`What::Begin`] was not all.
    Begin,
    /// Objects, as part of everything.
    Listed(Vec<AnyObject>),
    /// That was everything, but for what could not be read: with flaws, what was not named may still exist.
    End {
        /// Whether something could not be read.
        flawed: bool,
    },
    /// Differences, in the order in which they happened.
    Changed(Vec<Step>),
    /// It fails, and has failed for longer than a moment.
    Trouble(Failure),
}

#[derive(Debug)]
pub(super) enum Step {
    Upsert(AnyObject),
    Delete(ObjectRef),
}

/// A listing and watch.
pub(super) struct Listing<K> {
    id: usize,
    api: Api<K>,
    selector: Option<&'static str>,
    connection: Connection,
    out: mpsc::Sender<News>,
    streams: Streams,
    /// Whether everything was told once.
    told: bool,
    patience: Patience,
    /// Since when every try failed, and whether that was told.
    failing: Option<(Instant, bool)>,
}

/// Whether the API gives listings as streams.
#[derive(PartialEq, Eq)]
enum Streams {
    Yes,
    /// Not the next time: one was never said to be whole.
    NotNow,
    /// It says that it does not know of such a thing.
    Never,
}

type Events<K> = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<K>>> + Send>>;

/// Why a watch ended.
enum End {
    /// As agreed: it can go on from this version.
    OnTime(String),
    /// Not as agreed: everything must be listed again.
    Early(Failure),
}

/// Nobody listens any more.
struct Unheard;

impl<K: Kept + std::fmt::Debug> Listing<K> {
    pub(super) fn new(
        id: usize,
        api: Api<K>,
        selector: Option<&'static str>,
        connection: Connection,
        out: mpsc::Sender<News>,
    ) -> Self {
        let (told, patience, failing) = Default::default();
        Self { id, api, selector, connection, out, streams: Streams::Yes, told, patience, failing }
    }

    /// Lists and watches until nobody listens.
    pub(super) async fn run(mut self) {
        while let Ok(failure) = self.follow().await {
            if self.recover(failure).await.is_err() {
                return;
            }
        }
    }

    /// Lists everything and watches what comes after it, up to a failure.
    async fn follow(&mut self) -> Result<Failure, Unheard> {
        self.connection.gate.pass().await;
        if self.told {
            self.connection.numbers.count_relist(K::RESOURCE);
        }
        let listed = if self.streams == Streams::Yes { self.stream().await? } else { self.pages().await? };
        let mut end = match listed {
            Ok(end) => end,
            Err(failure) => return Ok(failure),
        };
        loop {
            let version = match end {
                End::OnTime(version) => version,
                End::Early(failure) => return Ok(failure),
            };
            end = match self.open(false, &version).await {
                Ok((events, lasts)) => self.watch(events, version, lasts).await?,
                Err(failure) => return Ok(failure),
            };
        }
    }

    /// Lists by a watch that begins with everything, and goes on with it.
    async fn stream(&mut self) -> Result<Result<End, Failure>, Unheard> {
        let (mut events, lasts) = match self.open(true, "").await {
            Ok(opened) => opened,
            Err(failure) => return Ok(Err(failure)),
        };
        self.tell(What::Begin).await?;
        let (mut objects, mut flawed) = (Vec::new(), false);
        loop {
            match timeout(PAUSE, events.next()).await {
                Ok(Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)))) => {
                    objects.extend(object.keep());
                    if objects.len() >= CHUNK {
                        self.tell(What::Listed(std::mem::take(&mut objects))).await?;
                    }
                }
                Ok(Some(Ok(WatchEvent::Bookmark(bookmark)))) => {
                    if bookmark.metadata.annotations.contains_key(INITIAL_END) {
                        self.tell(What::Listed(objects)).await?;
                        self.listed(flawed).await?;
                        return Ok(Ok(self.watch(events, bookmark.metadata.resource_version, lasts).await?));
                    }
                }
                Ok(Some(Ok(WatchEvent::Deleted(_)))) => {}
                Ok(Some(Ok(WatchEvent::Error(status)))) => return Ok(Err(Failure::of_status(&status))),
                Ok(Some(Err(kube::Error::SerdeError(error)))) => {
                    flawed = true;
                    self.skip(&error);
                }
                Ok(Some(Err(error))) => return Ok(Err(Failure::of(&error))),
                Ok(None) => return Ok(Err(Failure::Cut("the listing ended before its end".to_owned()))),
                Err(_) => {
                    self.streams = Streams::NotNow;
                    return Ok(Err(Failure::Cut("the listing was never said to be whole".to_owned())));
                }
            }
        }
    }

    /// Lists page by page.
    async fn pages(&mut self) -> Result<Result<End, Failure>, Unheard> {
        self.tell(What::Begin).await?;
        let mut parameters = ListParams::default().limit(PAGE);
        parameters.field_selector = self.selector.map(str::to_owned);
        loop {
            let page = match timeout(PAUSE, self.api.list(&parameters)).await {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => return Ok(Err(Failure::of(&error))),
                Err(_) => return Ok(Err(Failure::Away(SILENCE.to_owned()))),
            };
            let objects = page.items.into_iter().filter_map(Kept::keep).collect();
            self.tell(What::Listed(objects)).await?;
            parameters.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if parameters.continue_token.is_none() {
                self.listed(false).await?;
                if self.streams == Streams::NotNow {
                    self.streams = Streams::Yes;
                }
                let version = page.metadata.resource_version.unwrap_or_default();
                return Ok(Ok(End::OnTime(version)));
            }
        }
    }

    /// Begins a watch; also says how long it is agreed to last.
    async fn open(&self, initial: bool, version: &str) -> Result<(Events<K>, Duration), Failure> {
        let seconds = fastrand::u32(SHORTEST..=LONGEST);
        let mut parameters = WatchParams::default().timeout(seconds);
        parameters.send_initial_events = initial;
        parameters.field_selector = self.selector.map(str::to_owned);
        match timeout(ANSWER, self.api.watch(&parameters, version)).await {
            Ok(Ok(events)) => Ok((events.into_stream().boxed(), Duration::from_secs(seconds.into()))),
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(_) => Err(Failure::Away(SILENCE.to_owned())),
        }
    }

    /// Tells of changes until the watch ends.
    async fn watch(&mut self, events: Events<K>, mut version: String, lasts: Duration) -> Result<End, Unheard> {
        let began = Instant::now();
        let mut events = events.ready_chunks(CHUNK);
        loop {
            let left = (lasts + MARGIN).saturating_sub(began.elapsed());
            let Ok(chunk) = timeout(left, events.next()).await else {
                return Ok(End::Early(Failure::Cut("the watch outlasted its time".to_owned())));
            };
            let Some(chunk) = chunk else {
                let on_time = began.elapsed() + MARGIN >= lasts && !version.is_empty();
                let early = || End::Early(Failure::Cut("the watch ended before its time".to_owned()));
                return Ok(if on_time { End::OnTime(version) } else { early() });
            };
            if began.elapsed() >= SETTLED {
                self.patience.reset();
            }
            let (steps, end) = self.steps(chunk, &mut version);
            if !steps.is_empty() {
                self.tell(What::Changed(steps)).await?;
            }
            if let Some(failure) = end {
                return Ok(End::Early(failure));
            }
        }
    }

    fn steps(&self, chunk: Vec<kube::Result<WatchEvent<K>>>, version: &mut String) -> (Vec<Step>, Option<Failure>) {
        let mut steps = Vec::with_capacity(chunk.len());
        for event in chunk {
            let object = match event {
                Ok(WatchEvent::Bookmark(bookmark)) => {
                    *version = bookmark.metadata.resource_version;
                    continue;
                }
                Ok(WatchEvent::Error(status)) => {
                    let failure = Failure::of_status(&status);
                    self.connection.numbers.count_error(failure.class());
                    return (steps, Some(failure));
                }
                Err(kube::Error::SerdeError(error)) => {
                    self.skip(&error);
                    continue;
                }
                Err(error) => return (steps, Some(Failure::of(&error))),
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => Ok(object),
                Ok(WatchEvent::Deleted(object)) => Err(object),
            };
            let metadata = object.as_ref().unwrap_or_else(|gone| gone).meta();
            if let Some(new) = &metadata.resource_version {
                version.clone_from(new);
            }
            steps.push(match object {
                Err(gone) => Step::Delete(gone.reference()),
                Ok(object) => {
                    let reference = object.reference();
                    object.keep().map_or(Step::Delete(reference), Step::Upsert)
                }
            });
        }
        (steps, None)
    }

    /// Everything was told.
    async fn listed(&mut self, flawed: bool) -> Result<(), Unheard> {
        self.told = true;
        self.failing = None;
        self.tell(What::End { flawed }).await
    }

    /// Waits as long as this failure asks for.
    async fn recover(&mut self, failure: Failure) -> Result<(), Unheard> {
        let gate = self.connection.gate.clone();
        tracing::debug!("{} (listing {}): {failure}", K::KIND, self.id);
        match &failure {
            Failure::Away(why) => {
                gate.lost(why);
                return self.heard();
            }
            gone if gone.is_gone() => {}
            refused if self.streams == Streams::Yes && refused.is_misunderstanding() => {
                self.streams = Streams::Never;
                return self.heard();
            }
            Failure::Cut(_) => self.connection.numbers.count_error(Class::Cut),
            Failure::Refused(_) | Failure::Unreadable(_) => {
                let (since, told) = *self.failing.get_or_insert_with(|| (Instant::now(), false));
                if !told && (!gate.is_young() || since.elapsed() >= MOMENT) {
                    self.failing = Some((since, true));
                    self.tell(What::Trouble(failure.clone())).await?;
                }
            }
        }
        // The first break of a watch that worked is no reason to wait long.
        let young = gate.is_young() || self.failing.is_none() && self.patience.is_fresh();
        let wait = self.patience.next(young, failure.retry_after());
        tokio::select! {
            () = sleep(wait) => self.heard(),
            () = self.out.closed() => Err(Unheard),
        }
    }

    fn heard(&self) -> Result<(), Unheard> {
        if self.out.is_closed() { Err(Unheard) } else { Ok(()) }
    }

    fn skip(&self, error: &serde_json::Error) {
        self.connection.numbers.count_error(Class::Unreadable);
        // Not the object itself, which may be a Secret.
        tracing::warn!("an event about a {} cannot be read and is passed over: {:?}", K::KIND, error.classify());
    }

    async fn tell(&self, what: What) -> Result<(), Unheard> {
        let news = News { listing: self.id, noticed: Instant::now(), what };
        self.out.send(news).await.map_err(|_| Unheard)
    }
}

/// How long the API may take to begin an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a page may take, and the longest pause within a streamed listing.
const PAUSE: Duration = Duration::from_secs(20);
/// Seconds that a watch is agreed to last, chosen by chance so that watches do not end together.
const SHORTEST: u32 = 240;
const LONGEST: u32 = 320;
/// How much later or earlier than agreed a watch may end.
const MARGIN: Duration = Duration::from_secs(10);
/// After this time a watch is taken to work.
const SETTLED: Duration = Duration::from_secs(5);
/// How long refusals are not worth a word while the API comes up.
const MOMENT: Duration = Duration::from_secs(3);
/// Objects that are told at once.
const CHUNK: usize = 256;
/// Objects of a page.
const PAGE: u32 = 500;
const SILENCE: &str = "it did not answer in time";
/// Says that all initial events were sent.
const INITIAL_END: &str = "k8s.io/initial-events-end";
