//! The loop: changes, hold-off, snapshot, compile, publish, report.
//!
//! The only writer of the table. The first change is compiled at once, later ones at most every hold-off; a change of
//! EndpointSlices alone swaps the endpoints it touches at once and is compiled whole a little later, for the report's
//! sake. Invariant: whatever goes wrong in a round, the last good table stays.

mod asked;
mod convergence;
mod report;
mod round;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portico_compile::{Key, Memory, Options, Snapshot, compile_after};
use portico_dataplane::Publisher;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

pub use report::by_code;
pub use state::{Current, Numbers, Phase, State};

use crate::dns::{Dns, Guard};
use crate::source::{Event, Wanted};
use crate::store::{Dirty, Store};
use asked::Asked;
use convergence::Moments;
use report::{Problems, log_transitions};
use round::{Outcome, Stage};

/// The loop and what it remembers between rounds.
#[derive(Debug)]
pub struct Engine {
    store: Store,
    stage: Stage,
    state: Arc<State>,
    current: Current,
    /// What the last compile left; empty when it failed.
    memory: Memory,
    /// Services whose endpoints were swapped since.
    swapped: BTreeSet<Key>,
    problems: Problems,
    /// For a source that has to be told which Secrets to read.
    asked: Option<Asked>,
    hold_off: Duration,
    /// When the last round began.
    last: Option<Instant>,
    /// When everything is compiled again although nothing asks for it.
    again: Option<Instant>,
    /// The moment, seconds since 1970, at which time alone changes the report.
    boundary: Option<i64>,
    /// Time that the last compile took.
    took: Duration,
    /// Whether the last whole round failed, so that the next change is compiled whole.
    failed: bool,
    /// When the oldest change that is not in effect was noticed.
    noticed: Option<std::time::Instant>,
}

impl Engine {
    /// An engine that has published nothing.
    #[must_use]
    pub fn new(
        options: Options,
        hold_off: Duration,
        publisher: Publisher,
        dns: Dns,
        guard: Guard,
        state: Arc<State>,
    ) -> Self {
        let stage = Stage { compile: compile_after, publisher, dns, guard: Arc::new(guard) };
        let (current, memory, swapped, problems) = Default::default();
        let (asked, last, again, boundary, took, failed, noticed) = Default::default();
        let store = Store::new(options);
        Self {
            store,
            stage,
            state,
            current,
            memory,
            swapped,
            problems,
            asked,
            hold_off,
            last,
            again,
            boundary,
            took,
            failed,
            noticed,
        }
    }

    /// Tells a source which Secrets are needed, whenever that changes.
    #[must_use]
    pub fn asking(self, wanted: watch::Sender<Wanted>) -> Self {
        Self { asked: Some(Asked::new(wanted)), ..self }
    }

    /// Follows a source until it ends.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let mut names = self.stage.dns.problems();
        loop {
            let due = self.due();
            if due.is_some_and(|due| due <= Instant::now()) {
                self.round().await;
                continue;
            }
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(event),
                    None => return,
                },
                Ok(()) = names.changed() => {
                    self.problems.names.clone_from(&names.borrow_and_update());
                    self.tell();
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            // What came together is compiled together.
            while let Ok(event) = events.try_recv() {
                self.take(event);
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Change(change) => {
                let noticed = change.noticed;
                self.current.changed = Some(noticed);
                if let Some(asked) = &mut self.asked {
                    asked.hear(&change);
                }
                self.store.apply(change);
                // What nothing is compiled for does not come into effect.
                if self.store.dirty().has_effect() {
                    self.noticed = Some(self.noticed.map_or(noticed, |first| first.min(noticed)));
                }
                // Before everything is listed nothing is compiled, but Secrets are part of everything.
                if let Some(asked) = self.asked.as_mut().filter(|_| !self.store.is_complete()) {
                    asked.ask(self.store.objects());
                }
            }
            Event::Trouble(trouble) => {
                tracing::warn!("{trouble}");
                self.state.set_trouble(trouble);
            }
            Event::Calm => self.state.clear_trouble(),
            Event::Zone(zone) => self.store.set_zone(zone),
        }
    }

    /// When the next round is to begin.
    fn due(&self) -> Option<Instant> {
        if !self.store.is_complete() {
            return None;
        }
        let now = Instant::now();
        let held_off = self.last.map_or(now, |last| last + self.hold_off);
        let dirty = self.store.dirty();
        if let Some(until) = self.asked.as_ref().and_then(Asked::wait).filter(|_| dirty.objects) {
            return Some(if dirty.services.is_empty() { until } else { until.min(held_off) });
        }
        let dirty = (!dirty.is_clean()).then_some(held_off);
        // Clocks may be set, so a far moment is looked at again before it comes.
        let boundary = self.boundary.map(|moment| now + seconds_until(moment).min(LONGEST_WAIT));
        [dirty, self.again, boundary].into_iter().flatten().min()
    }

