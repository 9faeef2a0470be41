//! Explanations of requests against manifests, and every view through JSON and back.

use std::sync::Arc;

use portico_compile::{Options, Snapshot, compile, manifest};
use portico_shared::Report;
use portico_shared::table::RoutingTable;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Served;
use super::diagnostics::DiagnosticsView;
use super::explain::{ExplainView, Question, explain};
use super::routes::{ActionView, routes};

struct World {
    table: RoutingTable,
    report: Report,
    snapshot: Snapshot,
}

impl World {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["tls.test".to_owned()]).expect("a name");
        let indent = |pem: &str| pem.trim().replace('\n', "\n    ");
        let certificate = indent(&params.self_signed(&key).expect("signed").pem());
        let text = MANIFESTS.replace("CERTIFICATE", &certificate).replace("KEY", &indent(&key.serialize_pem()));
        let manifest = manifest::parse("world.yaml", &text);
        assert_eq!(manifest.diagnostics, []);
        let snapshot = Snapshot::from_objects(manifest.objects, Arc::new(Options::default()), 1_800_000_000);
        let compiled = compile(&snapshot);
        let endpoints = compiled.endpoints;
        let empty = RoutingTable::empty();
        let table = RoutingTable::build(compiled.ir, &empty, |name| endpoints.get(name).cloned());
        Self { table, report: Arc::unwrap_or_clone(compiled.report), snapshot }
    }

    fn served(&self, live: bool) -> Served<'_> {
        Served { table: &self.table, report: &self.report, snapshot: &self.snapshot, live }
    }

    fn ask(&self, live: bool, method: &str, url: &str, headers: &[&str]) -> ExplainView {
        let question = Question::parse(url, method, headers.iter().copied()).expect("a question");
        explain(&self.served(live), &question)
    }
}

const MANIFESTS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: main}
spec:
  rules:
  - host: a.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: up, port: {number: 80}}}}
      - {path: /x, pathType: Prefix, backend: {service: {name: empty, port: {number: 80}}}}
      - {path: /x, pathType: Exact, backend: {service: {name: up, port: {number: 80}}}}
      - {path: /gone, pathType: Exact, backend: {service: {name: gone, port: {number: 80}}}}
      - {path: /far, pathType: Prefix, backend: {service: {name: far, port: {number: 80}}}}
  - host: b.test
    http:
      paths:
      - {path: /only, pathType: Exact, backend: {service: {name: up, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: tls
  annotations: {portico.dev/https-redirect: "true"}
spec:
  tls: [{hosts: [tls.test], secretName: pair}]
  rules:
  - host: tls.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: up, port: {number: 80}}}}
---
apiVersion: v1
kind: Secret
metadata: {name: pair}
type: kubernetes.io/tls
stringData:
  tls.crt: |
    CERTIFICATE
  tls.key: |
    KEY
---
apiVersion: v1
kind: Service
metadata: {name: up}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: far}
spec: {type: ExternalName, externalName: far.example.com, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: up-1
  labels: {kubernetes.io/service-name: up}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}]
ports: [{port: 80}]
"#;

#[test]
fn requests_that_are_served() {
    let world = World::new();
    for (url, headers, path, route) in [
        ("http://a.test", vec![], "/", "/"),
        ("http://A.TEST.:8080/./x", vec![], "/x", "/x"),
        ("http://a.test/y/../%78y?q=1#f", vec![], "/xy", "/"),
        ("http://other.test/x", vec!["Host: a.test"], "/x", "/x"),
        ("https://tls.test/x", vec![], "/x", "/"),
    ] {
        let view = world.ask(true, "GET", url, &headers);
        assert!(view.served && view.status.is_none(), "{view:?}");
        let found = view.route.expect("a route");
        assert_eq!((view.path.as_str(), found.path.as_str(), view.step.as_str()), (path, route, "route"), "{url}");
        assert_eq!(view.upstreams[0].endpoints, ["10.0.0.1:80"]);
        assert!(found.origin.place.is_some_and(|place| place.file == "world.yaml" && place.line > 5), "{url}");
    }
    let offline = world.ask(false, "GET", "http://a.test/far", &[]);
    assert!(offline.served && offline.reason.contains("only while Portico runs"), "{offline:?}");
}

