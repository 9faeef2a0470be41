//! How many connections there may be, and which worker takes one.
//!
//! Knows addresses and counts, no sockets. Invariant: what a guard counted it gives back exactly once, when it is dropped.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::observe::metrics::Limit;

/// The caps on downstream connections, process-wide.
///
/// A worker waits for [`ConnectionLimit::available`] before it accepts, so that connections over the total wait in the
/// kernel's queue. A worker that already waits for a connection brings one more than the total; only beyond that slack
/// of one per worker is a connection refused.
#[derive(Debug)]
pub struct ConnectionLimit {
    total: usize,
    slack: usize,
    open: Padded,
    waiting: Padded,
    released: Notify,
    clients: Option<Clients>,
}

/// Connections by client address, in parts so that workers seldom wait for each other.
#[derive(Debug)]
struct Clients {
    cap: usize,
    hasher: RandomState,
    shards: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
}

impl ConnectionLimit {
    /// Caps in total (soft by one per worker) and, when given, per client address; both at least 1.
    #[must_use]
    pub fn new(total: usize, per_client: Option<usize>, workers: usize) -> Arc<Self> {
        let clients = |cap: usize| Clients { cap: cap.max(1), hasher: RandomState::new(), shards: Default::default() };
        Arc::new(Self {
            total: total.max(1),
            slack: workers,
            open: Padded::default(),
            waiting: Padded::default(),
            released: Notify::new(),
            clients: per_client.map(clients),
        })
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.0.load(SeqCst)
    }

    /// Whether another connection may be accepted now.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.open() < self.total
    }

    /// Waits until another connection may be accepted; returns at once while the total is not reached.
    pub async fn available(&self) {
        while !self.is_available() {
            let released = self.released.notified();
            let mut released = std::pin::pin!(released);
            released.as_mut().enable();
            let _waiting = Waiting::begin(&self.waiting.0);
            // Looked at again once a release is sure to be noticed.
            if !self.is_available() {
                released.await;
            }
        }
    }

    /// Counts a connection of `client` until the guard is dropped, or says which cap it breaches.
    pub fn try_acquire(self: &Arc<Self>, client: IpAddr) -> Result<ConnectionGuard, Limit> {
        let mut guard = self.try_acquire_unnamed()?;
        guard.name(client)?;
        Ok(guard)
    }

    /// Counts a connection whose client is not known yet, because a PROXY protocol header is to come: in total alone.
    pub fn try_acquire_unnamed(self: &Arc<Self>) -> Result<ConnectionGuard, Limit> {
        let before = self.open.0.fetch_add(1, SeqCst);
        let guard = ConnectionGuard { limit: self.clone(), client: None };
        if before < self.total + self.slack { Ok(guard) } else { Err(Limit::Connections) }
    }
}

impl Clients {
    fn shard(&self, client: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let at = self.hasher.hash_one(client) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, client: IpAddr) -> bool {
        let mut shard = self.shard(client);
        let count = shard.entry(client).or_default();
        let fits = *count < self.cap;
        *count += usize::from(fits);
        fits
    }

