//! A worker: one thread, one runtime, one accept socket per address, its own pools and counters.
//!
//! Nothing on the request path is shared with another worker but the endpoints' records and the published table.

mod accept;
mod drain;
mod handshake;
mod relief;
mod run;
mod table;

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use portico_shared::Published;
use portico_shared::table::UpstreamCell;
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::balance::{Balancer, Place};
use crate::config::Config;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::{Limit, WorkerMetrics};
use crate::overload::{Lateness, Level, Overload};
use crate::parking::Wheel;
use crate::protocol::Handle;
use crate::request::ProxyError;
use crate::serving::Serving;

pub(crate) use accept::Guards;
pub(crate) use drain::{Stage, Stages};
pub(crate) use run::{Common, spawn};
pub(crate) use table::{RouteState, WorkerTable};

/// What the requests of one worker share. Lives on the worker's thread and never leaves it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) access_log: AccessLog,
    published: Arc<Published<Serving>>,
    current: RefCell<Rc<WorkerTable>>,
    /// By [`UpstreamCell::id`].
    balancers: RefCell<HashMap<u64, Rc<Balancer>>>,
    place: Place,
    leaving: Cell<bool>,
    /// Told at the end of the drain.
    cutting: Notify,
    pub(crate) overload: Arc<Overload>,
    lateness: Lateness,
    connections: RefCell<Slab<Rc<Handle>>>,
    parked: RefCell<Wheel>,
}

impl Worker {
    pub(crate) fn new(common: &Common) -> Rc<Self> {
        let Common { place, access_log, published, overload, .. } = common.clone();
        let lateness = Lateness::new(place.settings.overload.lateness);
        let generation = published.generation();
        let current = RefCell::new(Rc::new(WorkerTable::new(published.load(), generation)));
        Rc::new(Self {
            config: place.settings.clone(),
            metrics: place.metrics.clone(),
            access_log,
            published,
            current,
            balancers: RefCell::default(),
            place,
            leaving: Cell::new(false),
            cutting: Notify::new(),
            overload,
            lateness,
            connections: RefCell::default(),
            parked: RefCell::new(Wheel::new()),
        })
    }

    /// The table now; refreshed when a new one was published.
    pub(crate) fn table(&self) -> Rc<WorkerTable> {
        let generation = self.published.generation();
        if self.current.borrow().published() != generation {
            let serving = self.published.load();
            self.balancers.borrow_mut().retain(|_, balancer| {
                let stays = balancer.is_in(&serving.table);
                if !stays {
                    balancer.retire();
                }
                stays
            });
            drop(self.current.replace(Rc::new(WorkerTable::new(serving, generation))));
        }
        self.current.borrow().clone()
    }

    /// The balancer of an upstream, made when it is first needed.
    fn balancer(&self, serving: &Serving, cell: &Arc<UpstreamCell>) -> Rc<Balancer> {
        let mut balancers = self.balancers.borrow_mut();
        let made = || Rc::new(Balancer::new(cell, serving.transport(cell), self.place.clone()));
        balancers.entry(cell.id).or_insert_with(made).clone()
    }

    /// Whether what this address says of its clients is believed.
    pub(crate) fn trusts(&self, client: IpAddr) -> bool {
        self.config.trusted_proxies.iter().any(|network| network.contains(&client))
    }

    /// Whether clients are asked to come back elsewhere.
    pub(crate) fn leaving(&self) -> bool {
        self.leaving.get()
    }

    /// Waits for the moment at which upgraded connections have to end.
    pub(crate) async fn cut(&self) {
        self.cutting.notified().await;
    }

    /// Whether there is memory and time for one more request.
    pub(crate) fn admit(&self) -> Result<(), ProxyError> {
        let alone = || self.overload.is_stuck() && self.metrics.requests_in_flight.get() <= 1;
        if self.overload.level() >= Level::Refusing && !alone() {
            return Err(ProxyError::Overloaded(Limit::Memory));
        }
        if self.lateness.admit() { Ok(()) } else { Err(ProxyError::Overloaded(Limit::Lateness)) }
    }

    /// The deadlines of the parked connections.
    pub(crate) fn parked(&self) -> RefMut<'_, Wheel> {
        self.parked.borrow_mut()
    }

    /// Lets connections go whose time is over, parked ones and idle ones to upstreams, a table that no request has left
    /// behind yet, and memory that was freed.
    fn sweep(&self) {
        drop(self.table());
        let now = Instant::now();
        let due = self.parked().due(now);
        due.iter().for_each(|handle| handle.expire());
        for balancer in self.balancers.borrow().values() {
            balancer.sweep(now);
        }
        remind_allocator();
    }
}

/// Makes the allocator look for pages to give back: it does so when a page comes or goes, and where nothing but parking
/// goes on, none does. The room is neither written nor kept.
fn remind_allocator() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(A_PAGE_OF_ITS_OWN)));
}

/// More than shares a page of the allocator with anything else.
const A_PAGE_OF_ITS_OWN: usize = 4 << 20;
