//! What is kept of an EndpointSlice: all that a compile reads, in a tenth of the memory.
//!
//! Endpoints are what a cluster has most of. Addresses that can be connected to are kept as numbers; any other as it is
//! written, for the report.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use serde::Serialize;

use crate::service::{is_tcp, valid};
use crate::snapshot::SERVICE_LABEL;

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Slice {
    /// Name of the Service that it belongs to, by its label; `None` belongs to none.
    #[serde(serialize_with = "text")]
    pub service: Option<Arc<str>>,
    /// Value of the annotation that tells when its pods or its Service last changed.
    pub changed: Option<Box<str>>,
    pub(crate) family: Family,
    pub(crate) ports: Box<[SlicePort]>,
    pub(crate) endpoints: Box<[SliceEndpoint]>,
}

/// What the addresses are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) enum Family {
    V4,
    V6,
    /// Nothing that is connected to.
    #[default]
    Other,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SlicePort {
    /// Empty when it has none.
    pub(crate) name: Box<str>,
    pub(crate) tcp: bool,
    pub(crate) number: Option<i32>,
    pub(crate) app_protocol: Option<Box<str>>,
}

/// An endpoint; what is absent counts as ready and serving, and as not terminating.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SliceEndpoint {
    pub(crate) address: Address,
    pub(crate) pod: Option<Pod>,
    /// Zones that it is meant for; empty without a hint.
    pub(crate) zones: Box<[Box<str>]>,
    pub(crate) ready: bool,
    /// Serving though it terminates.
    pub(crate) terminating: bool,
}

/// The first address of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Address {
    /// There is none.
    None,
    /// Of the slice's family.
    Ip(IpAddr),
    /// Anything else.
    Text(Box<str>),
}

/// The uid of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(crate) enum Pod {
    /// The number of one in the usual form.
    Number([u8; 16]),
    /// One in any other form.
    Text(Box<str>),
}

impl Slice {
    /// What is kept of an EndpointSlice.
    #[must_use]
    pub fn new(slice: EndpointSlice) -> Self {
        let EndpointSlice { metadata, address_type, endpoints, ports } = slice;
        let family = match address_type.as_str() {
            "IPv4" => Family::V4,
            "IPv6" => Family::V6,
            _ => Family::Other,
        };
        let text = |text: String| text.into_boxed_str();
        let endpoint = |endpoint| SliceEndpoint::new(endpoint, family);
        Self {
            service: metadata.labels.and_then(|mut labels| labels.remove(SERVICE_LABEL)).map(Into::into),
            changed: metadata.annotations.and_then(|mut annotations| annotations.remove(LAST_CHANGE)).map(text),
            family,
            ports: ports.unwrap_or_default().into_iter().map(SlicePort::new).collect(),
            endpoints: endpoints.unwrap_or_default().into_iter().map(endpoint).collect(),
        }
    }

    /// Every address with every port that has a number, ready or not.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let addresses = self.endpoints.iter().filter_map(|endpoint| match endpoint.address {
            Address::Ip(address) => Some(address.to_canonical()),
            Address::None | Address::Text(_) => None,
        });
        let ports = || self.ports.iter().filter_map(|port| port.number.and_then(valid));
        addresses.flat_map(move |address| ports().map(move |port| SocketAddr::new(address, port)))
    }
}

impl SlicePort {
    fn new(port: EndpointPort) -> Self {
        Self {
            name: port.name.unwrap_or_default().into(),
            tcp: is_tcp(port.protocol.as_deref()),
            number: port.port,
            app_protocol: port.app_protocol.map(Into::into),
        }
    }
}

impl SliceEndpoint {
    fn new(endpoint: Endpoint, family: Family) -> Self {
        let Endpoint { addresses, conditions, hints, target_ref, .. } = endpoint;
        let conditions = conditions.unwrap_or_default();
        let zones = hints.and_then(|hints| hints.for_zones).unwrap_or_default();
        Self {
            address: Address::new(addresses.into_iter().next(), family),
            pod: target_ref.and_then(|reference| reference.uid).map(Pod::new),
            zones: zones.into_iter().map(|zone| zone.name.into()).collect(),
            ready: conditions.ready.unwrap_or(true),
            terminating: conditions.serving.unwrap_or(true) && conditions.terminating.unwrap_or(false),
        }
    }
}

impl Address {
    fn new(text: Option<String>, family: Family) -> Self {
        let Some(text) = text else { return Self::None };
        match (text.parse(), family) {
            (Ok(address @ IpAddr::V4(_)), Family::V4) | (Ok(address @ IpAddr::V6(_)), Family::V6) => Self::Ip(address),
            _ => Self::Text(text.into()),
        }
    }
}

impl Pod {
    fn new(uid: String) -> Self {
        Self::number(uid.as_bytes()).map_or_else(|| Self::Text(uid.into()), Self::Number)
    }

    /// The number of a uid in the form of RFC 9562 section 4, in lower case.
    fn number(uid: &[u8]) -> Option<[u8; 16]> {
        const LENGTHS: [usize; 5] = [8, 4, 4, 4, 12];
        let mut groups = uid.split(|byte| *byte == b'-');
        let (mut number, mut at) = ([0; 16], 0);
        for length in LENGTHS {
            let group = groups.next().filter(|group| group.len() == length)?;
            for (high, low) in group.iter().step_by(2).zip(group.iter().skip(1).step_by(2)) {
                number[at] = digit(*high)? << 4 | digit(*low)?;
                at += 1;
            }
        }
        groups.next().is_none().then_some(number)
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

fn text<S: serde::Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(serializer)
}

/// RFC 3339; written by the controllers of EndpointSlices since Kubernetes 1.16.
const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_one_pod_only_when_they_are_equal() {
        let pods = [
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "6BA7B810-9dad-11d1-80b4-00c04fd430c8",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c9",
            "6ba7b8109dad11d180b400c04fd430c8",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8-",
            "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
            "p-1",
            "",
        ]
        .map(|uid| Pod::new(uid.to_owned()));
        for (at, pod) in pods.iter().enumerate() {
            assert!(pods[..at].iter().all(|other| other != pod), "{pod:?}");
            assert_eq!(matches!(pod, Pod::Number(_)), [0, 2].contains(&at), "{pod:?}");
        }
    }

    #[test]
    fn addresses_of_another_family_stay_as_they_are_written() {
        for (text, family, is_number) in [
            ("10.0.0.1", Family::V4, true),
            ("010.0.0.1", Family::V4, false),
            ("fd00::1", Family::V4, false),
            ("fd00::1", Family::V6, true),
            ("10.0.0.1", Family::V6, false),
            ("a.example", Family::Other, false),
        ] {
            let address = Address::new(Some(text.to_owned()), family);
            assert_eq!(matches!(address, Address::Ip(_)), is_number, "{text}");
        }
    }
}