    fn leave(&self, client: IpAddr) {
        if let Entry::Occupied(mut count) = self.shard(client).entry(client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// One counted connection.
#[derive(Debug)]
pub struct ConnectionGuard {
    limit: Arc<ConnectionLimit>,
    client: Option<IpAddr>,
}

impl ConnectionGuard {
    /// Counts the connection at this client, too, and no longer at the one it was named before.
    ///
    /// IPv6 clients are counted by their /64, of which every client has a whole one. On a breach the connection is to be
    /// closed; it then counts in total alone.
    pub fn name(&mut self, client: IpAddr) -> Result<(), Limit> {
        self.forget_client();
        let Some(clients) = &self.limit.clients else { return Ok(()) };
        let client = network(client);
        if !clients.enter(client) {
            return Err(Limit::ConnectionsPerClient);
        }
        self.client = Some(client);
        Ok(())
    }

    fn forget_client(&mut self) {
        if let (Some(clients), Some(client)) = (&self.limit.clients, self.client.take()) {
            clients.leave(client);
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.forget_client();
        self.limit.open.0.fetch_sub(1, SeqCst);
        if self.limit.waiting.0.load(SeqCst) > 0 {
            self.limit.released.notify_waiters();
        }
    }
}

/// Somebody who has to be told of a release.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// The connections of each worker.
///
/// The kernel spreads connections by a hash, which leaves workers idle when there are few long ones: a worker with over
/// 1.25 times the mean, and at least one more than it, gives the new connection to the least loaded.
#[derive(Debug)]
pub struct WorkerLoad {
    workers: Box<[Padded]>,
}

impl WorkerLoad {
    /// That many workers without connections.
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { workers: (0..workers).map(|_| Padded::default()).collect() })
    }

    /// Connections of a worker.
    #[must_use]
    pub fn connections(&self, worker: usize) -> usize {
        self.workers[worker].0.load(SeqCst)
    }

    /// Decides who serves a connection that worker `me` accepted, and counts it there until the guard is dropped.
    ///
    /// A connection is placed once: the worker that is given one keeps it.
    pub fn place(self: &Arc<Self>, me: usize) -> LoadGuard {
        let worker = self.target_for(me).unwrap_or(me);
        self.workers[worker].0.fetch_add(1, SeqCst);
        LoadGuard { load: self.clone(), worker }
    }

    /// The worker to hand a new connection to, if `me` would have too many with it.
    fn target_for(&self, me: usize) -> Option<usize> {
        let count = self.workers.len();
        let total: usize = (0..count).map(|worker| self.connections(worker)).sum::<usize>() + 1;
        let mine = self.connections(me) + 1;
        // mine > 1.25 * total / count, and mine >= total / count + 1, without fractions.
        if 4 * mine * count <= 5 * total || mine * count < total + count {
            return None;
        }
        // Counted from the next one on, so that equals take turns.
        (1..count).map(|step| (me + step) % count).min_by_key(|worker| self.connections(*worker))
    }
}

/// One connection counted at one worker.
#[derive(Debug)]
pub struct LoadGuard {
    load: Arc<WorkerLoad>,
    worker: usize,
}

impl LoadGuard {
    /// Who serves the connection.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.load.workers[self.worker].0.fetch_sub(1, SeqCst);
    }
}

/// What a client address is counted by.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A counter on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicUsize);

const SHARDS: usize = 32;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn client(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn per_client_caps_are_given_back() {
        let limit = ConnectionLimit::new(100, Some(2), 1);
        let first = limit.try_acquire(client(1)).expect("room");
        let _second = limit.try_acquire(client(1)).expect("room");
        assert_eq!(limit.try_acquire(client(1)).err(), Some(Limit::ConnectionsPerClient));
        assert_eq!(limit.open(), 2, "a refused connection is not counted");
        let _other = limit.try_acquire(client(2)).expect("another client");
        drop(first);
        limit.try_acquire(client(1)).expect("room again");
        let clients = limit.clients.as_ref().expect("a cap per client");
        let kept: usize = clients.shards.iter().map(|shard| shard.lock().expect("no panic").len()).sum();
        assert_eq!(kept, 2, "only clients with connections are kept");
    }

    #[test]
    fn connections_of_a_proxy_count_at_the_clients_it_names() {
        let limit = ConnectionLimit::new(100, Some(1), 1);
        let mut guards: Vec<_> = (0..3).map(|_| limit.try_acquire_unnamed().expect("room")).collect();
        guards[0].name(client(1)).expect("room");
        assert_eq!(guards[1].name(client(1)), Err(Limit::ConnectionsPerClient));
        guards[0].name(client(2)).expect("room");
        guards[1].name(client(1)).expect("given back by the new name");
        assert_eq!(limit.open(), 3);
    }

    #[test]
    fn ipv6_clients_are_counted_by_network() {
        let limit = ConnectionLimit::new(100, Some(1), 1);
        let of = |text: &str| text.parse::<IpAddr>().expect("an address");
        let _one = limit.try_acquire(of("2001:db8::1")).expect("room");
        assert!(limit.try_acquire(of("2001:db8::2")).is_err());
        let _other = limit.try_acquire(of("2001:db8:0:1::1")).expect("another network");
        let _mapped = limit.try_acquire(of("::ffff:192.0.2.1")).expect("room");
        assert!(limit.try_acquire(client(1)).is_err(), "the same address in IPv4");
        let _ipv4 = limit.try_acquire(client(2)).expect("another address");
    }

    #[test]
    fn the_total_gives_way_by_one_per_worker() {
        let limit = ConnectionLimit::new(2, None, 1);
        let guards: Vec<_> = (0..2).map(|_| limit.try_acquire(client(1)).expect("room")).collect();
        assert!(!limit.is_available());
        let slack = limit.try_acquire(client(1)).expect("one per worker");
        assert_eq!(limit.try_acquire(client(1)).err(), Some(Limit::Connections));
        drop((guards, slack));
        assert_eq!(limit.open(), 0);
    }

    #[tokio::test]
    async fn a_release_wakes_whoever_waits() {
        let limit = ConnectionLimit::new(1, None, 0);
        let guard = limit.try_acquire(client(1)).expect("room");
        let waiter = limit.clone();
        let waiting = tokio::spawn(async move { waiter.available().await });
        while limit.waiting.0.load(SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        std::thread::spawn(move || drop(guard)).join().expect("no panic");
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("woken").expect("no panic");
        assert_eq!(limit.waiting.0.load(SeqCst), 0);
    }

    #[test]
    fn eight_long_connections_leave_none_of_four_workers_idle() {
        // Every way the kernel can spread eight connections.
        for spread in 0..4_usize.pow(8) {
            let load = WorkerLoad::new(4);
            let guards: Vec<_> = (0..8).map(|at| load.place(spread / 4_usize.pow(at) % 4)).collect();
            let counts: Vec<_> = (0..4).map(|worker| load.connections(worker)).collect();
            assert!(!counts.contains(&0), "{spread}: {counts:?}");
            drop(guards);
            assert_eq!(load.connections(0), 0);
        }
    }

    #[test]
    fn a_connection_stays_where_it_came_when_nobody_has_much_less() {
        let load = WorkerLoad::new(2);
        let first = load.place(0);
        let second = load.place(1);
        assert_eq!((first.worker(), second.worker()), (0, 1));
        let alone = WorkerLoad::new(1);
        let guards: Vec<_> = (0..5).map(|_| alone.place(0)).collect();
        assert!(guards.iter().all(|guard| guard.worker() == 0));
    }
}
