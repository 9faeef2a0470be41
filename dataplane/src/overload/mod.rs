//! When there is not enough of something: memory of the process, time of a worker, descriptors for upstreams.
//!
//! Knows numbers and thresholds, no connections and no requests. Invariant: what a request asks for is one relaxed load;
//! everything that costs more is done by a thread or a timer of its own.

mod lateness;
mod memory;
mod slots;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config;

pub(crate) use lateness::Lateness;
pub(crate) use slots::{Held, Reset, Slot, Slots};

use memory::Budget;

/// How scarce memory is; each level includes what the ones before it do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    /// There is enough.
    #[default]
    Calm,
    /// No connection is kept for a further request, and large bodies begin one after the other.
    KeepAliveOff,
    /// New requests are refused with 503, connections without one are closed, and so are uploads of which no endpoint takes
    /// anything for [`PRESSED_EARLY`].
    Refusing,
    /// Nobody is accepted, no request body is read, and who takes nothing for [`PRESSED`] is cut: clients of answers,
    /// endpoints of request bodies.
    Closed,
}

impl Level {
    fn of(number: u8) -> Self {
        match number {
            0 => Self::Calm,
            1 => Self::KeepAliveOff,
            2 => Self::Refusing,
            _ => Self::Closed,
        }
    }

    /// The level at this share of the budget in thousandths, coming from `before`: a level is left only some way below
    /// the threshold at which it was entered, so that it does not flicker.
    fn at(share: u64, before: Self, settings: &config::Overload) -> Self {
        let thresholds = [
            (Self::Closed, settings.accept_off),
            (Self::Refusing, settings.refuse),
            (Self::KeepAliveOff, settings.keep_alive_off),
        ];
        let reached = |(level, percent): &(Self, u32)| {
            let margin = if before >= *level { MARGIN } else { 0 };
            share >= u64::from(*percent) * 10 - margin.min(u64::from(*percent) * 10)
        };
        thresholds.into_iter().find(reached).map_or(Self::Calm, |(level, _)| level)
    }
}

/// The level of memory, process-wide.
#[derive(Debug)]
pub(crate) struct Overload {
    level: AtomicU8,
    used: AtomicU64,
    limit: AtomicU64,
    /// Whether refusing has gone on for long.
    stuck: AtomicBool,
    /// Whether memory was scarce a short time ago.
    lately: AtomicBool,
    /// Connections that may come before memory is looked at again.
    room: AtomicI64,
    /// When a large body was last let in while memory was scarce: milliseconds since the start.
    body: AtomicU64,
    start: Instant,
    /// Who looks.
    watcher: OnceLock<Thread>,
    changes: watch::Sender<Level>,
}

impl Overload {
    /// Nothing is scarce, and nobody looks.
    pub(crate) fn new() -> Arc<Self> {
        let (changes, _) = watch::channel(Level::Calm);
        Arc::new(Self {
            level: AtomicU8::new(0),
            used: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            stuck: AtomicBool::new(false),
            lately: AtomicBool::new(false),
            room: AtomicI64::new(i64::MAX),
            body: AtomicU64::new(0),
            start: Instant::now(),
            watcher: OnceLock::new(),
            changes,
        })
    }

    /// Looks at the memory from a thread of its own for as long as somebody holds the result. Without a limit, or where
    /// the system does not tell, nobody looks.
    pub(crate) fn watch(settings: &config::Overload) -> Arc<Self> {
        let overload = Self::new();
        let Some(budget) = Budget::find(settings.memory) else { return overload };
        let (weak, settings) = (Arc::downgrade(&overload), settings.clone());
        let looking = move || {
            let mut calm = Instant::now();
            let (mut near, mut scarce) = (None, None);
            while let Some(overload) = weak.upgrade() {
                let looked = Instant::now();
                let share = overload.look(&budget, &settings);
                if overload.level() < Level::Refusing {
                    calm = Instant::now();
                }
                if overload.level() != Level::Calm {
                    scarce = Some(looked);
                }
                if share >= NEAR {
                    near = Some(looked);
                }
                let lately = |when: Option<Instant>| when.is_some_and(|when| when.elapsed() < LATELY);
                overload.stuck.store(calm.elapsed() >= PATIENCE, Relaxed);
                overload.lately.store(lately(scarce), Relaxed);
                drop(overload);
                thread::park_timeout(if lately(near) { OFTEN } else { SELDOM });
                // However many ask for it.
                while looked.elapsed() < OFTEN {
                    thread::park_timeout(OFTEN.saturating_sub(looked.elapsed()));
                }
            }
        };
        match thread::Builder::new().name("memory".into()).spawn(looking) {
            // Nobody else sets it.
            Ok(started) => drop(overload.watcher.set(started.thread().clone())),
            Err(error) => tracing::warn!(%error, "memory is not watched: its thread cannot be started"),
        }
        overload
    }

