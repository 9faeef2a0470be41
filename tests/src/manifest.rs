//! Manifests as values: builders for what tests write again and again.
//!
//! Everything becomes a JSON document, which is YAML too; tests about lines, columns and spelling write YAML text by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::certificate::Issued;

/// Path types, as short as tests need them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// `Exact`.
    E,
    /// `Prefix`.
    P,
    /// `ImplementationSpecific`.
    I,
}

impl Path {
    fn name(self) -> &'static str {
        match self {
            Self::E => "Exact",
            Self::P => "Prefix",
            Self::I => "ImplementationSpecific",
        }
    }
}

/// An Ingress in the making; [`fmt::Display`] gives the document.
#[derive(Clone, Debug)]
pub struct Ingress {
    document: Value,
}

impl Ingress {
    /// An Ingress without rules, in the namespace `default`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            document: json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": {"name": name, "namespace": "default"}, "spec": {},
            }),
        }
    }

    /// In another namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.document["metadata"]["namespace"] = json!(namespace);
        self
    }

    /// Created at this moment, such as `2024-01-01T00:00:00Z`.
    #[must_use]
    pub fn created(mut self, time: &str) -> Self {
        self.document["metadata"]["creationTimestamp"] = json!(time);
        self
    }

    /// With an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.document["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Of a class.
    #[must_use]
    pub fn class(mut self, class: &str) -> Self {
        self.document["spec"]["ingressClassName"] = json!(class);
        self
    }

    /// A path of a host (empty: any host) to port `http` or 80 of `service`; `service:port` names the port.
    #[must_use]
    pub fn path(self, host: &str, kind: Path, path: &str, service: &str) -> Self {
        let path = json!({"path": path, "pathType": kind.name(), "backend": backend(service)});
        self.raw_path(host, path)
    }

    /// A path of a host, written out.
    #[must_use]
    pub fn raw_path(mut self, host: &str, path: Value) -> Self {
        let rules = self.rules();
        let same = |rule: &Value| rule.get("host").and_then(Value::as_str).unwrap_or_default() == host;
        match rules.iter_mut().find(|rule| same(rule)) {
            Some(rule) => rule["http"]["paths"].as_array_mut().expect("paths are a list").push(path),
            None if host.is_empty() => rules.push(json!({"http": {"paths": [path]}})),
            None => rules.push(json!({"host": host, "http": {"paths": [path]}})),
        }
        self
    }

    /// A whole host to a service.
    #[must_use]
    pub fn host(self, host: &str, service: &str) -> Self {
        self.path(host, Path::P, "/", service)
    }

    /// A rule written out.
    #[must_use]
    pub fn raw_rule(mut self, rule: Value) -> Self {
        self.rules().push(rule);
        self
    }

    /// The default backend.
    #[must_use]
    pub fn default_backend(mut self, service: &str) -> Self {
        self.document["spec"]["defaultBackend"] = backend(service);
        self
    }

    /// A TLS entry; no hosts leaves the list out.
    #[must_use]
    pub fn tls(mut self, hosts: &[&str], secret: &str) -> Self {
        let mut entry = json!({});
        if !hosts.is_empty() {
            entry["hosts"] = json!(hosts);
        }
        if !secret.is_empty() {
            entry["secretName"] = json!(secret);
        }
        let tls = &mut self.document["spec"]["tls"];
        if tls.is_null() {
            *tls = json!([]);
        }
        tls.as_array_mut().expect("tls is a list").push(entry);
        self
    }

    fn rules(&mut self) -> &mut Vec<Value> {
        let rules = &mut self.document["spec"]["rules"];
        if rules.is_null() {
            *rules = json!([]);
        }
        rules.as_array_mut().expect("rules are a list")
    }
}

impl fmt::Display for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.document)
    }
}

