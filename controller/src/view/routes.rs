//! The whole table: hosts, their routes in order of preference, upstreams, certificates.

use std::sync::Arc;

use portico_shared::ir::{
    Action, Balance, Certificate, EndpointSource, HostPattern, Listener, PathMatch, Protocol, Route, ValueMatch,
    VirtualHost,
};
use portico_shared::table::UpstreamCell;
use serde::{Deserialize, Serialize};

use super::{OriginView, Served, moment};

/// A table as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutesView {
    /// Generation of the table.
    pub generation: u64,
    /// Listeners by name.
    pub listeners: Vec<ListenerView>,
    /// Upstreams by name.
    pub upstreams: Vec<UpstreamView>,
    /// Certificates by name.
    pub certificates: Vec<CertificateView>,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerView {
    /// Name.
    pub name: String,
    /// Virtual hosts, named ones before wildcards, any host last.
    pub hosts: Vec<HostView>,
    /// Where misses of every host go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<RouteView>,
    /// Certificate for names that nothing claims, as `namespace/secret`; `None` is a self-signed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_certificate: Option<String>,
}

/// One virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// Pattern: a name, `*.suffix`, `**.suffix` or `*`.
    pub host: String,
    /// Its own certificate, as `namespace/secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Certificate that a client asking for this host is shown, its own or another's, as `namespace/secret`; `None` is
    /// a self-signed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_certificate: Option<String>,
    /// Routes, the ones that are tried first on top.
    pub routes: Vec<RouteView>,
    /// Where misses of this host go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<RouteView>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteView {
    /// Name, as in metrics and logs.
    pub name: String,
    /// `Exact` or `Prefix`.
    pub path_type: String,
    /// Path.
    pub path: String,
    /// Tests beyond the path, such as `method GET`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<String>,
    /// What is done.
    pub action: ActionView,
    /// Settings that differ from the defaults, such as `request-timeout 5s`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
    /// Where it was written.
    pub origin: OriginView,
}

/// What a route does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionView {
    /// Forward to one of these by weight.
    Forward(Vec<BackendView>),
    /// Answer 503.
    Unavailable {
        /// Code of the diagnostic.
        code: String,
        /// What is wrong.
        message: String,
    },
}

/// One backend of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendView {
    /// Name of the upstream: `namespace/service:port`.
    pub upstream: String,
    /// Share among the route's backends.
    pub weight: u32,
}

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamView {
    /// `namespace/service:port`.
    pub name: String,
    /// How it is spoken to: `http/1.1`, `h2c`, `https` or `https (http/1.1)`.
    pub protocol: String,
    /// Name that its certificate is checked for; empty without TLS.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    /// Whether its certificate is verified; true without TLS.
    pub verified: bool,
    /// How an endpoint is chosen: `least-request` or `round-robin`.
    pub balance: String,
    /// Name that is resolved for its endpoints, as `name:port`; empty when they come from objects.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resolved_from: String,
    /// Endpoints that get requests now.
    pub endpoints: Vec<String>,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// `namespace/secret`.
    pub name: String,
    /// Names it is valid for.
    pub names: Vec<String>,
    /// SHA-256 of the leaf in lower-case hex.
    pub fingerprint: String,
    /// Start of validity, RFC 3339.
    pub not_before: String,
    /// End of validity, RFC 3339.
    pub not_after: String,
}

/// Shows a table.
#[must_use]
pub fn routes(served: &Served<'_>) -> RoutesView {
    let ir = served.table.ir();
    let cells = ir.upstreams.iter().filter_map(|upstream| served.table.upstream(&upstream.name));
    RoutesView {
        generation: served.table.generation(),
        listeners: ir.listeners.iter().map(|listener| served.listener(listener)).collect(),
        upstreams: cells.map(|cell| upstream(cell)).collect(),
        certificates: ir.certificates.iter().map(|it| certificate(it)).collect(),
    }
}

