//! Upstreams: the Service ports behind backends, resolved once each however many routes name them.
//!
//! A problem of the reference (no such Service, no such port) belongs to the object that refers and is handed back; a
//! problem of the Service itself is reported here, once, on the Service. Either leaves the route standing with 503.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use portico_shared::ir::{Backend, Protocol, Unavailable, Upstream, UpstreamName};
use portico_shared::{Code, EndpointSet};

use crate::annotation::{self, Settings, UpstreamSettings};
use crate::report::{Problem, Reporter, quote};
use crate::service::{Port, PortReference};
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

/// Upstreams built so far. Passes name one by its place here.
#[derive(Debug)]
pub(crate) struct Upstreams<'a> {
    snapshot: &'a Snapshot,
    settings: HashMap<&'a Key, Settings<UpstreamSettings>>,
    /// What references mean that were looked up before: mostly many routes have the same, one after the other.
    known: HashMap<Reference<'a>, usize>,
    last: Option<(Reference<'a>, usize)>,
    places: HashMap<UpstreamName, usize>,
    built: Vec<Result<Built, Unavailable>>,
}

#[derive(Debug)]
struct Built {
    upstream: Arc<Upstream>,
    endpoints: Option<Arc<EndpointSet>>,
    /// What routes to it alone have in common, once there is one.
    backends: Option<Arc<[Backend]>>,
}

impl<'a> Upstreams<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        let (settings, known, last, places, built) = Default::default();
        Self { snapshot, settings, known, last, places, built }
    }

    /// The place of the upstream of a Service's port; it comes into the IR when it is taken.
    pub(crate) fn resolve(&mut self, reference: Reference<'a>, report: &mut Reporter) -> Result<usize, Failure> {
        let last = self.last.filter(|(last, _)| *last == reference).map(|(_, place)| place);
        let place = match last.or_else(|| self.known.get(&reference).copied()) {
            Some(place) => place,
            None => {
                let place = self.place(reference, report).map_err(Failure::Reference)?;
                self.known.insert(reference, place);
                place
            }
        };
        self.last = Some((reference, place));
        match &self.built[place] {
            Ok(_) => Ok(place),
            Err(unavailable) => Err(Failure::Upstream(unavailable.clone())),
        }
    }

    fn place(&mut self, reference: Reference<'_>, report: &mut Reporter) -> Result<usize, Problem> {
        let (key, service, port) = find(self.snapshot, reference)?;
        let name = UpstreamName { namespace: key.namespace.clone(), service: key.name.clone(), port: port.number };
        let place = *self.places.entry(name.clone()).or_insert(self.built.len());
        if place == self.built.len() {
            let settings = self.settings.entry(key).or_insert_with(|| annotation::read_service(service, report));
            self.built.push(build(self.snapshot, service, port, &name, settings, report));
        }
        Ok(place)
    }

    /// Keeps an upstream for the IR, and gives what forwards to it alone; nothing for one that cannot be used.
    pub(crate) fn take(&mut self, place: usize) -> Arc<[Backend]> {
        let Ok(built) = &mut self.built[place] else { return Arc::default() };
        let name = &built.upstream.name;
        let alone = || Arc::from([Backend { upstream: name.clone(), weight: 1 }]);
        built.backends.get_or_insert_with(alone).clone()
    }

    /// All that were taken, sorted by name, and the endpoints of those whose source is the compile step.
    pub(crate) fn finish(self) -> (Vec<Arc<Upstream>>, BTreeMap<UpstreamName, Arc<EndpointSet>>) {
        let taken = self.built.into_iter().flatten().filter(|built| built.backends.is_some());
        let mut taken: Vec<_> = taken.collect();
        taken.sort_unstable_by(|a, b| a.upstream.name.cmp(&b.upstream.name));
        let endpoints = taken.iter().filter_map(|it| Some((it.upstream.name.clone(), it.endpoints.clone()?))).collect();
        (taken.into_iter().map(|built| built.upstream).collect(), endpoints)
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
) -> Result<Built, Unavailable> {
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
    let upstream = Upstream { name: name.clone(), protocol, tls, balance, source: supply.source };
    Ok(Built { upstream: Arc::new(upstream), endpoints: supply.set.map(Arc::new), backends: None })
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
