//! Addresses as an Ingress's status holds them, and where ours come from.
//!
//! Pure: objects in, a set out. Sets are what is compared, so that neither order nor spelling of an address matters.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress};

/// One entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// `ip`.
    Ip(IpAddr),
    /// `hostname`.
    Hostname(String),
    /// What Portico never writes: both, neither, ports, or what is no address. Never among wanted addresses.
    Foreign(String),
}

/// Addresses of one Ingress or of all of ours.
pub type Addresses = BTreeSet<Address>;

impl Address {
    /// An address as a flag or a Service writes it: an IP address, or a DNS name that is none.
    ///
    /// # Errors
    /// What the API server would refuse: `status.loadBalancer.ingress[].hostname` must be an RFC 1123 name.
    pub fn parse(text: &str) -> Result<Self, NotAnAddress> {
        let text = text.trim();
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if is_dns_name(&name) { Ok(Self::Hostname(name)) } else { Err(NotAnAddress(text.to_owned())) }
    }

    fn read(entry: &IngressLoadBalancerIngress) -> Self {
        let own = match (&entry.ip, &entry.hostname, &entry.ports) {
            (Some(ip), None, None) => ip.parse().ok().map(Self::Ip),
            (None, Some(name), None) => Some(Self::Hostname(name.clone())),
            _ => None,
        };
        own.unwrap_or_else(|| Self::Foreign(format!("{entry:?}")))
    }

    /// The entry to write.
    #[must_use]
    pub fn entry(&self) -> IngressLoadBalancerIngress {
        let (mut ip, mut hostname) = (None, None);
        match self {
            Self::Ip(address) => ip = Some(address.to_string()),
            Self::Hostname(name) | Self::Foreign(name) => hostname = Some(name.clone()),
        }
        IngressLoadBalancerIngress { ip, hostname, ports: None }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Hostname(name) | Self::Foreign(name) => f.write_str(name),
        }
    }
}

/// Text that is neither an IP address nor a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IP address nor a lower-case DNS name")]
pub struct NotAnAddress(String);

/// What an Ingress's status holds.
#[must_use]
pub(super) fn held(ingress: &Ingress) -> Addresses {
    let entries = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    entries.into_iter().flatten().map(Address::read).collect()
}

/// Whether an Ingress's status holds no address.
#[must_use]
pub(super) fn holds_none(ingress: &Ingress) -> bool {
    let entries = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    entries.is_none_or(Vec::is_empty)
}

/// Addresses at which a Service is reached from outside, by its type; none while it has none.
#[must_use]
pub(super) fn of_service(service: &Service) -> Addresses {
    let Some(spec) = &service.spec else { return Addresses::new() };
    let external = || texts(spec.external_ips.as_deref());
    let cluster_ip = || spec.cluster_ip.clone().filter(|ip| ip != "None").into_iter().collect::<Vec<_>>();
    let texts: Vec<String> = match spec.type_.as_deref().unwrap_or("ClusterIP") {
        "LoadBalancer" => {
            let entries = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
            let balancers =
                entries.into_iter().flatten().filter_map(|entry| entry.ip.clone().or(entry.hostname.clone()));
            balancers.chain(external()).collect()
        }
        "NodePort" if external().next().is_some() => external().collect(),
        "ExternalName" => spec.external_name.clone().into_iter().collect(),
        _ => cluster_ip(),
    };
    texts.iter().filter_map(|text| Address::parse(text).ok()).collect()
}

/// Addresses of a node: `ExternalIP`, or `InternalIP` when `internal`.
#[must_use]
pub(super) fn of_node(node: &Node, internal: bool) -> Addresses {
    let wanted = if internal { "InternalIP" } else { "ExternalIP" };
    let entries = node.status.as_ref().and_then(|status| status.addresses.as_ref());
    let entries = entries.into_iter().flatten().filter(|entry| entry.type_ == wanted);
    entries.filter_map(|entry| Address::parse(&entry.address).ok()).collect()
}

fn texts(list: Option<&[String]>) -> impl Iterator<Item = String> {
    list.unwrap_or_default().iter().cloned()
}

/// RFC 1123 subdomain in lower case, which an IP address is not.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        (1..=63).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn set(texts: &[&str]) -> Addresses {
        texts.iter().map(|text| Address::parse(text).expect("an address")).collect()
    }

    #[test]
    fn flags_are_addresses_or_names() {
        for (text, expected) in [
            ("192.0.2.1", Ok(Address::Ip([192, 0, 2, 1].into()))),
            ("2001:DB8::1", Ok(Address::Ip("2001:db8::1".parse().expect("an address")))),
            (" LB.Example.com. ", Ok(Address::Hostname("lb.example.com".to_owned()))),
            ("localhost", Ok(Address::Hostname("localhost".to_owned()))),
            ("", Err(NotAnAddress(String::new()))),
            ("a..b", Err(NotAnAddress("a..b".to_owned()))),
            ("-a.b", Err(NotAnAddress("-a.b".to_owned()))),
            ("a_b", Err(NotAnAddress("a_b".to_owned()))),
            ("http://a", Err(NotAnAddress("http://a".to_owned()))),
        ] {
            assert_eq!(Address::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn services_are_reached_by_type() {
        for (service, expected) in [
            (
                json!({"spec": {"type": "LoadBalancer", "externalIPs": ["192.0.2.9"], "clusterIP": "10.0.0.1"},
                    "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.test"}]}}}),
                set(&["192.0.2.9", "192.0.2.1", "lb.test"]),
            ),
            (json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}}), set(&[])),
            (
                json!({"spec": {"type": "NodePort", "externalIPs": ["192.0.2.9"], "clusterIP": "10.0.0.1"}}),
                set(&["192.0.2.9"]),
            ),
            (json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1"}}), set(&["10.0.0.1"])),
            (json!({"spec": {"clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.9"]}}), set(&["10.0.0.1"])),
            (json!({"spec": {"type": "ClusterIP", "clusterIP": "None"}}), set(&[])),
            (json!({"spec": {"type": "ExternalName", "externalName": "lb.test"}}), set(&["lb.test"])),
            (json!({}), set(&[])),
        ] {
            let read: Service = from_value(service.clone()).expect("a Service");
            assert_eq!(of_service(&read), expected, "{service}");
        }
    }

    #[test]
    fn nodes_show_internal_addresses_only_when_asked() {
        let node: Node = from_value(json!({"status": {"addresses": [
            {"type": "InternalIP", "address": "10.1.0.1"}, {"type": "ExternalIP", "address": "192.0.2.1"},
            {"type": "Hostname", "address": "node-1"}]}}))
        .expect("a Node");
        assert_eq!(of_node(&node, false), set(&["192.0.2.1"]));
        assert_eq!(of_node(&node, true), set(&["10.1.0.1"]));
    }

    #[test]
    fn status_is_compared_as_a_set() {
        let ingress = |entries| -> Ingress {
            from_value(json!({"status": {"loadBalancer": {"ingress": entries}}})).expect("an Ingress")
        };
        let wanted = set(&["2001:db8::1", "lb.test"]);
        assert_eq!(held(&ingress(json!([{"hostname": "lb.test"}, {"ip": "2001:DB8:0::1"}]))), wanted);
        let with_ports = json!([{"hostname": "lb.test", "ports": [{"port": 80, "protocol": "TCP"}]}]);
        assert_ne!(held(&ingress(with_ports)), set(&["lb.test"]));
        assert!(holds_none(&Ingress::default()) && holds_none(&ingress(json!([]))));
    }
}
