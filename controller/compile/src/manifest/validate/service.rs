//! What the API server fills in and refuses in a Service, as far as routing reads it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use portico_shared::Kind;

use super::{PROTOCOLS, Rules, name};
use crate::manifest::findings::Findings;
use crate::manifest::path::Path;
use crate::snapshot::{AnyObject, Object};
use crate::trim;

impl Rules for Service {
    const OF: Kind = Kind::Service;

    fn complete(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        spec.type_.get_or_insert_with(|| "ClusterIP".to_owned());
        for port in spec.ports.iter_mut().flatten() {
            port.protocol.get_or_insert_with(|| "TCP".to_owned());
            if in_range(port.port) && matches!(&port.target_port, None | Some(IntOrString::Int(0))) {
                port.target_port = Some(IntOrString::Int(port.port));
            }
        }
    }

    fn check(&self, findings: &mut Findings) {
        let root = Path::ROOT;
        let path = root.field("spec");
        let empty = ServiceSpec::default();
        let spec = self.spec.as_ref().unwrap_or(&empty);
        let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
        if !TYPES.contains(&kind) {
            findings.unsupported(&path.field("type"), kind, TYPES);
        }
        let headless = spec.cluster_ip.as_deref() == Some("None");
        check_addresses(spec, kind, headless, &path, findings);
        let ports = spec.ports.as_deref().unwrap_or_default();
        if ports.is_empty() && !headless && kind != "ExternalName" {
            findings.required(&path.field("ports"), "");
        }
        check_ports(ports, &path.field("ports"), findings);
        let affinity = spec.session_affinity.as_deref().unwrap_or("None");
        if !matches!(affinity, "None" | "ClientIP") {
            findings.unsupported(&path.field("sessionAffinity"), affinity, &["ClientIP", "None"]);
        }
    }

    fn trim(&mut self) {
        trim::service(self);
    }

    fn wrap(object: Arc<Object<Self>>) -> AnyObject {
        AnyObject::Service(object)
    }
}

fn check_addresses(spec: &ServiceSpec, kind: &str, headless: bool, path: &Path<'_>, findings: &mut Findings) {
    let cluster_ip = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty());
    let field = path.field("clusterIP");
    if kind == "ExternalName" {
        if cluster_ip.is_some() {
            findings.forbidden(&field, "may not be set for ExternalName services");
        }
        let field = path.field("externalName");
        match spec.external_name.as_deref().map(|name| name.strip_suffix('.').unwrap_or(name)) {
            None | Some("") => findings.required(&field, ""),
            Some(name) => {
                if let Some(why) = name::subdomain(name) {
                    findings.invalid(&field, name, why);
                }
            }
        }
    } else if let Some(ip) = cluster_ip.filter(|_| !headless)
        && ip.parse::<IpAddr>().is_err()
    {
        findings.invalid(&field, ip, "must be empty, 'None' or a valid IP address");
    } else if headless && matches!(kind, "LoadBalancer" | "NodePort") {
        findings.invalid(&field, "None", format_args!("may not be set to 'None' for {kind} services"));
    }
    let families = path.field("ipFamilies");
    for (at, family) in spec.ip_families.iter().flatten().enumerate() {
        if !matches!(family.as_str(), "IPv4" | "IPv6") {
            findings.unsupported(&families.index(at), family, &["IPv4", "IPv6"]);
        }
    }
}

fn check_ports(ports: &[ServicePort], list: &Path<'_>, findings: &mut Findings) {
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for (at, port) in ports.iter().enumerate() {
        let path = list.index(at);
        let field = path.field("name");
        match port.name.as_deref().unwrap_or_default() {
            "" if ports.len() > 1 => findings.required(&field, ""),
            "" => {}
            name => {
                if let Some(why) = name::label(name) {
                    findings.invalid(&field, name, why);
                }
                if !names.insert(name) {
                    findings.duplicate(&field, name);
                }
            }
        }
        check_port(port, &path, findings);
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if in_range(port.port) && !numbers.insert((protocol, port.port)) {
            findings.duplicate(&path, &format!("{}/{protocol}", port.port));
        }
    }
}

fn check_port(port: &ServicePort, path: &Path<'_>, findings: &mut Findings) {
    if !in_range(port.port) {
        findings.invalid(&path.field("port"), port.port, PORT_RANGE);
    }
    let field = path.field("targetPort");
    match &port.target_port {
        Some(IntOrString::Int(number)) if !in_range(*number) => findings.invalid(&field, number, PORT_RANGE),
        Some(IntOrString::String(name)) => {
            if let Some(why) = name::port(name) {
                findings.invalid(&field, name, why);
            }
        }
        Some(IntOrString::Int(_)) | None => {}
    }
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    if !PROTOCOLS.contains(&protocol) {
        findings.unsupported(&path.field("protocol"), protocol, PROTOCOLS);
    }
    if let Some(protocol) = &port.app_protocol
        && let Some(why) = name::qualified(protocol)
    {
        findings.invalid(&path.field("appProtocol"), protocol, why);
    }
    if let Some(number) = port.node_port.filter(|number| *number != 0 && !in_range(*number)) {
        findings.invalid(&path.field("nodePort"), number, PORT_RANGE);
    }
}

fn in_range(port: i32) -> bool {
    (1..=65535).contains(&port)
}

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";
