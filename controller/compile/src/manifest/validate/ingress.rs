//! What the API server refuses in an Ingress.

use std::sync::Arc;

use k8s_openapi::api::core::v1::TypedLocalObjectReference;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec, IngressTLS,
};
use portico_shared::Kind;

use super::{Rules, name};
use crate::manifest::findings::Findings;
use crate::manifest::path::Path;
use crate::snapshot::{AnyObject, Object};
use crate::trim;

impl Rules for Ingress {
    const OF: Kind = Kind::Ingress;

    fn check(&self, findings: &mut Findings) {
        let root = Path::ROOT;
        let path = root.field("spec");
        let empty = IngressSpec::default();
        let spec = self.spec.as_ref().unwrap_or(&empty);
        check_spec(spec, &path, findings);
        let annotation = self.metadata.annotations.as_ref().and_then(|all| all.get(CLASS_ANNOTATION));
        if let (Some(annotation), Some(field)) = (annotation, &spec.ingress_class_name)
            && annotation != field
        {
            let metadata = root.field("metadata");
            let path = metadata.field("annotations");
            let why = "must match `ingressClassName` when both are specified";
            findings.invalid(&path.key(CLASS_ANNOTATION), annotation, why);
        }
    }

    fn trim(&mut self) {
        trim::ingress(self);
    }

    fn wrap(object: Arc<Object<Self>>) -> AnyObject {
        AnyObject::Ingress(object)
    }
}

fn check_spec(spec: &IngressSpec, path: &Path<'_>, findings: &mut Findings) {
    let rules = spec.rules.as_deref().unwrap_or_default();
    if rules.is_empty() && spec.default_backend.is_none() {
        findings.required(path, "either `defaultBackend` or `rules` must be specified");
    }
    if let Some(backend) = &spec.default_backend {
        check_backend(backend, &path.field("defaultBackend"), findings);
    }
    let list = path.field("rules");
    for (at, rule) in rules.iter().enumerate() {
        check_rule(rule, &list.index(at), findings);
    }
    let list = path.field("tls");
    for (at, tls) in spec.tls.iter().flatten().enumerate() {
        check_tls(tls, &list.index(at), findings);
    }
    if let Some(class) = &spec.ingress_class_name
        && let Some(why) = name::subdomain(class)
    {
        findings.invalid(&path.field("ingressClassName"), class, why);
    }
}

fn check_rule(rule: &IngressRule, path: &Path<'_>, findings: &mut Findings) {
    let host = rule.host.as_deref().unwrap_or_default();
    if !host.is_empty() {
        let path = path.field("host");
        if name::is_ip(host) {
            findings.invalid(&path, host, "must be a DNS name, not an IP address");
        }
        check_host(host, &path, findings);
    }
    if let Some(http) = &rule.http {
        let path = path.field("http");
        let list = path.field("paths");
        if http.paths.is_empty() {
            findings.required(&list, "");
        }
        for (at, one) in http.paths.iter().enumerate() {
            check_path(one, &list.index(at), findings);
        }
    }
}

fn check_host(host: &str, path: &Path<'_>, findings: &mut Findings) {
    let verdict = if host.contains('*') { name::wildcard(host) } else { name::subdomain(host) };
    if let Some(why) = verdict {
        findings.invalid(path, host, why);
    }
}

fn check_tls(tls: &IngressTLS, path: &Path<'_>, findings: &mut Findings) {
    let hosts = path.field("hosts");
    for (at, host) in tls.hosts.iter().flatten().enumerate() {
        check_host(host, &hosts.index(at), findings);
    }
    if let Some(secret) = tls.secret_name.as_deref().filter(|name| !name.is_empty())
        && let Some(why) = name::subdomain(secret)
    {
        findings.invalid(&path.field("secretName"), secret, why);
    }
}

fn check_path(one: &HTTPIngressPath, path: &Path<'_>, findings: &mut Findings) {
    let text = one.path.as_deref().unwrap_or_default();
    let field = path.field("path");
    match one.path_type.as_str() {
        "Exact" | "Prefix" => check_strict_path(text, &field, findings),
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                findings.invalid(&field, text, "must be an absolute path");
            }
        }
        other => findings.unsupported(&path.field("pathType"), other, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    check_backend(&one.backend, &path.field("backend"), findings);
}

fn check_strict_path(text: &str, path: &Path<'_>, findings: &mut Findings) {
    if !text.starts_with('/') {
        findings.invalid(path, text, "must be an absolute path");
    }
    for sequence in ["//", "/./", "/../", "%2f", "%2F"] {
        if text.contains(sequence) {
            findings.invalid(path, text, format_args!("must not contain '{sequence}'"));
        }
    }
    for suffix in ["/..", "/."] {
        if text.ends_with(suffix) {
            findings.invalid(path, text, format_args!("cannot end with '{suffix}'"));
        }
    }
}

fn check_backend(backend: &IngressBackend, path: &Path<'_>, findings: &mut Findings) {
    match (&backend.service, &backend.resource) {
        (Some(_), Some(_)) => findings.invalid(path, "", "cannot set both resource and service backends"),
        (None, None) => findings.invalid(path, "", "resource or service backend is required"),
        (None, Some(resource)) => check_resource(resource, &path.field("resource"), findings),
        (Some(service), None) => check_service(service, path, findings),
    }
}

fn check_service(service: &IngressServiceBackend, backend: &Path<'_>, findings: &mut Findings) {
    let path = backend.field("service");
    if service.name.is_empty() {
        findings.required(&path.field("name"), "");
    } else if let Some(why) = name::service(&service.name) {
        findings.invalid(&path.field("name"), &service.name, why);
    }
    let port = service.port.as_ref();
    let port_name = port.and_then(|port| port.name.as_deref()).filter(|name| !name.is_empty());
    let number = port.and_then(|port| port.number).filter(|number| *number != 0);
    let path = path.field("port");
    match (port_name, number) {
        (Some(_), Some(_)) => findings.invalid(backend, "", "cannot set both port name & port number"),
        (None, None) => findings.required(backend, "port name or number is required"),
        (Some(name), None) => {
            if let Some(why) = name::port(name) {
                findings.invalid(&path.field("name"), name, why);
            }
        }
        (None, Some(number)) => {
            if !(1..=65535).contains(&number) {
                findings.invalid(&path.field("number"), number, "must be between 1 and 65535, inclusive");
            }
        }
    }
}

fn check_resource(resource: &TypedLocalObjectReference, path: &Path<'_>, findings: &mut Findings) {
    if let Some(group) = &resource.api_group
        && let Some(why) = name::subdomain(group)
    {
        findings.invalid(&path.field("apiGroup"), group, why);
    }
    for (field, value) in [("kind", &resource.kind), ("name", &resource.name)] {
        if value.is_empty() {
            findings.required(&path.field(field), "");
        } else if let Some(why) = name::path_segment(value) {
            findings.invalid(&path.field(field), value, why);
        }
    }
}

/// The annotation that named a class before the field did.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
