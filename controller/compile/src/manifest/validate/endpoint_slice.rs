//! What the API server fills in and refuses in an EndpointSlice.
//!
//! Unlike the server this lets loopback and link-local addresses pass: whether they may be used is an option of the
//! compile.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use portico_shared::Kind;

use super::{PROTOCOLS, Rules, name};
use crate::manifest::findings::Findings;
use crate::manifest::path::Path;
use crate::slice::Slice;
use crate::snapshot::{AnyObject, Object};

impl Rules for EndpointSlice {
    const OF: Kind = Kind::EndpointSlice;

    fn complete(&mut self) {
        for port in self.ports.iter_mut().flatten() {
            port.name.get_or_insert_default();
            port.protocol.get_or_insert_with(|| "TCP".to_owned());
        }
    }

    fn check(&self, findings: &mut Findings) {
        let root = Path::ROOT;
        if !matches!(self.address_type.as_str(), "IPv4" | "IPv6" | "FQDN") {
            let known = &["FQDN", "IPv4", "IPv6"];
            findings.unsupported(&root.field("addressType"), &self.address_type, known);
        }
        let list = root.field("endpoints");
        let endpoints = self.endpoints.as_deref().unwrap_or_default();
        if endpoints.len() > ENDPOINTS_LIMIT {
            findings.too_many(&list, endpoints.len(), ENDPOINTS_LIMIT, "items");
        } else {
            for (at, endpoint) in endpoints.iter().enumerate() {
                check_endpoint(endpoint, &self.address_type, &list.index(at), findings);
            }
        }
        let list = root.field("ports");
        let ports = self.ports.as_deref().unwrap_or_default();
        if ports.len() > PORTS_LIMIT {
            findings.too_many(&list, ports.len(), PORTS_LIMIT, "items");
        } else {
            check_ports(ports, &list, findings);
        }
    }

    fn wrap(object: Arc<Object<Self>>) -> AnyObject {
        let Object { reference, value, spans } = Arc::unwrap_or_clone(object);
        AnyObject::EndpointSlice(Arc::new(Object { reference, value: Slice::new(value), spans }))
    }
}

fn check_endpoint(endpoint: &Endpoint, address_type: &str, path: &Path<'_>, findings: &mut Findings) {
    let list = path.field("addresses");
    match endpoint.addresses.len() {
        0 => findings.required(&list, "must contain at least 1 address"),
        count if count > ADDRESSES_LIMIT => findings.too_many(&list, count, ADDRESSES_LIMIT, "items"),
        _ => {}
    }
    for (at, address) in endpoint.addresses.iter().enumerate() {
        if let Some(why) = check_address(address, address_type) {
            findings.invalid(&list.index(at), address, why);
        }
    }
    if let Some(hostname) = &endpoint.hostname
        && let Some(why) = name::label(hostname)
    {
        findings.invalid(&path.field("hostname"), hostname, why);
    }
    let hints = path.field("hints");
    let zones = endpoint.hints.as_ref().and_then(|hints| hints.for_zones.as_ref()).map_or(0, Vec::len);
    if zones > ZONES_LIMIT {
        findings.too_many(&hints.field("forZones"), zones, ZONES_LIMIT, "items");
    }
}

fn check_address(address: &str, address_type: &str) -> name::Verdict {
    let (unspecified, multicast) = match address_type {
        "IPv4" => match address.parse::<Ipv4Addr>() {
            Ok(ip) => (ip.is_unspecified(), ip.is_multicast()),
            Err(_) => return Some("must be a valid IPv4 address"),
        },
        "IPv6" => match address.parse::<Ipv6Addr>() {
            Ok(ip) if ip.to_ipv4_mapped().is_none() => (ip.is_unspecified(), ip.is_multicast()),
            _ => return Some("must be a valid IPv6 address"),
        },
        "FQDN" => return name::subdomain(address.strip_suffix('.').unwrap_or(address)),
        _ => return None,
    };
    if unspecified {
        Some("may not be unspecified (0.0.0.0 or ::)")
    } else if multicast {
        Some("may not be in a multicast range")
    } else {
        None
    }
}

fn check_ports(ports: &[EndpointPort], list: &Path<'_>, findings: &mut Findings) {
    let mut names = BTreeSet::new();
    for (at, port) in ports.iter().enumerate() {
        let path = list.index(at);
        let name = port.name.as_deref().unwrap_or_default();
        if !name.is_empty()
            && let Some(why) = name::label(name)
        {
            findings.invalid(&path.field("name"), name, why);
        }
        if !names.insert(name) {
            findings.duplicate(&path.field("name"), name);
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if !PROTOCOLS.contains(&protocol) {
            findings.unsupported(&path.field("protocol"), protocol, PROTOCOLS);
        }
        if let Some(number) = port.port.filter(|number| !(1..=65535).contains(number)) {
            findings.invalid(&path.field("port"), number, "must be between 1 and 65535, inclusive");
        }
        if let Some(protocol) = &port.app_protocol
            && let Some(why) = name::qualified(protocol)
        {
            findings.invalid(&path.field("appProtocol"), protocol, why);
        }
    }
}

const ENDPOINTS_LIMIT: usize = 1000;

const PORTS_LIMIT: usize = 100;

const ADDRESSES_LIMIT: usize = 100;

const ZONES_LIMIT: usize = 8;
