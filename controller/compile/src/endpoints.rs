//! Endpoints of a Service port, out of its EndpointSlices.
//!
//! The union of all slices; what is ready, or else what still serves while it terminates; one family per pod; the own
//! zone when hints ask for it. Order of slices and repetitions do not show in the result.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use portico_shared::{Code, EndpointSet};

use crate::report::{Problem, Reporter, quote};
use crate::service::{is_tcp, numeric_target, valid};
use crate::snapshot::{Object, Snapshot};

/// What the slices of a Service say of one port.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Endpoints that may get requests.
    pub(crate) set: EndpointSet,
    /// `appProtocol` of the first slice that has one for this port.
    pub(crate) app_protocol: Option<String>,
    /// Why the set is empty, when it is.
    pub(crate) lack: Option<Lack>,
}

/// Why there is no endpoint, from the farthest to the nearest to having one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// The Service has no slice of addresses.
    Slices,
    /// No slice has the port.
    Port,
    /// A slice speaks of all ports, and the Service's `targetPort` is no number.
    Number,
    /// The slices with the port hold no address that can be used.
    Addresses,
    /// None of this number is ready.
    Ready(usize),
}

/// One endpoint of a slice that can be connected to.
struct Candidate<'a> {
    address: SocketAddr,
    pod: Option<&'a str>,
    /// Zones the endpoint is meant for; empty without a hint.
    zones: Vec<&'a str>,
    ready: bool,
    /// Serving though it terminates.
    terminating: bool,
}

/// Gathers the endpoints of a Service's port.
pub(crate) fn gather(
    snapshot: &Snapshot,
    service: &Object<Service>,
    port: &ServicePort,
    report: &mut Reporter,
) -> Gathered {
    let mut gathered = Gathered::default();
    let mut candidates = Vec::new();
    let mut lack = Lack::Slices;
    for slice in snapshot.slices.get(&service.key()).into_iter().flat_map(|slices| slices.values()) {
        let (number, app_protocol) = match port_in(&slice.value, port) {
            Ok(found) => found,
            Err(why) => {
                lack = lack.max(why);
                continue;
            }
        };
        lack = lack.max(Lack::Addresses);
        if gathered.app_protocol.is_none() {
            gathered.app_protocol = app_protocol.map(str::to_owned);
        }
        for (index, endpoint) in slice.value.endpoints.iter().flatten().enumerate() {
            let address = address(slice, index, endpoint, snapshot.options.local_endpoints, report);
            candidates.extend(address.map(|address| Candidate::new(SocketAddr::new(address, number), endpoint)));
        }
    }
    if !candidates.is_empty() {
        lack = Lack::Ready(candidates.len());
    }
    let candidates = one_family_per_pod(usable(candidates), service);
    let candidates = in_zone(candidates, snapshot.options.zone.as_deref());
    gathered.set = EndpointSet::new(candidates.into_iter().map(|candidate| candidate.address));
    gathered.lack = gathered.set.is_empty().then_some(lack);
    gathered
}

impl<'a> Candidate<'a> {
    fn new(address: SocketAddr, endpoint: &'a Endpoint) -> Self {
        let conditions = endpoint.conditions.as_ref();
        let zones = endpoint.hints.iter().flat_map(|hints| hints.for_zones.iter().flatten());
        // What is absent counts as ready and serving, and as not terminating.
        Self {
            address,
            pod: endpoint.target_ref.as_ref().and_then(|reference| reference.uid.as_deref()),
            zones: zones.map(|zone| zone.name.as_str()).collect(),
            ready: conditions.and_then(|c| c.ready).unwrap_or(true),
            terminating: conditions.and_then(|c| c.serving).unwrap_or(true)
                && conditions.and_then(|c| c.terminating).unwrap_or(false),
        }
    }
}