    /// Reads the budget once; the share that is used in thousandths.
    fn look(&self, budget: &Budget, settings: &config::Overload) -> u64 {
        let (used, limit) = budget.used();
        self.used.store(used, Relaxed);
        self.limit.store(limit, Relaxed);
        let share = used.saturating_mul(1000) / limit.max(1);
        let free = (limit / 100 * u64::from(settings.keep_alive_off)).saturating_sub(used);
        self.room.store((free / 4 / CONNECTION).cast_signed().max(LEAST_ROOM), Relaxed);
        self.enter(Level::at(share, self.level(), settings));
        share
    }

    fn enter(&self, level: Level) {
        let before = self.level();
        if level == before {
            return;
        }
        self.level.store(level as u8, Relaxed);
        self.changes.send_replace(level);
        let (used, limit) = self.memory();
        match level {
            Level::Calm => tracing::info!(used, limit, "there is enough memory again"),
            _ => tracing::warn!(?level, ?before, used, limit, "memory is scarce"),
        }
    }

    /// The level now.
    pub(crate) fn level(&self) -> Level {
        Level::of(self.level.load(Relaxed))
    }

    /// Whether memory is scarce, or was a short time ago: what waited for it must not take all of it at once.
    pub(crate) fn is_scarce(&self) -> bool {
        self.level() != Level::Calm || self.lately.load(Relaxed)
    }

    /// Waits for the turn of a large body; false when it does not come in time. While memory is scarce one begins every
    /// [`TURN`]: however many begin at once, what each will take shows only later.
    pub(crate) async fn turn(&self) -> bool {
        let begun = Instant::now();
        while self.is_scarce() && !self.take_turn() {
            if begun.elapsed() >= PRESSED {
                return false;
            }
            sleep(OFTEN).await;
        }
        true
    }

    fn take_turn(&self) -> bool {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.body.load(Relaxed);
        let due = now >= last.saturating_add(TURN.as_millis() as u64);
        due && self.body.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }

    /// How long an endpoint may take nothing of a body now; `None` while there is no hurry.
    pub(crate) fn patience(&self) -> Option<Duration> {
        match self.level() {
            Level::Calm | Level::KeepAliveOff => None,
            Level::Refusing => Some(PRESSED_EARLY),
            Level::Closed => Some(PRESSED),
        }
    }

    /// Whether requests have been refused for so long that what is used may be nobody's who could be refused: then one at a
    /// time is let through, or memory that the allocator keeps would be the end of all service.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Relaxed)
    }

    /// Octets used and allowed; zeros when nobody looks.
    pub(crate) fn memory(&self) -> (u64, u64) {
        (self.used.load(Relaxed), self.limit.load(Relaxed))
    }

    /// Tells of every change.
    pub(crate) fn changes(&self) -> watch::Receiver<Level> {
        self.changes.subscribe()
    }

    /// Waits until one more connection may be accepted; at once while there is memory, and where there are none left to be
    /// closed. So that it can be known whether there is, no more come between two looks than would take a quarter of it.
    pub(crate) async fn accepting(&self, open: impl Fn() -> usize) {
        while self.level() == Level::Closed && !(self.is_stuck() && open() == 0) {
            let mut changes = self.changes();
            let changed = changes.wait_for(|level| *level < Level::Closed);
            // Neither outcome matters: it is looked at again.
            let _ = timeout(SELDOM, changed).await;
        }
        while self.room.fetch_sub(1, Relaxed) <= 0 {
            if let Some(watcher) = self.watcher.get() {
                watcher.unpark();
            }
            sleep(OFTEN).await;
        }
    }
}

