//! Tells users what is wrong with their Ingresses where they look: Kubernetes Events, from the leader only.
//!
//! Reads the report, finds no problem itself. A problem is told when it appears and lasts, at the Ingresses of ours that
//! it concerns and at the object that has it. Events are for people: what is too much is dropped and counted, and
//! `/diagnostics` has all of it. Invariant: nothing waits for an Event, and Ingresses of others get none.

mod bucket;
mod event;
mod numbers;
mod problem;
mod queue;
mod sink;
mod track;

use std::sync::Arc;
use std::time::{Duration, Instant};

use portico_compile::Key;
use portico_shared::{Kind, ObjectRef, Report};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};

use crate::cluster::{Connection, Failure, Gate, Refusal};
use crate::engine::State;
pub use event::Reporter;
use event::Telling;
use numbers::Fate;
pub use numbers::Numbers;
use problem::{cut, hosts, problems, uid};
use queue::{Queue, Waiting};
use sink::Sink;
use track::{OLD, Tracker};

/// Tells problems while it leads.
#[derive(Debug)]
pub struct Events {
    state: Arc<State>,
    leading: watch::Receiver<bool>,
    numbers: Numbers,
    announced: mpsc::Receiver<Announcement>,
    sink: Sink,
    gate: Gate,
    tracker: Tracker,
    queue: Queue,
    /// The report that was looked at last.
    report: Option<Arc<Report>>,
    pace: Pace,
}

/// When the next things are due.
#[derive(Clone, Copy, Debug)]
struct Pace {
    look: Instant,
    looked: Instant,
    /// Nothing is sent before that.
    send: Instant,
    /// When a failure was logged last.
    warned: Option<Instant>,
}

/// Tells that an Ingress got its first address.
#[derive(Clone, Debug)]
pub struct Announcer {
    sender: mpsc::Sender<Announcement>,
    numbers: Numbers,
}

#[derive(Clone, Debug)]
struct Announcement {
    ingress: Key,
    addresses: String,
}

impl Announcer {
    /// Tells it, unless too much is told already.
    pub fn served(&self, ingress: Key, addresses: String) {
        if self.sender.try_send(Announcement { ingress, addresses }).is_err() {
            self.numbers.count(Fate::Dropped);
        }
    }
}

impl Events {
    /// Nothing told, and who may announce what is served.
    #[must_use]
    pub fn new(
        connection: &Connection,
        reporter: Reporter,
        state: Arc<State>,
        leading: watch::Receiver<bool>,
        numbers: Numbers,
    ) -> (Self, Announcer) {
        let now = Instant::now();
        let (sender, announced) = mpsc::channel(ANNOUNCED);
        let announcer = Announcer { sender, numbers: numbers.clone() };
        let (tracker, queue, sink) =
            (Tracker::default(), Queue::new(now), Sink::new(connection.client.clone(), reporter));
        let pace = Pace { look: now, looked: now, send: now, warned: None };
        let (report, gate) = (None, connection.gate.clone());
        (Self { state, leading, numbers, announced, sink, gate, tracker, queue, report, pace }, announcer)
    }

