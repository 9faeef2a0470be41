//! One round: a snapshot in, endpoints and perhaps a table out. Runs where blocking is allowed and touches no clock but
//! to measure itself.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portico_compile::{Compiled, Key, Snapshot};
use portico_dataplane::Publisher;
use portico_shared::ir::{EndpointSource, Ir, UpstreamName};
use portico_shared::table::RoutingTable;
use portico_shared::{Code, Diagnostic, EndpointSet, Kind, ObjectRef, Severity};

use super::convergence::{Moments, date, swap};
use super::report::key_problem;
use crate::dns::{Dns, Guard};

/// What compiles; a parameter so that a broken one can be put in its place.
pub(super) type Compile = fn(&Snapshot, &Ir) -> Compiled;

/// What rounds need, cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) compile: Compile,
    pub(super) publisher: Publisher,
    pub(super) dns: Dns,
    pub(super) guard: Arc<Guard>,
}

/// What a whole round found.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The new table, if there is one.
    pub(super) table: Option<Arc<RoutingTable>>,
    pub(super) problems: Vec<Diagnostic>,
    /// Certificates that the new table cannot use; `None` without a new table.
    pub(super) keys: Option<Vec<Diagnostic>>,
    pub(super) endpoints: Vec<Diagnostic>,
    pub(super) next_boundary: Option<i64>,
    /// Time that the compile took.
    pub(super) took: Duration,
    /// Endpoint sets that were swapped in kept upstreams.
    pub(super) swapped: usize,
    /// Ingresses with at least one usable rule in what is published now.
    pub(super) served: Arc<BTreeSet<ObjectRef>>,
    /// Every Ingress of ours.
    pub(super) ours: Arc<BTreeSet<ObjectRef>>,
}

impl Stage {
    /// Compiles everything and publishes what differs from `previous`.
    pub(super) fn whole(&self, snapshot: &Snapshot, previous: &RoutingTable, moments: &Moments) -> Outcome {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("compile");
        let begun = Instant::now();
        let Compiled { ir, mut endpoints, report, served, ours, next_boundary } =
            (self.compile)(snapshot, previous.ir());
        let took = begun.elapsed();
        self.guard.learn(api_endpoints(snapshot));
        let problems = self.restrict(snapshot, &mut endpoints);
        let is_first = previous.generation() == 0;
        let (mut table, mut keys) = (None, None);
        let swapped = swap(&self.publisher, previous, &endpoints, moments);
        if is_first || ir != **previous.ir() {
            let built = RoutingTable::build(Arc::new(ir), previous, |name| endpoints.get(name).cloned());
            let built = Arc::new(built);
            // Names that are known fill their upstreams before the first request sees them.
            self.dns.follow(&built);
            let dated = date(&built, previous, moments);
            keys = Some(self.publisher.publish(built.clone()).iter().map(key_problem).collect());
            dated.into_iter().for_each(|moment| self.publisher.endpoints_changed(moment));
            table = Some(built);
        }
        let report = report.diagnostics().to_vec();
        let [served, ours] = [served, ours].map(|objects| Arc::new(objects.into_iter().collect()));
        Outcome { table, problems: report, keys, endpoints: problems, next_boundary, took, swapped, served, ours }
    }

    /// Swaps the endpoints of these Services' upstreams and nothing else. Returns how many sets changed.
    pub(super) fn endpoints_of(
        &self,
        snapshot: &Snapshot,
        table: &RoutingTable,
        services: &BTreeSet<Key>,
        moments: &Moments,
    ) -> usize {
        let upstreams = table.upstreams().map(|cell| &cell.upstream);
        let compiled = upstreams.filter(|upstream| upstream.source == EndpointSource::Compiled);
        let touched = compiled.filter(|upstream| services.contains(&service(&upstream.name)));
        let mut sets = touched
            .map(|upstream| (upstream.name.clone(), Arc::new(portico_compile::endpoints(snapshot, &upstream.name))))
            .collect::<HashMap<_, _>>();
        self.guard.learn(api_endpoints(snapshot));
        self.restrict(snapshot, &mut sets);
        swap(&self.publisher, table, &sets, moments)
    }

    /// Takes out addresses that an ExternalName may not lead to; those that are resolved were judged by the resolver.
    fn restrict<'s>(
        &self,
        snapshot: &Snapshot,
        sets: impl IntoIterator<Item = (&'s UpstreamName, &'s mut Arc<EndpointSet>)>,
    ) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        for (name, set) in sets {
            let Some(found) = snapshot.services.get(&service(name)) else { continue };
            let kind = found.value.spec.as_ref().and_then(|spec| spec.type_.as_deref());
            if kind != Some("ExternalName") {
                continue;
            }
            let addresses = set.endpoints().iter().map(|endpoint| endpoint.address);
            let (refused, allowed): (Vec<_>, Vec<_>) =
                addresses.map(|it| (it, self.guard.refuse(it))).partition(|(_, reason)| reason.is_some());
            if refused.is_empty() {
                continue;
            }
            *set = Arc::new(EndpointSet::new(allowed.into_iter().map(|(address, _)| address)));
            problems.extend(refused.into_iter().filter_map(|(address, reason)| {
                Some(Diagnostic {
                    severity: Severity::Error,
                    code: Code::ExternalNameRefused,
                    object: Some(ObjectRef::new(Kind::Service, &name.namespace, &name.service)),
                    field: "spec.externalName".into(),
                    location: None,
                    message: format!("{address} is {} and is not used", reason?),
                    hint: None,
                })
            }));
        }
        problems
    }
}

/// Where the API server listens: the endpoints of the Service through which pods reach it, as far as they may be read.
fn api_endpoints(snapshot: &Snapshot) -> BTreeSet<SocketAddr> {
    let slices = snapshot.slices.get(&Key::new("default", "kubernetes")).into_iter().flat_map(|it| it.values());
    slices.flat_map(|slice| slice.value.addresses()).collect()
}

/// The Service of an upstream.
pub(super) fn service(name: &UpstreamName) -> Key {
    Key { namespace: name.namespace.clone(), name: name.service.clone() }
}
