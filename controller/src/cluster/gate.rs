//! Where everything waits while the API cannot be reached.
//!
//! One cheap look per second at whether anything listens there, for all that wait together; when it does, all go on,
//! spread over a moment. Invariant: while the gate is closed nothing is asked of the API.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::numbers::Numbers;
use super::patience::jittered;

/// A gate that all who ask something of the API share.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    host: String,
    port: u16,
    reach: watch::Sender<Reach>,
    /// How often in a row something listened and yet nothing was answered.
    silences: AtomicU32,
    openings: Mutex<Openings>,
    numbers: Arc<Numbers>,
}

#[derive(Debug)]
struct Openings {
    count: u64,
    last: Instant,
}

/// Whether the API can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Something may listen there, and was not heard of yet.
    Hopeful,
    /// It answers.
    Answers,
    /// Nothing listens there or nothing is answered, for this reason.
    Away(Arc<str>),
}

impl Gate {
    /// A gate before the API at this host and port, open until something fails.
    #[must_use]
    pub fn new(host: String, port: u16, numbers: Arc<Numbers>) -> Self {
        let (reach, silences) = (watch::Sender::new(Reach::Hopeful), AtomicU32::new(0));
        let openings = Mutex::new(Openings { count: 0, last: Instant::now() });
        Self(Arc::new(Shared { host, port, reach, silences, openings, numbers }))
    }

    /// Follows whether the API can be reached.
    #[must_use]
    pub fn reach(&self) -> watch::Receiver<Reach> {
        self.0.reach.subscribe()
    }

    /// Something got no answer: closes the gate until the API is there again.
    pub fn lost(&self, why: &str) {
        let closed = self.0.reach.send_if_modified(|reach| {
            let open = !matches!(reach, Reach::Away(_));
            if open {
                *reach = Reach::Away(why.into());
            }
            open
        });
        if closed {
            self.0.numbers.set_connected(false);
            let silences = self.0.silences.fetch_add(1, Ordering::Relaxed);
            let pause = PROBE.saturating_mul(1 << silences.min(8)).min(LONGEST_PROBE);
            tokio::spawn(probe(Arc::downgrade(&self.0), pause));
        }
    }

    /// Something was answered, be it with an error.
    pub fn answered(&self) {
        let shared = &self.0;
        shared.silences.store(0, Ordering::Relaxed);
        shared.reach.send_if_modified(|reach| {
            let before = std::mem::replace(reach, Reach::Answers);
            if matches!(before, Reach::Away(_)) {
                shared.opened();
            }
            before != Reach::Answers
        });
        shared.numbers.set_connected(true);
    }

    /// Waits until something may be asked. Who had to wait goes on at a moment of its own.
    pub async fn pass(&self) {
        let mut reach = self.reach();
        if matches!(*reach.borrow_and_update(), Reach::Away(_)) {
            // The sender lives in this gate.
            let _ = reach.wait_for(|reach| !matches!(reach, Reach::Away(_))).await;
            drop(reach);
            sleep(SPREAD.mul_f64(fastrand::f64())).await;
        }
    }

    /// Whether the API came up, or we did, so short a time ago that it may refuse what it will allow in a moment.
    #[must_use]
    pub fn is_young(&self) -> bool {
        self.0.openings().last.elapsed() < YOUNG
    }

    /// How often the gate opened: moves whenever the API was away in between.
    #[must_use]
    pub fn openings(&self) -> u64 {
        self.0.openings().count
    }
}

impl Shared {
    fn openings(&self) -> MutexGuard<'_, Openings> {
        self.openings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) {
        let mut openings = self.openings();
        *openings = Openings { count: openings.count + 1, last: Instant::now() };
    }
}

/// `host:port`.
impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.host.contains(':') {
            true => write!(f, "[{}]:{}", self.0.host, self.0.port),
            false => write!(f, "{}:{}", self.0.host, self.0.port),
        }
    }
}

async fn probe(shared: Weak<Shared>, mut pause: Duration) {
    loop {
        sleep(jittered(pause)).await;
        pause = PROBE;
        let Some((host, port)) = shared.upgrade().map(|shared| (shared.host.clone(), shared.port)) else { return };
        let heard = matches!(timeout(PROBE_TIMEOUT, TcpStream::connect((host.as_str(), port))).await, Ok(Ok(_)));
        let Some(shared) = shared.upgrade() else { return };
        let was_away = matches!(*shared.reach.borrow(), Reach::Away(_));
        if heard {
            shared.reach.send_if_modified(|reach| {
                let away = matches!(reach, Reach::Away(_));
                if away {
                    shared.opened();
                    *reach = Reach::Hopeful;
                }
                away
            });
        }
        if heard || !was_away {
            return;
        }
    }
}

/// Time between two looks.
const PROBE: Duration = Duration::from_millis(900);
/// The longest pause before the first look, when something listens but does not answer.
const LONGEST_PROBE: Duration = Duration::from_secs(4);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Over which all that waited go on.
const SPREAD: Duration = Duration::from_millis(300);
/// How long an API that came up is given to settle.
const YOUNG: Duration = Duration::from_secs(30);
