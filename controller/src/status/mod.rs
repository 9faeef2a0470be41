//! Writes the addresses at which Ingresses are reached into their status, as the leader only.
//!
//! Knows what is served from the engine's state and who leads from the Lease; knows no route. An Ingress gets its
//! addresses after the data plane serves it, and loses them when it is not ours or not served any more. Ingresses that
//! another controller owns are left alone. Invariant: what is written depends on objects, addresses and past writes
//! only, so that two leaders of one moment write the same.

mod address;
mod find;
mod numbers;
mod plan;
mod replicas;
mod request;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portico_compile::Key;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep_until, timeout};

use crate::cluster::{Connection, Failure};
use crate::engine::{Current, State};
use crate::events::Announcer;
pub use address::{Address, Addresses, NotAnAddress};
use find::{Found, Origin};
pub use numbers::Numbers;
use numbers::Outcome;
use plan::{Memory, Objects, Write};
use replicas::Replicas;
use request::Answer;

/// Which addresses are written, and when they are taken away.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--publish-status-address`; goes before everything else.
    pub addresses: Addresses,
    /// `--publish-service`.
    pub service: Option<Key>,
    /// Whether nodes may be looked at when neither is given.
    pub nodes: bool,
    /// `--publish-node-internal-addresses`: InternalIP instead of ExternalIP.
    pub internal_addresses: bool,
    /// Our pod.
    pub pod: Option<Key>,
    /// `--withdraw-status-on-shutdown`. Default off: addresses stay.
    pub withdraw_on_shutdown: bool,
}

/// Writes statuses while it leads.
pub struct Writer {
    connection: Connection,
    settings: Settings,
    state: Arc<State>,
    leading: watch::Receiver<bool>,
    numbers: Numbers,
    announcer: Announcer,
    origin: Origin,
    memory: Memory,
    /// What is to be written; `None` while nobody knows.
    wanted: Option<Addresses>,
    /// Why the addresses are not known, as it was told last.
    complained: Option<String>,
    /// When a failed write was told last.
    warned: Option<Instant>,
    queue: VecDeque<(Key, Write)>,
    busy: BTreeSet<Key>,
    pace: Pace,
}

/// When the next things are due.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Next look at all Ingresses.
    look: Instant,
    /// Last one.
    looked: Instant,
    /// Next write.
    write: Instant,
    /// Next question for addresses.
    ask: Instant,
    /// Answers in a row that spoke of an API server in trouble.
    troubles: u32,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("settings", &self.settings).field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

type Asking = Pin<Box<dyn Future<Output = Found> + Send>>;
type Answered = (Key, Write, Answer);

impl Writer {
    /// A writer that has written nothing.
    #[must_use]
    pub fn new(
        connection: &Connection,
        settings: Settings,
        state: Arc<State>,
        leading: watch::Receiver<bool>,
        numbers: Numbers,
        announcer: Announcer,
    ) -> Self {
        let origin = Origin::new(&settings);
        let now = Instant::now();
        let pace = Pace { look: now, looked: now, write: now, ask: now, troubles: 0 };
        let (memory, wanted, complained, warned, queue, busy) = Default::default();
        Self {
            connection: connection.clone(),
            settings,
            state,
            leading,
            numbers,
            announcer,
            origin,
            memory,
            wanted,
            complained,
            warned,
            queue,
            busy,
            pace,
        }
    }

