//! Upstreams: the Service ports behind backends, resolved once each however many routes name them.
//!
//! A problem of the reference (no such Service, no such port) belongs to the object that refers and is handed back; a
//! problem of the Service itself is found when the upstream is built, and belongs to it. Either leaves the route standing with 503.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use portico_shared::ir::{Backend, Protocol, Unavailable, Upstream, UpstreamName};
use portico_shared::{Code, Diagnostic, EndpointSet};

use crate::annotation::{self, Settings, UpstreamSettings};
use crate::report::{Problem, Reporter, quote};
use crate::service::{Port, PortReference, is_external_name};
use crate::snapshot::{Key, Object, Snapshot};
use crate::supply::{no_endpoints, supply};
use crate::{protocol, upstream_tls};

/// The endpoints of an upstream as the snapshot has them, for a change of EndpointSlices alone: the answer is the one that
/// [`crate::compile`] gives for the same snapshot. Empty when the Service or its port is gone.
///
/// Swapping only this is right for traffic. The report (`NoEndpoints`) and, where only slices carry `appProtocol`, the
/// protocol can change with slices too: a full compile should follow when there is time for it.
#[must_use]
pub fn endpoints(snapshot: &Snapshot, name: &UpstreamName) -> EndpointSet {
    let mut report = Reporter::default();
    let key = Key { namespace: name.namespace.clone(), name: name.service.clone() };
    let Some(service) = snapshot.services.get(&key) else { return EndpointSet::default() };
    let Some(port) = Port::of_upstream(service, name.port) else { return EndpointSet::default() };
    let settings = annotation::read_service(service, &mut report);
    let supply = supply(snapshot, service, port, &settings.values, &mut report);
    supply.ok().and_then(|supply| supply.set).unwrap_or_default()
}

/// Why a backend cannot be used.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reference is wrong; the field is relative to the backend's `service`. Not reported yet.
    Reference(Problem),
    /// The Service is; reported.
    Upstream(Unavailable),
}

/// A Service and its port, as a backend names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reference<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) service: &'a str,
    pub(crate) port: PortReference<'a>,
}

/// What a Service's port comes to.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) name: UpstreamName,
    pub(crate) upstream: Result<Arc<Upstream>, Unavailable>,
    /// Endpoints, when the compile step delivers them.
    pub(crate) endpoints: Option<Arc<EndpointSet>>,
    /// What routes to it alone have in common.
    backends: Arc<[Backend]>,
    /// Whether its address stands in an ExternalName.
    pub(crate) literal: bool,
}

/// An upstream that was built just now.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) built: Arc<Built>,
    pub(crate) problems: Vec<Diagnostic>,
    /// The Secret that its authorities are read from.
    pub(crate) authorities: Option<Key>,
}

/// Who uses an upstream: whether it only was looked at or is forwarded to.
pub(crate) type Uses = Box<[(Arc<Built>, bool)]>;

/// Upstreams that were asked for. Passes name one by its place here.
#[derive(Debug)]
pub(crate) struct Upstreams<'a> {
    snapshot: &'a Snapshot,
    /// Those of the compile before.
    before: HashMap<UpstreamName, Kept>,
    /// Services of which all is built again.
    changed: &'a HashSet<Key>,
    /// What references mean that were looked up before: mostly many routes have the same, one after the other.
    known: HashMap<Reference<'a>, usize>,
    last: Option<(Reference<'a>, usize)>,
    places: HashMap<UpstreamName, usize>,
    asked: Vec<Arc<Built>>,
    fresh: Vec<Fresh>,
    /// Those asked for since the last [`Upstreams::uses`], and whether they were taken.
    uses: BTreeMap<usize, bool>,
}

/// An upstream that is kept from one compile to the next, with the numbers of those who use it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) built: Arc<Built>,
    /// Hosts with a route that names it.
    pub(crate) asked: usize,
    /// Hosts with a route that forwards to it.
    pub(crate) taken: usize,
}

