//! Choosing an endpoint: one balancer per worker and upstream.
//!
//! The less loaded of two endpoints is taken: the next in turn and a random one. While loads are equal this is round
//! robin, so a few requests touch every endpoint; when they are not, the choice among two keeps them close.

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use portico_shared::ir::{Balance, Upstream};
use portico_shared::table::{RoutingTable, UpstreamCell};
use tokio::time::Instant;

use crate::config;
use crate::observe::metrics::WorkerMetrics;
use crate::overload::Slots;
use crate::state::Endpoints;
use crate::upstream::{EndpointPool, RetryBudget, Transport};

/// One worker's view of an upstream: endpoints with their pools, whose turn it is, how many retries are left.
///
/// Made when the first request of this worker meets the upstream; kept across tables while the upstream's value stays.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) transport: Transport,
    pub(crate) budget: RetryBudget,
    cell: Arc<UpstreamCell>,
    pools: RefCell<Rc<[Rc<EndpointPool>]>>,
    generation: Cell<Option<u64>>,
    turn: Cell<usize>,
    worker: Place,
}

/// What a balancer needs of its worker.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Number of the worker and of all workers.
    pub(crate) number: usize,
    pub(crate) workers: usize,
    pub(crate) settings: Arc<config::Config>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) slots: Arc<Slots>,
}

impl Balancer {
    pub(crate) fn new(cell: &Arc<UpstreamCell>, transport: Transport, worker: Place) -> Self {
        Self {
            upstream: cell.upstream.clone(),
            transport,
            budget: RetryBudget::new(worker.settings.upstream.retry_budget_percent),
            cell: cell.clone(),
            pools: RefCell::new(Rc::default()),
            generation: Cell::new(None),
            turn: Cell::new(0),
            worker,
        }
    }

    /// Whether the table has this very upstream.
    pub(crate) fn is_in(&self, table: &RoutingTable) -> bool {
        table.upstream(&self.upstream.name).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell))
    }

    /// The endpoint for the next request, none of those already tried if there is another.
    pub(crate) fn choose(&self, tried: &[SocketAddr]) -> Option<Rc<EndpointPool>> {
        let pools = self.current();
        if pools.is_empty() {
            return None;
        }
        let turn = self.turn.get() % pools.len();
        self.turn.set(turn + 1);
        let mut at = turn;
        if self.upstream.balance == Balance::LeastRequest && pools.len() > 1 {
            let other = fastrand::usize(..pools.len());
            if pools[other].endpoint.in_flight() < pools[turn].endpoint.in_flight() {
                at = other;
            }
        }
        let chosen = &pools[at];
        if !chosen.endpoint.ejected() && !tried.contains(&chosen.endpoint.address) {
            return Some(chosen.clone());
        }
        Self::choose_around(&pools, at, tried)
    }

    /// The next one behind `at` that may be used. With more than half of them ejected, ejection is ignored: something
    /// other than single endpoints is wrong then, and the last one is never given up.
    fn choose_around(pools: &[Rc<EndpointPool>], at: usize, tried: &[SocketAddr]) -> Option<Rc<EndpointPool>> {
        let ejected = pools.iter().filter(|pool| pool.endpoint.ejected()).count();
        let ignore = ejected * 2 > pools.len() || ejected == pools.len();
        let in_turn = || pools[at..].iter().chain(&pools[..at]);
        let untried = |pool: &&Rc<EndpointPool>| !tried.contains(&pool.endpoint.address);
        in_turn()
            .filter(untried)
            .find(|pool| ignore || !pool.endpoint.ejected())
            .or_else(|| in_turn().find(untried))
            .or_else(|| in_turn().find(|pool| !pool.endpoint.ejected()))
            .or_else(|| in_turn().next())
            .cloned()
    }

    /// The pools of the endpoints as they are now.
    fn current(&self) -> Rc<[Rc<EndpointPool>]> {
        let generation = self.cell.endpoints.generation();
        if self.generation.get() != Some(generation) {
            self.refresh();
            self.generation.set(Some(generation));
            // An empty set gets no request.
            if !self.pools.borrow().is_empty()
                && let Some(changed) = self.cell.changed.take()
            {
                self.worker.metrics.first_requests.record(changed);
            }
        }
        self.pools.borrow().clone()
    }

    /// Takes over a new endpoint set; endpoints that stay keep their pool, the pools of others finish what is in flight.
    fn refresh(&self) {
        let set = self.cell.endpoints.load();
        let mut addresses: Vec<_> = set.endpoints().iter().map(|endpoint| endpoint.address).collect();
        let most = self.worker.settings.upstream.endpoint_subset.max(1);
        if addresses.len() > most {
            // Another subset per worker; an endpoint that comes or goes moves only itself.
            addresses.sort_by_cached_key(|address| {
                let mut hasher = DefaultHasher::new();
                (self.worker.number, address).hash(&mut hasher);
                hasher.finish()
            });
            addresses.truncate(most);
        }
        let first = self.generation.get().is_none();
        let old = self.pools.borrow().clone();
        let records = self.worker.endpoints.of(&self.upstream.name, addresses.into_iter());
        let pools: Rc<[_]> = records
            .into_iter()
            .map(|record| {
                let same = |pool: &&Rc<EndpointPool>| pool.endpoint.address == record.address && !pool.is_retired();
                let kept = old.iter().find(same);
                kept.cloned().unwrap_or_else(|| Rc::new(EndpointPool::new(record, &self.worker)))
            })
            .collect();
        if first {
            self.turn.set(self.worker.number * pools.len() / self.worker.workers);
        }
        let kept = |pool: &Rc<EndpointPool>| pools.iter().any(|now| Rc::ptr_eq(now, pool));
        old.iter().filter(|pool| !kept(pool)).for_each(|pool| pool.retire());
        self.pools.replace(pools);
    }

    /// Lets pools drop what has been idle for too long, or leads to an endpoint that has left.
    pub(crate) fn sweep(&self, now: Instant) {
        let moved = self.generation.get() != Some(self.cell.endpoints.generation());
        // The set itself is for the next request to take over.
        let next = moved.then(|| self.cell.endpoints.load());
        for pool in self.pools.borrow().iter() {
            match &next {
                Some(set) if !set.contains(pool.endpoint.address) => pool.retire(),
                _ => pool.sweep(now, self.worker.settings.upstream.idle),
            }
        }
    }

    /// The upstream is in no table any more: connections go as soon as nobody needs them.
    pub(crate) fn retire(&self) {
        self.pools.borrow().iter().for_each(|pool| pool.retire());
    }
}
