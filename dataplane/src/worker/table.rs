//! A worker's own view of the published table, with what it keeps per route.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;
use portico_shared::ir::Certificate;
use portico_shared::table::{RequestView, RouteEntry};

use super::Worker;
use crate::balance::Balancer;
use crate::observe::metrics::RouteMetrics;
use crate::request::{Downstream, strict_transport_security};
use crate::serving::Serving;

/// The table of one generation on one worker. A request keeps it to its end.
#[derive(Debug)]
pub(crate) struct WorkerTable {
    serving: Arc<Serving>,
    /// The publications before it; see [`portico_shared::Published::generation`].
    published: u64,
    /// By [`RouteEntry::id`], made when a request first meets the route.
    routes: RefCell<HashMap<u64, Rc<RouteState>>>,
}

/// A route with what a worker keeps for it.
#[derive(Debug)]
pub(crate) struct RouteState {
    pub(crate) entry: Arc<RouteEntry>,
    pub(crate) metrics: Arc<RouteMetrics>,
    /// Value of `Strict-Transport-Security` on HTTPS.
    pub(crate) strict_transport_security: Option<HeaderValue>,
    backends: Vec<(Rc<Balancer>, u32)>,
    weights: u32,
}

impl WorkerTable {
    pub(crate) fn new(serving: Arc<Serving>, published: u64) -> Self {
        Self { serving, published, routes: RefCell::default() }
    }

    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// Generation of the routing table.
    pub(crate) fn generation(&self) -> u64 {
        self.serving.table.generation()
    }

    /// The route of a request; see [`portico_shared::table::ListenerTable::route`].
    pub(crate) fn route(
        &self,
        downstream: &Downstream,
        host: Option<&str>,
        request: &RequestView<'_>,
    ) -> Option<Rc<RouteState>> {
        let entry = self.serving.table.listener(&downstream.listener)?.route(host, request)?;
        if let Some(state) = self.routes.borrow().get(&entry.id) {
            return Some(state.clone());
        }
        let state = Rc::new(RouteState::new(entry, &self.serving, &downstream.worker));
        self.routes.borrow_mut().insert(entry.id, state.clone());
        Some(state)
    }

    /// Whether the connection's certificate is the one that the host would get.
    pub(crate) fn same_certificate(&self, downstream: &Downstream, host: Option<&str>) -> bool {
        let (Some(tls), Some(listener)) = (&downstream.tls, self.serving.table.listener(&downstream.listener)) else {
            return true;
        };
        let of = |name: Option<&str>| -> Option<Arc<Certificate>> { listener.certificate(name).certificate().cloned() };
        of(tls.server_name.as_deref()) == of(host)
    }
}

impl RouteState {
    fn new(entry: &Arc<RouteEntry>, serving: &Serving, worker: &Worker) -> Self {
        let backends: Vec<_> =
            entry.backends.iter().map(|(cell, weight)| (worker.balancer(serving, cell), *weight)).collect();
        let weights = backends.iter().map(|(_, weight)| *weight).fold(0, u32::saturating_add);
        Self {
            entry: entry.clone(),
            metrics: worker.metrics.route(entry),
            strict_transport_security: strict_transport_security(&entry.route),
            backends,
            weights,
        }
    }

    /// A backend by weight; `None` when the route cannot be served.
    pub(crate) fn pick(&self) -> Option<&Rc<Balancer>> {
        if let [(balancer, 1..)] = &self.backends[..] {
            return Some(balancer);
        }
        let mut ticket = (self.weights > 0).then(|| fastrand::u32(..self.weights))?;
        let chosen = self.backends.iter().find(|(_, weight)| match ticket.checked_sub(*weight) {
            None => true,
            Some(rest) => {
                ticket = rest;
                false
            }
        });
        chosen.map(|(balancer, _)| balancer)
    }
}