impl<'a> Upstreams<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, before: HashMap<UpstreamName, Kept>, changed: &'a HashSet<Key>) -> Self {
        let (known, last, places, asked, fresh, uses) = Default::default();
        Self { snapshot, before, changed, known, last, places, asked, fresh, uses }
    }

    /// The place of the upstream of a Service's port; it comes into the IR when it is taken.
    pub(crate) fn resolve(&mut self, reference: Reference<'a>) -> Result<usize, Failure> {
        let last = self.last.filter(|(last, _)| *last == reference).map(|(_, place)| place);
        let place = match last.or_else(|| self.known.get(&reference).copied()) {
            Some(place) => place,
            None => {
                let place = self.place(reference).map_err(Failure::Reference)?;
                self.known.insert(reference, place);
                place
            }
        };
        self.last = Some((reference, place));
        self.uses.entry(place).or_default();
        match &self.asked[place].upstream {
            Ok(_) => Ok(place),
            Err(unavailable) => Err(Failure::Upstream(unavailable.clone())),
        }
    }

    fn place(&mut self, reference: Reference<'_>) -> Result<usize, Problem> {
        let (key, service, port) = find(self.snapshot, reference)?;
        let name = UpstreamName { namespace: key.namespace.clone(), service: key.name.clone(), port: port.number };
        if let Some(place) = self.places.get(&name) {
            return Ok(*place);
        }
        let before = self.before.get(&name).filter(|_| !self.changed.contains(key));
        let built = before.map(|kept| kept.built.clone()).unwrap_or_else(|| {
            let fresh = Fresh::new(self.snapshot, service, port, &name);
            let built = fresh.built.clone();
            self.fresh.push(fresh);
            built
        });
        self.asked.push(built);
        self.places.insert(name, self.asked.len() - 1);
        Ok(self.asked.len() - 1)
    }

    /// Takes an upstream for the IR, and gives what forwards to it alone.
    pub(crate) fn take(&mut self, place: usize) -> Arc<[Backend]> {
        self.uses.insert(place, true);
        self.asked[place].backends.clone()
    }

    /// What was asked for and taken since the last call.
    pub(crate) fn uses(&mut self) -> Uses {
        let uses = std::mem::take(&mut self.uses);
        uses.into_iter().map(|(place, taken)| (self.asked[place].clone(), taken)).collect()
    }

    /// Those of the compile before, and what was built now.
    pub(crate) fn finish(self) -> (HashMap<UpstreamName, Kept>, Vec<Fresh>) {
        (self.before, self.fresh)
    }
}

impl Fresh {
    fn new(snapshot: &Snapshot, service: &Object<Service>, port: Port<'_>, name: &UpstreamName) -> Self {
        let mut report = Reporter::default();
        let settings = annotation::read_service(service, &mut report);
        let made = build(snapshot, service, port, name, &settings, &mut report);
        let (upstream, endpoints) = match made {
            Ok((upstream, endpoints)) => (Ok(Arc::new(upstream)), endpoints.map(Arc::new)),
            Err(unavailable) => (Err(unavailable), None),
        };
        let backends = Arc::from([Backend { upstream: name.clone(), weight: 1 }]);
        let literal = endpoints.is_some() && is_external_name(&service.value);
        let built = Arc::new(Built { name: name.clone(), upstream, endpoints, backends, literal });
        let secret = settings.values.ca.map(|secret| Key::new(&name.namespace, &secret));
        Self { built, problems: report.finish().into_values().flatten().collect(), authorities: secret }
    }
}

/// The Service and port that a reference means.
fn find<'a>(
    snapshot: &'a Snapshot,
    reference: Reference<'_>,
) -> Result<(&'a Key, &'a Object<Service>, Port<'a>), Problem> {
    let key = Key::new(reference.namespace, reference.service);
    let Some((key, service)) = snapshot.services.get_key_value(&key) else {
        let problem = Problem::error(Code::ServiceNotFound, "name", format!("Service {key} does not exist"));
        let hint = format!("create it, or name a Service of namespace {}", key.namespace);
        return Err(problem.hint(hint));
    };
    Ok((key, service, Port::find(service, reference.port)?))
}

fn build(
    snapshot: &Snapshot,
    service: &Object<Service>,
    port: Port<'_>,
    name: &UpstreamName,
    settings: &Settings<UpstreamSettings>,
    report: &mut Reporter,
) -> Result<(Upstream, Option<EndpointSet>), Unavailable> {
    if let Some(closed) = &settings.closed {
        return Err(closed.clone());
    }
    let settings = &settings.values;
    let supply = supply(snapshot, service, port, settings, report)?;
    let protocol = protocol_of(service, port, settings, supply.app_protocol.as_deref(), report);
    let tls = upstream_tls::read(snapshot, service, protocol, settings, &supply.source, report)?;
    if let Some(lack) = supply.lack {
        report.add(service, no_endpoints(port, lack));
    }
    let balance = snapshot.options.balance;
    Ok((Upstream { name: name.clone(), protocol, tls, balance, source: supply.source }, supply.set))
}

/// The protocol: annotation, then the Service port's `appProtocol`, then the slices', then HTTP/1.1.
fn protocol_of(
    service: &Object<Service>,
    port: Port<'_>,
    settings: &UpstreamSettings,
    from_slices: Option<&str>,
    report: &mut Reporter,
) -> Protocol {
    if let Some(protocol) = settings.protocol {
        return protocol;
    }
    let declared = port.declared.and_then(|(index, declared)| Some((index, declared.app_protocol.as_deref()?)));
    let (field, name) = match (declared, from_slices) {
        (Some((index, name)), _) => (format!("spec.ports[{index}].appProtocol"), name),
        (None, Some(name)) => ("spec.ports".to_owned(), name),
        (None, None) => return Protocol::default(),
    };
    protocol::app_protocol(name).unwrap_or_else(|| {
        let message = format!("appProtocol {} is not known; HTTP/1.1 is spoken", quote(name));
        report.add(
            service,
            Problem::warning(Code::AppProtocolUnknown, field, message).hint(
                "known: http, https, grpc, grpcs, kubernetes.io/h2c, kubernetes.io/ws, kubernetes.io/wss; \
                 or set portico.dev/upstream-protocol on the Service",
            ),
        );
        Protocol::default()
    })
}