    /// Writes until `stop` is true or gone; then, where that is wanted, takes away what it wrote.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (mut changes, mut leading) = (self.state.changes(), self.leading.clone());
        let mut flights: JoinSet<Answered> = JoinSet::new();
        let mut asking: Option<Asking> = None;
        loop {
            let may_start = !self.queue.is_empty() && flights.len() < IN_FLIGHT;
            let may_ask = asking.is_none() && self.leads();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                changed = changes.changed() => match changed {
                    Ok(()) => self.look_soon(),
                    Err(_) => break,
                },
                changed = leading.changed() => match changed {
                    Ok(()) => self.lead(&mut flights),
                    Err(_) => break,
                },
                () = sleep_until(self.pace.look.into()) => self.look(),
                () = sleep_until(self.pace.write.into()), if may_start => self.start(&mut flights),
                Some(answered) = flights.join_next() => self.answered(answered),
                () = sleep_until(self.pace.ask.into()), if may_ask => asking = self.ask(),
                found = poll(&mut asking), if asking.is_some() => {
                    asking = None;
                    self.found(found);
                    self.look_soon();
                }
            }
            self.numbers.pending.set(i64::try_from(self.queue.len() + flights.len()).unwrap_or(i64::MAX));
        }
        flights.shutdown().await;
        self.numbers.pending.set(0);
        if self.settings.withdraw_on_shutdown && self.leads() {
            self.withdraw_all().await;
        }
    }

    fn leads(&self) -> bool {
        *self.leading.borrow()
    }

    /// The Lease was won or lost.
    fn lead(&mut self, flights: &mut JoinSet<Answered>) {
        let now = Instant::now();
        if !self.leads() {
            flights.abort_all();
            self.queue.clear();
        }
        (self.pace.look, self.pace.ask, self.pace.write, self.pace.troubles) = (now, now, now, 0);
    }

    fn look_soon(&mut self) {
        let soon = (Instant::now() + BEHIND).max(self.pace.looked + BETWEEN_LOOKS);
        self.pace.look = self.pace.look.min(soon);
    }

    /// Works out what to write.
    fn look(&mut self) {
        let now = Instant::now();
        (self.pace.looked, self.pace.look) = (now, now + RESYNC);
        let current = self.state.current();
        let objects = objects(&current);
        self.memory.observe(objects);
        if !self.leads() {
            return;
        }
        if let Some(found) = self.origin.known(&current.snapshot) {
            self.found(found);
        }
        let plan = self.memory.plan(objects, self.wanted.as_ref(), &self.busy, now);
        self.queue = plan.writes.into();
        if let Some(again) = plan.again {
            self.pace.look = self.pace.look.min(again.max(now + BETWEEN_LOOKS));
        }
    }

    /// Asks for the addresses, unless looking at the objects is enough.
    fn ask(&mut self) -> Option<Asking> {
        self.pace.ask = Instant::now() + ASK.mul_f64(0.9 + 0.2 * fastrand::f64());
        if self.origin.known(&self.state.current().snapshot).is_some() {
            return None;
        }
        let (origin, connection) = (self.origin.clone(), self.connection.clone());
        Some(Box::pin(async move {
            connection.gate.pass().await;
            timeout(ASK, origin.ask(connection.client)).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
        }))
    }

    /// Takes the addresses. While they cannot be found those found before stand.
    fn found(&mut self, found: Found) {
        match found {
            Ok(addresses) => {
                self.complained = None;
                if self.wanted.as_ref() != Some(&addresses) {
                    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                    tracing::info!("Ingresses get status addresses {}", texts.join(", "));
                    self.numbers.addresses.set(i64::try_from(addresses.len()).unwrap_or(i64::MAX));
                    self.wanted = Some(addresses);
                }
            }
            Err(reason) => {
                if self.complained.as_ref() != Some(&reason) {
                    tracing::warn!("no new status address: {reason}");
                    self.complained = Some(reason);
                }
            }
        }
    }

    fn start(&mut self, flights: &mut JoinSet<Answered>) {
        let now = Instant::now();
        // What the timer's grain cost is made good, a long pause is not.
        self.pace.write = (self.pace.write + BETWEEN_WRITES).max(now - BETWEEN_WRITES * 8);
        let Some((key, write)) = self.queue.pop_front() else { return };
        self.busy.insert(key.clone());
        flights.spawn(request::write(self.connection.clone(), key, write));
    }

    fn answered(&mut self, answered: Result<Answered, JoinError>) {
        let now = Instant::now();
        let Ok((key, write, answer)) = answered else {
            // Ended because somebody else leads: which one it was does not matter then.
            self.busy.clear();
            return;
        };
        self.busy.remove(&key);
        match answer {
            Answer::Done => self.done(key, &write, now),
            Answer::Changed => {
                self.numbers.count(Outcome::Changed);
                self.memory.found_changed(&key, now);
            }
            Answer::Failed(failure) => self.failed(key, &failure, now),
        }
    }

    fn done(&mut self, key: Key, write: &Write, now: Instant) {
        self.pace.troubles = 0;
        match write {
            Write::Set { addresses, first } => {
                self.numbers.count(Outcome::Written);
                let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                tracing::debug!("Ingress {key} has status addresses {}", texts.join(", "));
                if *first {
                    self.announcer.served(key.clone(), texts.join(", "));
                }
            }
            Write::Withdraw(_) => {
                self.numbers.count(Outcome::Withdrawn);
                tracing::info!("Ingress {key} lost its status addresses: not served by this controller any more");
            }
        }
        self.memory.wrote(key, write, now);
    }

    fn failed(&mut self, key: Key, failure: &Failure, now: Instant) {
        self.numbers.count(request::outcome(failure));
        if self.warned.is_none_or(|warned| now >= warned + BETWEEN_WARNINGS) {
            tracing::warn!("cannot write the status of Ingress {key}: {failure}");
            self.warned = Some(now);
        }
        if let Failure::Away(why) = failure {
            self.connection.gate.lost(why);
        }
        if request::is_trouble(failure) {
            self.pace.troubles = self.pace.troubles.saturating_add(1);
            let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.pace.troubles.min(8) - 1);
            let pause = failure.retry_after().unwrap_or_default().max(pause).min(LAST_PAUSE);
            self.pace.write = self.pace.write.max(now + pause.mul_f64(0.8 + 0.4 * fastrand::f64()));
        }
        self.memory.failed(key, request::pause(failure), now);
        self.look_soon();
    }

    /// The last replica takes its addresses away.
    async fn withdraw_all(&mut self) {
        let ended = timeout(WITHDRAWAL, async {
            if let Some(pod) = &self.settings.pod {
                match Replicas::new(self.connection.client.clone(), pod).others_ready().await {
                    Ok(false) => {}
                    Ok(true) => return tracing::info!("status addresses stay: another replica is ready"),
                    Err(error) => return tracing::warn!("status addresses stay: cannot read our pods: {error}"),
                }
            }
            self.withdraw_each().await;
        });
        if ended.await.is_err() {
            tracing::warn!("some Ingresses keep their status addresses: there was no time to take them away");
        }
    }

    async fn withdraw_each(&mut self) {
        let Some(wanted) = &self.wanted else { return };
        let current = self.state.current();
        let mut left = self.memory.all(objects(&current), wanted).into_iter();
        let mut flights = JoinSet::new();
        let mut counts = (0_usize, 0_usize);
        loop {
            while flights.len() < IN_FLIGHT * 2
                && let Some((key, write)) = left.next()
            {
                flights.spawn(request::write(self.connection.clone(), key, write));
            }
            let Some(answered) = flights.join_next().await else { break };
            if let Ok((_, _, Answer::Done)) = answered {
                self.numbers.count(Outcome::Withdrawn);
                counts.0 += 1;
            } else {
                counts.1 += 1;
            }
        }
        tracing::info!("took status addresses away from {} Ingresses, {} keep theirs", counts.0, counts.1);
    }
}

fn objects(current: &Current) -> Objects<'_> {
    Objects { snapshot: &current.snapshot, served: &current.served, ours: &current.ours }
}

async fn poll(asking: &mut Option<Asking>) -> Found {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Pause between a change and the writes that follow from it: other replicas learn of the same change some
/// milliseconds sooner or later, and whoever reads an address may ask any of them.
const BEHIND: Duration = Duration::from_millis(100);
/// Shortest time between two looks at all Ingresses.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
/// Looks though nothing seems to have changed.
const RESYNC: Duration = Duration::from_secs(60);
/// Time between two questions for addresses that are not watched.
const ASK: Duration = Duration::from_secs(30);
/// Writes at once. With the pause below 10,000 Ingresses take 40 s.
const IN_FLIGHT: usize = 16;
/// Shortest time between two writes.
const BETWEEN_WRITES: Duration = Duration::from_millis(4);
/// Pauses of all writes while the API server is in trouble.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// Shortest time between two lines in the log about writes that failed; the numbers count all.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);
/// How long taking away may delay the end.
const WITHDRAWAL: Duration = Duration::from_secs(5);