impl Served<'_> {
    fn listener(&self, listener: &Listener) -> ListenerView {
        ListenerView {
            name: listener.name.to_string(),
            hosts: listener.virtual_hosts.iter().map(|host| self.host(&listener.name, host)).collect(),
            fallback: listener.fallback.as_deref().map(|route| self.route(route)),
            default_certificate: listener.default_certificate.as_ref().map(ToString::to_string),
        }
    }

    fn host(&self, listener: &str, host: &VirtualHost) -> HostView {
        let mut routes: Vec<&Arc<Route>> = host.routes.iter().collect();
        // Stable: of equal rules the older one stays first.
        routes.sort_by_key(|route| {
            let matcher = &route.matcher;
            (matches!(matcher.path, PathMatch::Prefix(_)), std::cmp::Reverse(matcher.path.path().len()))
        });
        let name = match &host.pattern {
            HostPattern::Exact(name) => Some(name.to_string()),
            HostPattern::OneLabel(suffix) | HostPattern::ManyLabels(suffix) => Some(format!("*.{suffix}")),
            HostPattern::Any => None,
        };
        let choice = self.table.listener(listener).map(|listener| listener.certificate(name.as_deref()));
        HostView {
            host: host.pattern.to_string(),
            shown_certificate: choice.and_then(|choice| choice.certificate()).map(|shown| shown.name.to_string()),
            certificate: host.certificate.as_ref().map(ToString::to_string),
            routes: routes.into_iter().map(|route| self.route(route)).collect(),
            fallback: host.fallback.as_deref().map(|route| self.route(route)),
        }
    }

    pub(super) fn route(&self, route: &Route) -> RouteView {
        let path_type = if matches!(route.matcher.path, PathMatch::Exact(_)) { "Exact" } else { "Prefix" };
        RouteView {
            name: route.name.to_string(),
            path_type: path_type.to_owned(),
            path: route.matcher.path.path().to_owned(),
            tests: tests(route),
            action: action(&route.action),
            settings: settings(route),
            origin: self.origin(&route.origin),
        }
    }
}

fn tests(route: &Route) -> Vec<String> {
    let matcher = &route.matcher;
    let value = |value: &ValueMatch| match value {
        ValueMatch::Exact(value) => format!(" = {value}"),
        ValueMatch::Present => " present".to_owned(),
    };
    let method = matcher.method().into_iter().map(|method| format!("method {method}"));
    let headers = matcher.headers().iter().map(|test| format!("header {}{}", test.name, value(&test.value)));
    let query = matcher.query().iter().map(|test| format!("query {}{}", test.name, value(&test.value)));
    method.chain(headers).chain(query).collect()
}

fn action(action: &Action) -> ActionView {
    match action {
        Action::Forward(backends) => ActionView::Forward(
            backends
                .iter()
                .map(|backend| BackendView { upstream: backend.upstream.to_string(), weight: backend.weight })
                .collect(),
        ),
        Action::Unavailable(why) => {
            ActionView::Unavailable { code: why.code.as_str().to_owned(), message: why.message.to_string() }
        }
    }
}

fn settings(route: &Route) -> Vec<String> {
    let policies = &route.policies;
    let timeout = policies.request_timeout.map(|it| format!("request-timeout {}", humantime::format_duration(it)));
    let body = policies.max_body_size.map(|size| format!("max-body-size {size}"));
    let redirect = policies.https_redirect.map(|it| format!("https-redirect to port {}", it.port));
    let hsts = policies.strict_transport_security.map(|it| format!("strict-transport-security {}", it.max_age));
    [timeout, body, redirect, hsts].into_iter().flatten().collect()
}

pub(super) fn upstream(cell: &UpstreamCell) -> UpstreamView {
    let upstream = &cell.upstream;
    let protocol = match upstream.protocol {
        Protocol::Http1 => "http/1.1",
        Protocol::H2c => "h2c",
        Protocol::Https => "https",
        Protocol::Https1 => "https (http/1.1)",
    };
    let balance = match upstream.balance {
        Balance::LeastRequest => "least-request",
        Balance::RoundRobin => "round-robin",
    };
    let resolved_from = match &upstream.source {
        EndpointSource::Compiled => String::new(),
        EndpointSource::Dns { name, port } => format!("{name}:{port}"),
    };
    UpstreamView {
        name: upstream.name.to_string(),
        protocol: protocol.to_owned(),
        server_name: upstream.tls.as_ref().map(|tls| tls.server_name.to_string()).unwrap_or_default(),
        verified: upstream.tls.as_ref().is_none_or(|tls| tls.verify),
        balance: balance.to_owned(),
        resolved_from,
        endpoints: cell.endpoints.load().endpoints().iter().map(|endpoint| endpoint.address.to_string()).collect(),
    }
}

pub(super) fn certificate(certificate: &Certificate) -> CertificateView {
    CertificateView {
        name: certificate.name.to_string(),
        names: certificate.dns_names.iter().map(ToString::to_string).collect(),
        fingerprint: certificate.fingerprint.to_string(),
        not_before: moment(certificate.not_before),
        not_after: moment(certificate.not_after),
    }
}
