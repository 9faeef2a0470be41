//! One round: a snapshot in, endpoints and perhaps a table out. Runs where blocking is allowed and touches no clock but
//! to measure itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portico_compile::{Compiled, Key, Memory, Snapshot};
use portico_dataplane::Publisher;
use portico_shared::ir::{EndpointSource, UpstreamName};
use portico_shared::table::RoutingTable;
use portico_shared::{Code, Diagnostic, EndpointSet, Kind, ObjectRef, Report, Severity};

use super::convergence::{Moments, date, swap};
use super::report::key_problem;
use crate::dns::{Dns, Guard};

/// What compiles; a parameter so that a broken one can be put in its place.
pub(super) type Compile = fn(&Snapshot, &mut Memory) -> Compiled;

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
    /// For the next compile.
    pub(super) memory: Memory,
    pub(super) problems: Arc<Report>,
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
    /// Compiles and publishes what differs from `previous`. `swapped` are Services whose endpoints were swapped since the
    /// compile that memory is of.
    pub(super) fn whole(
        &self,
        snapshot: &Snapshot,
        mut memory: Memory,
        previous: &RoutingTable,
        swapped: &BTreeSet<Key>,
        moments: &Moments,
    ) -> Outcome {
        #[cfg(feature = "failpoints")]
        fail::fail_point!("compile");
        let begun = Instant::now();
        let compiled = (self.compile)(snapshot, &mut memory);
        let took = begun.elapsed();
        let Compiled { ir, endpoints, report: problems, served, ours, next_boundary, .. } = compiled;
        self.guard.learn(api_endpoints(snapshot));
        // Of all others the endpoints are what they were.
        let old = swapped.iter().flat_map(|key| upstreams_of(previous, key));
        let names = compiled.fresh.iter().chain(&compiled.literals).chain(old);
        let sets = names.filter_map(|name| Some((name.clone(), endpoints.get(name)?.clone())));
        let mut sets: BTreeMap<UpstreamName, Arc<EndpointSet>> = sets.collect();
        let refused = self.restrict(snapshot, &mut sets);
        let is_first = previous.generation() == 0;
        let (mut table, mut keys) = (None, None);
        let swapped = swap(&self.publisher, previous, &sets, moments);
        if is_first || *ir != **previous.ir() {
            let built = RoutingTable::build(ir, previous, |name| sets.get(name).or(endpoints.get(name)).cloned());
            let built = Arc::new(built);
            // Names that are known fill their upstreams before the first request sees them.
            self.dns.follow(&built);
            let dated = date(&built, previous, sets.keys(), moments);
            keys = Some(self.publisher.publish(built.clone()).iter().map(key_problem).collect());
            dated.into_iter().for_each(|moment| self.publisher.endpoints_changed(moment));
            table = Some(built);
        }
        Outcome { table, memory, problems, keys, endpoints: refused, next_boundary, took, swapped, served, ours }
    }

    /// Swaps the endpoints of these Services' upstreams and nothing else. Returns how many sets changed.
    pub(super) fn endpoints_of(
        &self,
        snapshot: &Snapshot,
        table: &RoutingTable,
        services: &BTreeSet<Key>,
        moments: &Moments,
    ) -> usize {
        let names = services.iter().flat_map(|key| upstreams_of(table, key));
        let mut sets: BTreeMap<_, _> =
            names.map(|name| (name.clone(), Arc::new(portico_compile::endpoints(snapshot, name)))).collect();
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
    let slices = snapshot.slices.get(&Key::new("default", "kubernetes")).into_iter().flat_map(|it| it.iter());
    slices.flat_map(|slice| slice.value.addresses()).collect()
}

/// The upstreams of a Service whose endpoints the compile step delivers.
fn upstreams_of<'t>(table: &'t RoutingTable, service: &Key) -> impl Iterator<Item = &'t UpstreamName> {
    // They are sorted by name, which begins with that of the Service.
    let upstreams = &table.ir().upstreams;
    let order = |name: &UpstreamName| (&name.namespace, &name.service).cmp(&(&service.namespace, &service.name));
    let first = upstreams.partition_point(|upstream| order(&upstream.name).is_lt());
    let count = upstreams[first..].partition_point(|upstream| order(&upstream.name).is_eq());
    let compiled = upstreams[first..first + count].iter().filter(|it| it.source == EndpointSource::Compiled);
    compiled.map(|upstream| &upstream.name)
}

/// The Service of an upstream.
pub(super) fn service(name: &UpstreamName) -> Key {
    Key { namespace: name.namespace.clone(), name: name.service.clone() }
}