#[test]
fn requests_that_are_not_served() {
    let world = World::new();
    for (method, url, status, reason) in [
        ("GET", "http://b.test/", 404, "no path of host b.test matches and there is no default backend"),
        ("GET", "http://c.test/", 404, "no rule names this host and there is no default backend"),
        ("GET", "http://a.test/x/y", 503, "default/empty:80 has no ready endpoint"),
        ("GET", "http://a.test/gone", 503, "Service default/gone does not exist"),
        ("GET", "http://a.test/far", 503, "the name behind default/far:80 has no usable address"),
        ("GET", "http://a_-.test/", 400, "the host is not a host name or IP address with an optional port"),
        ("GET", "http://a.test/%00", 400, "path has an escaped control character"),
        ("CONNECT", "http://a.test/", 405, "CONNECT is not proxied"),
        ("GET", "http://tls.test/x?y", 308, "plain HTTP is redirected to HTTPS"),
    ] {
        let view = world.ask(true, method, url, &[]);
        let expected = (false, Some(status), reason);
        assert_eq!((view.served, view.status, view.reason.as_str()), expected, "{method} {url}");
    }
    let redirected = world.ask(true, "GET", "http://tls.test/x?y", &[]);
    assert_eq!(redirected.redirect.as_deref(), Some("https://tls.test/x?y"));
}

#[test]
fn certificates_and_beaten_routes_are_named() {
    let world = World::new();
    let own = world.ask(true, "GET", "https://tls.test/", &[]).certificate.expect("a choice");
    assert_eq!((own.reason.as_str(), own.covers), ("exact host", true));
    assert_eq!(own.certificate.map(|it| it.name).as_deref(), Some("default/pair"));
    let other = world.ask(true, "GET", "https://a.test/", &[]).certificate.expect("a choice");
    assert_eq!((other.reason.as_str(), other.covers, other.certificate), ("self-signed default", false, None));
    assert_eq!(world.ask(true, "GET", "http://a.test/", &[]).certificate, None);

    let beaten = world.ask(true, "GET", "http://a.test/x", &[]).beaten;
    let beaten: Vec<_> = beaten.iter().map(|it| (it.origin.field.as_str(), it.by.as_str())).collect();
    let expected = [
        ("spec.rules[0].http.paths[1]", "an Exact path beats a Prefix"),
        ("spec.rules[0].http.paths[0]", "an Exact path beats a Prefix"),
    ];
    assert_eq!(beaten, expected);
    let missing = world.ask(true, "GET", "http://a.test/gone", &[]);
    assert!(missing.diagnostics.iter().any(|it| it.code == "ServiceNotFound"), "{missing:?}");
    assert!(matches!(missing.route.map(|it| it.action), Some(ActionView::Unavailable { .. })));
}

#[test]
fn questions_that_cannot_be_asked() {
    for (url, method, header) in [
        ("a.test/x", "GET", "a: b"),
        ("/x", "GET", "a: b"),
        ("ftp://a.test/", "GET", "a: b"),
        ("http://a b/", "GET", "a: b"),
        ("http://a.test/", "G T", "a: b"),
        ("http://a.test/", "GET", "a"),
        ("http://a.test/", "GET", "a b: c"),
        ("http://a.test/", "GET", "a: \u{7}"),
    ] {
        assert!(Question::parse(url, method, [header]).is_err(), "{url} {method} {header}");
    }
}

#[test]
fn views_survive_json() {
    fn returns<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(view: &T) {
        let text = serde_json::to_string(view).expect("it can be written");
        assert!(!text.contains("PRIVATE KEY"));
        assert_eq!(&serde_json::from_str::<T>(&text).expect("it can be read"), view, "{text}");
    }
    let world = World::new();
    returns(&routes(&world.served(true)));
    for url in ["https://tls.test/", "http://tls.test/", "http://a.test/x", "http://a.test/gone", "http://c.test/"] {
        returns(&world.ask(true, "GET", url, &[]));
    }
    let told = DiagnosticsView::new(1, &world.report);
    assert!(!told.diagnostics.is_empty());
    returns(&told);
    let own = serde_json::to_value(&world.report).expect("it can be written");
    assert_eq!(serde_json::to_value(&told.diagnostics).expect("it can be written"), own, "the report's own form");
}
