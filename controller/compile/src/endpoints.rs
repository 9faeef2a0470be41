//! Endpoints of a Service port, out of its EndpointSlices.
//!
//! The union of all slices; what is ready, or else what still serves while it terminates; one family per pod; the own
//! zone when hints ask for it. Order of slices and repetitions do not show in the result.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort};
use portico_shared::{Code, EndpointSet};

use crate::report::{Problem, Reporter, quote};
use crate::service::{numeric_target, valid};
use crate::slice::{Address, Family, Pod, Slice, SliceEndpoint};
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
    /// None of them is ready.
    Ready,
}

/// One endpoint of a slice that can be connected to.
struct Candidate<'a> {
    address: SocketAddr,
    endpoint: &'a SliceEndpoint,
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
    for slice in snapshot.slices.get(&service.key()).into_iter().flat_map(|slices| slices.iter()) {
        let (number, app_protocol) = match port_in(&slice.value, port) {
            Ok(found) => found,
            Err(why) => {
                // A slice without endpoints has no ports either: its pods are still to come.
                let to_come = why != Lack::Slices && slice.value.endpoints.is_empty();
                lack = lack.max(if to_come { Lack::Addresses } else { why });
                continue;
            }
        };
        lack = lack.max(Lack::Addresses);
        if gathered.app_protocol.is_none() {
            gathered.app_protocol = app_protocol.map(str::to_owned);
        }
        candidates.reserve(slice.value.endpoints.len());
        for (index, endpoint) in slice.value.endpoints.iter().enumerate() {
            let address = address(slice, index, endpoint, snapshot.options.local_endpoints, report);
            let candidate = |address| Candidate { address: SocketAddr::new(address, number), endpoint };
            candidates.extend(address.map(candidate));
        }
    }
    if !candidates.is_empty() {
        lack = Lack::Ready;
    }
    let candidates = one_family_per_pod(usable(candidates), service);
    let candidates = in_zone(candidates, snapshot.options.zone.as_deref());
    gathered.set = EndpointSet::new(candidates.into_iter().map(|candidate| candidate.address));
    gathered.lack = gathered.set.is_empty().then_some(lack);
    gathered
}

/// The port's number and `appProtocol` in a slice.
fn port_in<'a>(slice: &'a Slice, port: &ServicePort) -> Result<(u16, Option<&'a str>), Lack> {
    if slice.family == Family::Other {
        return Err(Lack::Slices);
    }
    let name = port.name.as_deref().unwrap_or_default();
    let found = slice.ports.iter().find(|candidate| *candidate.name == *name && candidate.tcp);
    if found.is_none() && !slice.ports.is_empty() {
        return Err(Lack::Port);
    }
    // No port, or a port without number: the slice speaks of all ports, the Service knows which is meant.
    let number = found.and_then(|found| found.number).or_else(|| numeric_target(port));
    Ok((number.and_then(valid).ok_or(Lack::Number)?, found.and_then(|found| found.app_protocol.as_deref())))
}

/// The endpoint's first address, when it may be connected to.
fn address(
    slice: &Object<Slice>,
    index: usize,
    endpoint: &SliceEndpoint,
    local: bool,
    report: &mut Reporter,
) -> Option<IpAddr> {
    let field = || format!("endpoints[{index}].addresses[0]");
    let address = match &endpoint.address {
        Address::None => return None,
        Address::Ip(address) => address,
        Address::Text(text) => {
            let wanted = if slice.value.family == Family::V4 { "IPv4" } else { "IPv6" };
            let message = format!("{} is not an {wanted} address; the endpoint is left out", quote(text));
            let problem = Problem::error(Code::ObjectInvalid, field(), message);
            report.add(slice, problem.hint("write an address of the slice's addressType"));
            return None;
        }
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
    if candidates.iter().any(|candidate| candidate.endpoint.ready) {
        candidates.retain(|candidate| candidate.endpoint.ready);
    } else {
        candidates.retain(|candidate| candidate.endpoint.terminating);
    }
    candidates
}

/// Leaves each pod only its addresses of the family that the Service prefers. Endpoints without a pod all stay.
fn one_family_per_pod<'a>(mut candidates: Vec<Candidate<'a>>, service: &Object<Service>) -> Vec<Candidate<'a>> {
    let families = service.value.spec.as_ref().and_then(|spec| spec.ip_families.as_ref());
    let v6_first = families.and_then(|families| families.first()).is_some_and(|family| family == "IPv6");
    // False sorts first: preferred.
    let second = |candidate: &Candidate<'_>| candidate.address.is_ipv6() != v6_first;
    // Nearly always all are of one family, and nothing is to be chosen.
    if candidates.windows(2).all(|pair| pair[0].address.is_ipv6() == pair[1].address.is_ipv6()) {
        return candidates;
    }
    let mut pods: HashMap<&Pod, bool> = HashMap::new();
    for candidate in &candidates {
        if let Some(pod) = &candidate.endpoint.pod {
            let best = pods.entry(pod).or_insert(true);
            *best &= second(candidate);
        }
    }
    candidates.retain(|candidate| candidate.endpoint.pod.as_ref().is_none_or(|pod| pods[pod] == second(candidate)));
    candidates
}

/// Only what is meant for our zone, when every ready endpoint has a hint and one at least is for us; else all.
fn in_zone<'a>(mut candidates: Vec<Candidate<'a>>, zone: Option<&str>) -> Vec<Candidate<'a>> {
    let ours = |candidate: &Candidate<'_>| candidate.endpoint.zones.iter().any(|name| Some(&**name) == zone);
    if candidates.iter().all(|candidate| candidate.endpoint.ready && !candidate.endpoint.zones.is_empty())
        && candidates.iter().any(ours)
    {
        candidates.retain(ours);
    }
    candidates
}