/// How long one may take nothing while memory is needed.
pub(crate) const PRESSED: Duration = Duration::from_secs(1);
/// How long an endpoint may take nothing of a body while requests are refused.
const PRESSED_EARLY: Duration = Duration::from_secs(5);
/// Time between two large bodies while memory is scarce.
const TURN: Duration = Duration::from_millis(100);
/// How far below its threshold a level is left, in thousandths of the limit.
const MARGIN: u64 = 20;
/// How long refusing helps, if it helps at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a connection may soon take: buffers on both sides of a body that nobody takes.
const CONNECTION: u64 = 256 * 1024;
/// Connections that may come between two looks, however little memory there is.
const LEAST_ROOM: i64 = 1;
/// Pause between two looks while there is plenty and nobody asks for one.
const SELDOM: Duration = Duration::from_millis(100);
/// The same from [`NEAR`] on, and for [`LATELY`] after.
const OFTEN: Duration = Duration::from_millis(10);
/// Share in thousandths from which on memory may soon be scarce.
const NEAR: u64 = 700;
/// For how long what was scarce is treated as if it still were: what filled it comes again as soon as there is some.
const LATELY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_entered_at_their_thresholds_and_left_below_them() {
        let settings = config::Overload::default();
        for (share, before, expected) in [
            (0, Level::Calm, Level::Calm),
            (849, Level::Calm, Level::Calm),
            (850, Level::Calm, Level::KeepAliveOff),
            (920, Level::Calm, Level::Refusing),
            (950, Level::KeepAliveOff, Level::Closed),
            (1200, Level::Closed, Level::Closed),
            (931, Level::Closed, Level::Closed),
            (929, Level::Closed, Level::Refusing),
            (901, Level::Refusing, Level::Refusing),
            (899, Level::Refusing, Level::KeepAliveOff),
            (829, Level::KeepAliveOff, Level::Calm),
            (100, Level::Closed, Level::Calm),
        ] {
            assert_eq!(Level::at(share, before, &settings), expected, "{share} from {before:?}");
        }
    }

    #[tokio::test]
    async fn no_more_come_between_two_looks_than_there_is_room_for() {
        let overload = Overload::new();
        let settings = config::Overload::default();
        overload.look(&Budget::Process { limit: 1 }, &settings);
        overload.enter(Level::Calm);
        for _ in 0..LEAST_ROOM {
            overload.accepting(|| 1).await;
        }
        assert!(timeout(SELDOM, overload.accepting(|| 1)).await.is_err(), "nobody has looked");
        overload.look(&Budget::Process { limit: u64::MAX / 2 }, &settings);
        for _ in 0..10_000 {
            overload.accepting(|| 1).await;
        }
    }

    #[tokio::test]
    async fn large_bodies_take_turns_while_memory_is_scarce() {
        let overload = Overload::new();
        let all = async || futures_util::future::join_all((0..100).map(|_| overload.turn())).await;
        assert!(all().await.iter().all(|turn| *turn));
        overload.enter(Level::KeepAliveOff);
        let admitted = all().await.iter().filter(|turn| **turn).count();
        assert!((2..50).contains(&admitted), "{admitted} in a second");
    }

    #[tokio::test]
    async fn accepting_waits_for_memory() {
        let overload = Overload::new();
        overload.accepting(|| 1).await;
        overload.enter(Level::Closed);
        let waiting = tokio::spawn({
            let overload = overload.clone();
            async move { overload.accepting(|| 1).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        overload.enter(Level::Refusing);
        waiting.await.expect("it does not panic");
        overload.enter(Level::Closed);
        overload.stuck.store(true, Relaxed);
        overload.accepting(|| 0).await;
        assert!(timeout(SELDOM * 2, overload.accepting(|| 1)).await.is_err(), "there is somebody to be closed");
    }
}