/// The port's number and `appProtocol` in a slice.
fn port_in<'a>(slice: &'a EndpointSlice, port: &ServicePort) -> Result<(u16, Option<&'a str>), Lack> {
    if !matches!(slice.address_type.as_str(), "IPv4" | "IPv6") {
        return Err(Lack::Slices);
    }
    let ports = slice.ports.as_deref().unwrap_or_default();
    let name = |name: &Option<String>| name.as_deref().unwrap_or_default().to_owned();
    let named =
        |candidate: &&EndpointPort| name(&candidate.name) == name(&port.name) && is_tcp(candidate.protocol.as_deref());
    let found = ports.iter().find(named);
    if found.is_none() && !ports.is_empty() {
        return Err(Lack::Port);
    }
    // No port, or a port without number: the slice speaks of all ports, the Service knows which is meant.
    let number = found.and_then(|found| found.port).or_else(|| numeric_target(port));
    Ok((number.and_then(valid).ok_or(Lack::Number)?, found.and_then(|found| found.app_protocol.as_deref())))
}

/// The endpoint's first address, when it may be connected to.
fn address(
    slice: &Object<EndpointSlice>,
    index: usize,
    endpoint: &Endpoint,
    local: bool,
    report: &mut Reporter,
) -> Option<IpAddr> {
    let field = || format!("endpoints[{index}].addresses[0]");
    let text = endpoint.addresses.first()?;
    let wanted = slice.value.address_type.as_str();
    let parsed = text.parse().ok().filter(|address| match address {
        IpAddr::V4(_) => wanted == "IPv4",
        IpAddr::V6(_) => wanted == "IPv6",
    });
    let Some(address) = parsed else {
        let message = format!("{} is not an {wanted} address; the endpoint is left out", quote(text));
        report.add(
            slice,
            Problem::error(Code::ObjectInvalid, field(), message).hint("write an address of the slice's addressType"),
        );
        return None;
    };
    let address = address.to_canonical();
    if let Some(reason) = special(address, local) {
        let message = format!("{address} is {reason}; the endpoint is left out");
        report.add(
            slice,
            Problem::error(Code::ObjectInvalid, field(), message).hint("write an address of the pod network"),
        );
        return None;
    }
    Some(address)
}

/// Why an address may not stand in a slice (the API server's rule for endpoint addresses); `local` lifts it for the own
/// machine and link.
fn special(address: IpAddr, local: bool) -> Option<&'static str> {
    if address.is_unspecified() || address.is_multicast() {
        return Some("an unspecified or multicast address");
    }
    let own = match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    };
    (own && !local).then_some("a loopback or link-local address")
}

/// What is ready; else what serves while terminating, as kube-proxy does.
fn usable(mut candidates: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    if candidates.iter().any(|candidate| candidate.ready) {
        candidates.retain(|candidate| candidate.ready);
    } else {
        candidates.retain(|candidate| candidate.terminating);
    }
    candidates
}

/// Leaves each pod only its addresses of the family that the Service prefers. Endpoints without a pod all stay.
fn one_family_per_pod<'a>(mut candidates: Vec<Candidate<'a>>, service: &Object<Service>) -> Vec<Candidate<'a>> {
    let families = service.value.spec.as_ref().and_then(|spec| spec.ip_families.as_ref());
    let v6_first = families.and_then(|families| families.first()).is_some_and(|family| family == "IPv6");
    // False sorts first: preferred.
    let second = |candidate: &Candidate<'_>| candidate.address.is_ipv6() != v6_first;
    let mut pods: HashMap<&str, bool> = HashMap::new();
    for candidate in &candidates {
        if let Some(pod) = candidate.pod {
            let best = pods.entry(pod).or_insert(true);
            *best &= second(candidate);
        }
    }
    candidates.retain(|candidate| candidate.pod.is_none_or(|pod| pods[pod] == second(candidate)));
    candidates
}

/// Only what is meant for our zone, when every ready endpoint has a hint and one at least is for us; else all.
fn in_zone<'a>(mut candidates: Vec<Candidate<'a>>, zone: Option<&str>) -> Vec<Candidate<'a>> {
    let ours = |candidate: &Candidate<'_>| candidate.zones.iter().any(|name| Some(*name) == zone);
    if candidates.iter().all(|candidate| candidate.ready && !candidate.zones.is_empty()) && candidates.iter().any(ours)
    {
        candidates.retain(ours);
    }
    candidates
}