    /// Tells until `stop` is true or gone.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (mut changes, mut leading) = (self.state.changes(), self.leading.clone());
        let (mut ended, gate) = (stop.clone(), self.gate.clone());
        loop {
            let send = self.queue.ready(Instant::now()).max(self.pace.send);
            tokio::select! {
                () = told(&mut stop) => return,
                changed = changes.changed() => match changed {
                    Ok(()) => self.look_soon(),
                    Err(_) => return,
                },
                changed = leading.changed() => match changed {
                    Ok(()) => self.lead(),
                    Err(_) => return,
                },
                Some(announcement) = self.announced.recv() => self.announce(&announcement),
                () = sleep_until(self.pace.look.into()) => self.look(),
                () = pass(&gate, send), if !self.queue.is_empty() => tokio::select! {
                    () = self.send() => {}
                    // A request that hangs does not keep the process from its end.
                    () = told(&mut ended) => return,
                },
            }
            self.numbers.pending.set(i64::try_from(self.queue.len()).unwrap_or(i64::MAX));
        }
    }

    fn leads(&self) -> bool {
        *self.leading.borrow()
    }

    fn lead(&mut self) {
        let (leads, now) = (self.leads(), Instant::now());
        if !leads {
            // Whoever leads now found the same.
            self.queue.clear();
        }
        self.tracker.lead(leads, now);
        self.pace.look = now;
    }

    fn look_soon(&mut self) {
        let soon = Instant::now().max(self.pace.looked + BETWEEN_LOOKS);
        self.pace.look = self.pace.look.min(soon);
    }

    /// Finds what appeared and what is due.
    fn look(&mut self) {
        let now = Instant::now();
        // Followers look now and then too, to forget what is no news.
        (self.pace.looked, self.pace.look) = (now, now + OLD);
        let current = self.state.current();
        // Nothing is known before the first table: all of it would appear one by one.
        if current.compiled.is_none() {
            return;
        }
        if self.report.as_ref().is_none_or(|report| !Arc::ptr_eq(report, &current.report)) {
            self.tracker.observe(problems(&current), now);
            self.report = Some(current.report.clone());
        }
        let (due, next) = self.tracker.due(now);
        for due in due {
            // Gone since the last round: so is the problem, as the next will tell.
            let Some(uid) = uid(&current.snapshot, &due.problem.object) else { continue };
            self.push(Telling::of_problem(due.problem, uid, due.ours), now);
        }
        if let Some(next) = next {
            self.pace.look = self.pace.look.min(next);
        }
    }

    fn announce(&mut self, announcement: &Announcement) {
        let Announcement { ingress, addresses } = announcement;
        let current = self.state.current();
        let object =
            ObjectRef { kind: Kind::Ingress, namespace: ingress.namespace.clone(), name: ingress.name.clone() };
        let Some(uid) = uid(&current.snapshot, &object).filter(|_| self.leads()) else { return };
        let note = format!("served at {addresses} for {}", hosts(&current.snapshot, ingress).join(", "));
        let note = cut(&note, problem::NOTE).into();
        let (reason, action) = ("Served", "Publish");
        self.push(
            Telling { object, uid, related: None, warning: false, reason, action, note, repeats: false },
            Instant::now(),
        );
    }

    fn push(&mut self, telling: Telling, now: Instant) {
        if !self.queue.push(telling, now) {
            self.numbers.count(Fate::Dropped);
        }
    }

    /// Sends one.
    async fn send(&mut self) {
        let now = Instant::now();
        let Some(waiting) = self.queue.pop(now) else { return };
        let sent = timeout(LONGEST, self.sink.send(&waiting.telling, now)).await;
        // One slow answer, maybe that of a webhook, does not mean that the API is away.
        match sent.unwrap_or_else(|_| Err(Failure::Cut("no answer in time".to_owned()))) {
            Ok(fate) => self.numbers.count(fate),
            Err(failure) => self.failed(waiting, &failure),
        }
    }

    fn failed(&mut self, waiting: Waiting, failure: &Failure) {
        let now = Instant::now();
        if let Failure::Away(why) = failure {
            self.gate.lost(why);
        }
        if self.pace.warned.is_none_or(|warned| now >= warned + BETWEEN_WARNINGS) {
            tracing::warn!("cannot tell an Event of {}: {failure}", waiting.telling.object);
            self.pace.warned = Some(now);
        }
        let failures = waiting.failures + 1;
        if is_passing(failure) && failures < TRIES {
            let pause = FIRST_PAUSE * 2_u32.pow(waiting.failures);
            self.pace.send = now + failure.retry_after().unwrap_or_default().clamp(pause, LONGEST_PAUSE);
            self.queue.put_back(Waiting { failures, ..waiting });
        } else {
            // Refused: its namespace goes, or a right is missing. Telling it again would not help.
            self.numbers.count(Fate::Failed);
        }
    }
}

/// Returns when it is time to end. Nothing of the channel is held on to.
async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Waits until a time has come and the API can be reached.
async fn pass(gate: &Gate, at: Instant) {
    sleep_until(at.into()).await;
    gate.pass().await;
}

/// Whether it may go better later: the API server is away or has too much to do.
fn is_passing(failure: &Failure) -> bool {
    match failure {
        Failure::Away(_) | Failure::Cut(_) => true,
        Failure::Unreadable(_) => false,
        Failure::Refused(Refusal { code, .. }) => *code == 429 || *code >= 500,
    }
}

/// Announcements that wait, the most.
const ANNOUNCED: usize = 1024;
/// Shortest time between two looks at the report.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// Shortest time between two lines in the log about Events that were not told; the numbers count all.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(30);
/// How long one request may take.
const LONGEST: Duration = Duration::from_secs(5);
/// How often one Event is tried.
const TRIES: u32 = 4;
/// Pauses after an answer that it may go better later.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_troubles_of_the_api_server_are_worth_another_try() {
        for (code, passing) in [(403, false), (404, false), (409, false), (422, false), (429, true), (500, true)] {
            let refusal = Refusal { code, message: "no".to_owned(), retry_after: None };
            assert_eq!(is_passing(&Failure::Refused(refusal)), passing, "{code}");
        }
        assert!(is_passing(&Failure::Away("refused".to_owned())));
    }
}
