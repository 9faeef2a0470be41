//! What the engine lets others see: written by it alone, read by the admin answers, never waited for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use portico_compile::Snapshot;
use portico_shared::table::RoutingTable;
use portico_shared::{Kind, ObjectRef, Published, Report};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tokio::sync::watch;

use crate::view::Served;

/// The state of the control side.
#[derive(Debug)]
pub struct State {
    current: Published<Current>,
    changes: watch::Sender<u64>,
    phase: AtomicU8,
    trouble: Published<Option<String>>,
    /// Numbers that only grow.
    pub numbers: Numbers,
}

/// What is served now and what it came from.
#[derive(Clone, Debug)]
pub struct Current {
    /// The table.
    pub table: Arc<RoutingTable>,
    /// Everything that is wrong: with the source, the objects, keys and names.
    pub report: Arc<Report>,
    /// The objects of the last compile.
    pub snapshot: Arc<Snapshot>,
    /// Ingresses with at least one usable rule in the table.
    pub served: Arc<BTreeSet<ObjectRef>>,
    /// Every Ingress of ours, served or not.
    pub ours: Arc<BTreeSet<ObjectRef>>,
    /// When it was compiled last.
    pub compiled: Option<SystemTime>,
    /// When the source last told of a change.
    pub changed: Option<Instant>,
    /// Number of objects by kind.
    pub objects: Vec<(Kind, usize)>,
}

/// Where the process stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was published yet.
    Starting,
    /// Serving.
    Ready,
    /// Told to end.
    Draining,
}

/// Numbers that only grow.
#[derive(Debug)]
pub struct Numbers {
    /// Seconds that compiles took.
    pub compile: Histogram,
    /// Seconds from a change that the source noticed to its being in effect.
    pub effect: Histogram,
    /// Compiles that panicked.
    pub panics: AtomicU64,
    /// Endpoint sets that were swapped without a new table.
    pub endpoint_swaps: AtomicU64,
    /// Troubles that the source told of.
    pub troubles: AtomicU64,
}

impl Default for State {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.0005, 2.0, 15));
        let (panics, endpoint_swaps, troubles) = Default::default();
        let numbers = Numbers { compile: seconds(), effect: seconds(), panics, endpoint_swaps, troubles };
        let current = Published::new(Current::default());
        let changes = watch::Sender::default();
        Self { current, changes, phase: AtomicU8::new(Phase::Starting as u8), trouble: Published::default(), numbers }
    }
}

impl Default for Current {
    fn default() -> Self {
        let (report, snapshot, served, ours) = Default::default();
        let table = Arc::new(RoutingTable::empty());
        Self { table, report, snapshot, served, ours, compiled: None, changed: None, objects: Vec::new() }
    }
}

impl State {
    /// What is served now.
    #[must_use]
    pub fn current(&self) -> Arc<Current> {
        self.current.load()
    }

    /// Moves whenever what [`State::current`] gives was replaced.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Where the process stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// The last trouble that the source told of, while it lasts as far as the source says.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.load().as_ref().clone()
    }

    /// The process was told to end; there is no way back.
    pub fn drain(&self) {
        self.phase.store(Phase::Draining as u8, Ordering::Release);
    }

    pub(super) fn set(&self, current: Current) {
        let generation = self.current.store(Arc::new(current));
        self.changes.send_replace(generation);
    }

    pub(super) fn set_ready(&self) {
        let (from, to) = (Phase::Starting as u8, Phase::Ready as u8);
        // Refused when it is draining already, which stands.
        let _ = self.phase.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn clear_trouble(&self) {
        self.trouble.store(Arc::default());
    }

    pub(super) fn set_trouble(&self, trouble: String) {
        self.numbers.troubles.fetch_add(1, Ordering::Relaxed);
        self.trouble.store(Arc::new(Some(trouble)));
    }
}

impl Current {
    /// The table with what explains it.
    #[must_use]
    pub fn served(&self) -> Served<'_> {
        Served { table: &self.table, report: &self.report, snapshot: &self.snapshot, live: true }
    }
}
