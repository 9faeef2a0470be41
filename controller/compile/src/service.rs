//! Services and their ports, as backends refer to them.
//!
//! Knows which port a reference means; knows nothing of endpoints. A port that an Ingress may use is TCP.

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portico_shared::Code;

use crate::report::{Problem, quote};
use crate::snapshot::{DefaultBackend, Object};

/// How a backend names a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PortReference<'a> {
    /// By `spec.ports[].port`.
    Number(i32),
    /// By `spec.ports[].name`.
    Name(&'a str),
    /// The Service's first port, for a default that names none.
    First,
}

impl From<&DefaultBackend> for PortReference<'_> {
    fn from(backend: &DefaultBackend) -> Self {
        backend.port.map_or(Self::First, |port| Self::Number(port.into()))
    }
}

/// A port that a backend may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port<'a> {
    /// Number that names the upstream: the Service's own port; of an ExternalName the port to connect to.
    pub(crate) number: u16,
    /// The declared port and its place in `spec.ports`; an ExternalName needs none.
    pub(crate) declared: Option<(usize, &'a ServicePort)>,
}

impl<'a> Port<'a> {
    /// The port that a reference means. The problem's field is relative to the backend's `service`.
    pub(crate) fn find(service: &'a Object<Service>, reference: PortReference<'_>) -> Result<Self, Problem> {
        let external = is_external_name(&service.value);
        let named = |port: &ServicePort| match reference {
            PortReference::Number(number) => port.port == number,
            PortReference::Name(name) => port.name.as_deref() == Some(name),
            PortReference::First => true,
        };
        let candidates = || ports(&service.value).filter(|(_, port)| named(port));
        if let Some(declared @ (_, port)) = candidates().find(|(_, port)| is_tcp(port.protocol.as_deref())) {
            // Nothing translates ports on the way to an ExternalName: a number is meant as it is written.
            let number = match reference {
                PortReference::Name(_) if external => numeric_target(port).unwrap_or(port.port),
                _ => port.port,
            };
            if let Some(number) = valid(number) {
                return Ok(Self { number, declared: Some(declared) });
            }
        }
        if let (true, PortReference::Number(number)) = (external, reference)
            && let Some(number) = valid(number)
            && candidates().next().is_none()
        {
            return Ok(Self { number, declared: None });
        }
        let other_protocol = candidates().next().map(|(_, port)| port.protocol.as_deref().unwrap_or("TCP"));
        Err(missing(service, reference, other_protocol))
    }

    /// The port that an upstream's name means.
    pub(crate) fn of_upstream(service: &'a Object<Service>, number: u16) -> Option<Self> {
        Self::find(service, PortReference::Number(number.into())).ok()
    }
}

/// Whether a Service is an alias of a DNS name.
pub(crate) fn is_external_name(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName")
}

/// Whether a port's protocol is TCP, which is the default.
pub(crate) fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

/// The port's `targetPort` when it is a number, or the port itself when there is none.
pub(crate) fn numeric_target(port: &ServicePort) -> Option<i32> {
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(text)) => text.parse().ok(),
    }
}

/// A port number, when it is one.
pub(crate) fn valid(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number != 0)
}

fn ports(service: &Service) -> impl Iterator<Item = (usize, &ServicePort)> {
    service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).enumerate()
}

fn missing(service: &Object<Service>, reference: PortReference<'_>, other_protocol: Option<&str>) -> Problem {
    let owner = &service.reference;
    let (field, wanted) = match reference {
        PortReference::Number(number) => ("port.number", format!("port {number}")),
        PortReference::Name(name) => ("port.name", format!("port {}", quote(name))),
        PortReference::First => ("port", "port".to_owned()),
    };
    if let Some(protocol) = other_protocol.filter(|protocol| *protocol != "TCP") {
        let message = format!("{wanted} of {owner} is {}, not TCP", quote(protocol));
        return Problem::error(Code::ProtocolUnsupported, field, message).hint("name a TCP port");
    }
    let known: Vec<_> = ports(&service.value)
        .map(|(_, port)| match port.name.as_deref() {
            Some(name) if !name.is_empty() => format!("{} ({name})", port.port),
            _ => port.port.to_string(),
        })
        .collect();
    let hint = if known.is_empty() {
        "the Service declares no port".to_owned()
    } else {
        format!(
            "the Service has {}; a backend names spec.ports[].port or .name, never the targetPort",
            known.join(", ")
        )
    };
    Problem::error(Code::PortNotFound, field, format!("{owner} has no {wanted}")).hint(hint)
}