    async fn round(&mut self) {
        let now = Instant::now();
        if self.waits_for_secrets(now) {
            // Pods that are gone must not wait for a certificate.
            if !self.store.dirty().services.is_empty() {
                self.last = Some(now);
                let (newest, dirty) = self.store.services();
                // Ports are looked up in the Services that the table was made from.
                let services = self.current.snapshot.services.clone();
                let snapshot = Arc::new(Snapshot { services, ..Snapshot::clone(&newest) });
                self.endpoints(snapshot, dirty).await;
            }
            return;
        }
        let boundary = self.boundary.is_some_and(|moment| unix_now() >= moment);
        let again = self.again.is_some_and(|again| again <= now);
        let dirty = self.store.dirty();
        let whole = dirty.objects || boundary || again || self.failed && !dirty.services.is_empty();
        if !dirty.is_clean() {
            self.last = Some(now);
        }
        let (snapshot, dirty) = self.store.snapshot(unix_now());
        if dirty.diagnostics {
            self.problems.source = self.store.diagnostics().to_vec();
        }
        self.current.snapshot = snapshot;
        self.current.objects = self.store.counts().to_vec();
        if whole {
            self.again = None;
            self.boundary = None;
            self.whole(dirty.moments).await;
        } else if !dirty.services.is_empty() {
            self.endpoints(self.current.snapshot.clone(), dirty).await;
        }
        self.tell();
    }

    /// Whether what changed needs Secrets that are being read. Asks for those that nobody asked for before.
    fn waits_for_secrets(&mut self, now: Instant) -> bool {
        let Some(asked) = self.asked.as_mut().filter(|_| self.store.dirty().objects) else { return false };
        let late = asked.wait().is_some_and(|until| until <= now);
        // What came while it waited is asked for too, or nobody would before the next change.
        asked.ask(self.store.objects());
        if late {
            asked.give_up();
        }
        asked.wait().is_some()
    }

    async fn whole(&mut self, moments: Moments) {
        let (stage, snapshot, previous) =
            (self.stage.clone(), self.current.snapshot.clone(), self.current.table.clone());
        let (memory, since) = (std::mem::take(&mut self.memory), std::mem::take(&mut self.swapped));
        let round = spawn_blocking(move || stage.whole(&snapshot, memory, &previous, &since, &moments)).await;
        let Ok(outcome) = round else {
            self.failed = true;
            self.state.numbers.panics.fetch_add(1, Ordering::Relaxed);
            return tracing::error!("the compile panicked; the last table stays and the next change tries again");
        };
        let Outcome { table, memory, problems, keys, endpoints, next_boundary, took, swapped, served, ours } = outcome;
        self.failed = false;
        self.memory = memory;
        self.took = took;
        // A moment that has passed cannot come.
        self.boundary = next_boundary.filter(|moment| *moment > self.current.snapshot.now);
        self.problems.compile = problems;
        self.problems.keys = keys.unwrap_or(std::mem::take(&mut self.problems.keys));
        self.problems.endpoints = endpoints;
        self.current.compiled = Some(SystemTime::now());
        (self.current.served, self.current.ours) = (served, ours);
        self.state.numbers.compile.observe(took.as_secs_f64());
        self.state.numbers.endpoint_swaps.fetch_add(swapped as u64, Ordering::Relaxed);
        if let Some(table) = table {
            tracing::info!(generation = table.generation(), "published a table, compiled in {took:?}");
            self.current.table = table;
            self.state.set_ready();
        }
        self.in_effect();
    }

    async fn endpoints(&mut self, snapshot: Arc<Snapshot>, dirty: Dirty) {
        let (stage, table) = (self.stage.clone(), self.current.table.clone());
        let Dirty { services, moments, .. } = dirty;
        self.swapped.extend(services.iter().cloned());
        let round = spawn_blocking(move || stage.endpoints_of(&snapshot, &table, &services, &moments)).await;
        match round {
            Ok(swapped) => {
                self.state.numbers.endpoint_swaps.fetch_add(swapped as u64, Ordering::Relaxed);
                self.in_effect();
            }
            Err(_) => {
                self.failed = true;
                self.state.numbers.panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!("reading endpoints panicked; the last ones stay and the next change tries again");
            }
        }
        self.again.get_or_insert(Instant::now() + SETTLED.max(self.took * SHARE));
    }

    fn in_effect(&mut self) {
        if self.store.dirty().has_effect() {
            return;
        }
        if let Some(noticed) = self.noticed.take() {
            self.state.numbers.effect.observe(noticed.elapsed().as_secs_f64());
        }
    }

    /// Lets others see what is now.
    fn tell(&mut self) {
        let report = self.problems.report(&self.current.snapshot);
        if !Arc::ptr_eq(&report, &self.current.report) {
            log_transitions(&self.current.report, &report);
            self.current.report = report;
        }
        self.state.set(self.current.clone());
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Time until a moment in seconds since 1970; never nothing, because the moment's second must have begun.
fn seconds_until(moment: i64) -> Duration {
    Duration::from_secs(moment.saturating_sub(unix_now()).try_into().unwrap_or(0))
}

/// Longest wait for a moment of the calendar.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How long after a change of endpoints alone everything is compiled, for what the report and protocols owe to them.
const SETTLED: Duration = Duration::from_secs(1);
/// The same in times of what a compile takes, so that it never takes more than a small share of a processor.
const SHARE: u32 = 10;