/// The backend field for `name`, `name:80` or `name:port-name`.
fn backend(service: &str) -> Value {
    let (name, port) = service.split_once(':').unwrap_or((service, "80"));
    let port = match port.parse::<u16>() {
        Ok(number) => json!({"number": number}),
        Err(_) => json!({"name": port}),
    };
    json!({"service": {"name": name, "port": port}})
}

/// A Service in the making, with port 80 named `http` unless told otherwise.
#[derive(Clone, Debug)]
pub struct Service {
    document: Value,
}

impl Service {
    /// A ClusterIP Service.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            document: json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"ports": [{"name": "http", "port": 80}]},
            }),
        }
    }

    /// In another namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.document["metadata"]["namespace"] = json!(namespace);
        self
    }

    /// With an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.document["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// `appProtocol` of the first port.
    #[must_use]
    pub fn app_protocol(mut self, protocol: &str) -> Self {
        self.document["spec"]["ports"][0]["appProtocol"] = json!(protocol);
        self
    }

    /// Other ports, written out.
    #[must_use]
    pub fn ports(self, ports: Value) -> Self {
        self.spec("ports", ports)
    }

    /// Any field of the spec.
    #[must_use]
    pub fn spec(mut self, field: &str, value: Value) -> Self {
        self.document["spec"][field] = value;
        self
    }

    /// The Service together with its endpoints.
    #[must_use]
    pub fn with(&self, addresses: &[SocketAddr]) -> String {
        let metadata = &self.document["metadata"];
        let text = |field: &str| metadata[field].as_str().expect("names are text").to_owned();
        join([self.to_string(), endpoints_in(&text("namespace"), &text("name"), addresses)])
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.document)
    }
}

/// EndpointSlices of a Service of the namespace `default`, ready, for its port `http`.
#[must_use]
pub fn endpoints(service: &str, addresses: &[SocketAddr]) -> String {
    endpoints_in("default", service, addresses)
}

/// The same in any namespace: one slice for each pair of family and port.
#[must_use]
pub fn endpoints_in(namespace: &str, service: &str, addresses: &[SocketAddr]) -> String {
    let mut slices: BTreeMap<(bool, u16), Vec<Value>> = BTreeMap::new();
    for address in addresses {
        let list = slices.entry((address.is_ipv6(), address.port())).or_default();
        list.push(json!({"addresses": [address.ip()]}));
    }
    join(slices.into_iter().map(|((v6, port), list)| {
        let name = format!("{service}-{}{port}", if v6 { "v6-" } else { "" });
        let family = if v6 { "IPv6" } else { "IPv4" };
        let ports = json!([{"name": "http", "port": port}]);
        slice(namespace, service, &name, family, &ports, &json!(list))
    }))
}

/// One EndpointSlice with everything given.
#[must_use]
pub fn slice(namespace: &str, service: &str, name: &str, family: &str, ports: &Value, endpoints: &Value) -> String {
    let labels = json!({"kubernetes.io/service-name": service});
    let document = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "addressType": family, "ports": ports, "endpoints": endpoints,
    });
    format!("{document:#}")
}

/// A TLS Secret of the namespace `default`.
#[must_use]
pub fn secret(name: &str, issued: &Issued) -> String {
    raw_secret(name, "kubernetes.io/tls", &[("tls.crt", &issued.chain_pem()), ("tls.key", &issued.key_pem())])
}

/// A Secret of any type with any keys.
#[must_use]
pub fn raw_secret(name: &str, kind: &str, data: &[(&str, &str)]) -> String {
    let data: BTreeMap<_, _> = data.iter().map(|(key, text)| (key, STANDARD.encode(text))).collect();
    let document = json!({
        "apiVersion": "v1", "kind": "Secret", "type": kind,
        "metadata": {"name": name, "namespace": "default"}, "data": data,
    });
    format!("{document:#}")
}

/// Several documents as one file.
#[must_use]
pub fn join(documents: impl IntoIterator<Item = impl fmt::Display>) -> String {
    documents.into_iter().map(|document| format!("---\n{document}\n")).collect()
}
