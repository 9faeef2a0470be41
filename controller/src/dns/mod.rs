//! Names behind ExternalName Services, resolved into the endpoints of their upstreams.
//!
//! Knows tables only as the upstreams that name something, and never makes a request wait: what cannot be resolved now
//! keeps its last addresses for a while. Invariant: an address that the guard refuses is never in a set, and the data
//! plane connects to exactly the addresses that are.

mod guard;
mod lookup;
mod names;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use portico_shared::Diagnostic;
use portico_shared::table::RoutingTable;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use guard::Guard;
pub use names::Counts;

use lookup::Lookup;
use names::Names;

/// How names are resolved.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Name server; `None` is the system's configuration.
    pub resolver: Option<SocketAddr>,
    /// DNS domain of the cluster, for names that end in `.svc`.
    pub cluster_domain: String,
    /// What names may not lead to.
    pub guard: Guard,
}

/// Name resolution cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up name resolution: {0}")]
pub struct SetupError(#[source] hickory_resolver::net::NetError);

/// The names that are followed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dns {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    names: Mutex<Names>,
    lookup: Lookup,
    wake: Notify,
    problems: watch::Sender<Vec<Diagnostic>>,
}

impl Dns {
    /// Follows no names yet. [`Dns::run`] does the work.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let lookup = Lookup::new(settings.resolver, settings.cluster_domain).map_err(SetupError)?;
        let (problems, _) = watch::channel(Vec::new());
        let names = Mutex::new(Names::new(settings.guard));
        Ok(Self { inner: Arc::new(Inner { names, lookup, wake: Notify::new(), problems }) })
    }

    /// Follows exactly the names of this table. What is known of a name is in its upstreams' endpoints on return.
    pub fn follow(&self, table: &RoutingTable) {
        self.inner.lock().follow(table, Instant::now());
        self.inner.tell();
        self.inner.wake.notify_one();
    }

    /// What is wrong with names now, as it changes.
    #[must_use]
    pub fn problems(&self) -> watch::Receiver<Vec<Diagnostic>> {
        self.inner.problems.subscribe()
    }

    /// Numbers for metrics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.lock().counts()
    }

    /// Resolves what is due, at most 32 names at a time, for ever.
    pub async fn run(self) {
        let mut running = JoinSet::new();
        loop {
            let now = Instant::now();
            let due = self.inner.lock().take_due(now, CONCURRENCY - running.len());
            for name in due {
                let inner = self.inner.clone();
                running.spawn(async move {
                    let answer = inner.lookup.addresses(&name).await;
                    inner.lock().answered(&name, answer, Instant::now());
                    inner.tell();
                });
            }
            let next = self.inner.lock().next().filter(|_| running.len() < CONCURRENCY);
            tokio::select! {
                () = self.inner.wake.notified() => {}
                () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
                Some(_) = running.join_next(), if !running.is_empty() => {}
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        let Some(problems) = self.lock().new_problems() else { return };
        self.problems.send_if_modified(|told| {
            let changed = *told != problems;
            *told = problems;
            changed
        });
    }
}

/// Names that are resolved at the same time.
const CONCURRENCY: usize = 32;
