//! Objects that break rules of the API server: stored before a rule existed, or never validated. Only what is wrong in
//! them is left out, and the report names it.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use portico_compile::{AnyObject, Compiled, Object, Options, Snapshot, compile};
use portico_shared::{Kind, ObjectRef};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An Ingress of this spec beside a Service `web` with port 80.
fn compiled(spec: &Value) -> Compiled {
    let ingress = object::<Ingress>(Kind::Ingress, "web", json!({ "spec": spec }));
    let service = object::<Service>(Kind::Service, "web", json!({ "spec": { "ports": [{ "port": 80 }] } }));
    let objects = [AnyObject::Ingress(ingress), AnyObject::Service(service)];
    compile(&Snapshot::from_objects(objects, Arc::new(Options::default()), 0))
}

fn object<T: DeserializeOwned>(kind: Kind, name: &str, mut value: Value) -> Arc<Object<T>> {
    value["metadata"] = json!({ "name": name, "namespace": "shop" });
    let value = serde_json::from_value(value).unwrap();
    Arc::new(Object { reference: ObjectRef::new(kind, "shop", name), value, spans: None })
}

/// What is said of the Ingress, as `code field`.
fn said(compiled: &Compiled) -> Vec<String> {
    let of_ingress = |d: &&portico_shared::Diagnostic| d.object.as_ref().is_some_and(|o| o.kind == Kind::Ingress);
    compiled.report.diagnostics().iter().filter(of_ingress).map(|d| format!("{} {}", d.code, d.field)).collect()
}

fn web() -> Value {
    json!({ "service": { "name": "web", "port": { "number": 80 } } })
}

#[test]
fn one_bad_part_never_takes_the_others_away() {
    let good =
        json!({ "host": "good.com", "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": web() }] } });
    let path = |path: Value| json!({ "host": "x.com", "http": { "paths": [path] } });
    for (case, rule, expected) in [
        ("address", json!({ "host": "10.0.0.1" }), "ObjectInvalid spec.rules[1].host"),
        ("bare star", json!({ "host": "*" }), "ObjectInvalid spec.rules[1].host"),
        ("port", json!({ "host": "x.com:80" }), "ObjectInvalid spec.rules[1].host"),
        ("no paths", json!({ "host": "x.com", "http": { "paths": [] } }), "ObjectInvalid spec.rules[1].http.paths"),
        (
            "no type",
            path(json!({ "path": "/", "backend": web() })),
            "ObjectInvalid spec.rules[1].http.paths[0].pathType",
        ),
        (
            "odd type",
            path(json!({ "path": "/", "pathType": "Regex", "backend": web() })),
            "ObjectInvalid spec.rules[1].http.paths[0].pathType",
        ),
        (
            "empty path",
            path(json!({ "path": "", "pathType": "Prefix", "backend": web() })),
            "ObjectInvalid spec.rules[1].http.paths[0].path",
        ),
        (
            "no slash",
            path(json!({ "path": "a", "pathType": "Exact", "backend": web() })),
            "ObjectInvalid spec.rules[1].http.paths[0].path",
        ),
        (
            "no backend",
            path(json!({ "path": "/", "pathType": "Prefix", "backend": {} })),
            "ObjectInvalid spec.rules[1].http.paths[0].backend.service",
        ),
        (
            "no port",
            path(json!({ "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "web" } } })),
            "ObjectInvalid spec.rules[1].http.paths[0].backend.service.port",
        ),
        (
            "port twice",
            path(json!({
                "path": "/",
                "pathType": "Prefix",
                "backend": { "service": { "name": "web", "port": { "name": "http", "number": 80 } } },
            })),
            "ObjectInvalid spec.rules[1].http.paths[0].backend.service.port",
        ),
        (
            "port out of range",
            path(json!({
                "path": "/",
                "pathType": "Prefix",
                "backend": { "service": { "name": "web", "port": { "number": 70_000 } } },
            })),
            "PortNotFound spec.rules[1].http.paths[0].backend.service.port.number",
        ),
    ] {
        let compiled = compiled(&json!({ "rules": [good.clone(), rule] }));
        assert_eq!(said(&compiled), [expected], "{case}");
        let routes = compiled.ir.listeners[0].virtual_hosts.iter().flat_map(|host| &host.routes);
        let names: Vec<_> = routes.map(|route| route.name.to_string()).collect();
        assert!(names.contains(&"shop/web:good.com/".to_owned()), "{case}: {names:?}");
        assert_eq!(compiled.served.len(), 1, "{case}");
    }
}

#[test]
fn a_host_whose_paths_are_all_bad_still_exists() {
    let bad = json!({ "path": "a", "pathType": "Prefix", "backend": web() });
    let all = json!({ "path": "/", "pathType": "Prefix", "backend": web() });
    let compiled = compiled(&json!({ "rules": [
        { "host": "a.foo.com", "http": { "paths": [bad] } },
        { "host": "*.foo.com", "http": { "paths": [all] } },
    ] }));
    let hosts: Vec<_> =
        compiled.ir.listeners[0].virtual_hosts.iter().map(|h| (h.pattern.to_string(), h.routes.len())).collect();
    assert_eq!(hosts, [("a.foo.com".to_owned(), 0), ("*.foo.com".to_owned(), 1)]);
}

#[test]
fn an_ingress_without_anything_is_reported() {
    for spec in [json!({}), Value::Null] {
        let compiled = compiled(&spec);
        assert_eq!(said(&compiled), ["ObjectInvalid spec"]);
        assert!(compiled.served.is_empty());
    }
}

#[test]
fn tls_entries_name_secrets_of_their_own_namespace() {
    let rule =
        json!({ "host": "x.com", "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": web() }] } });
    let tls = json!([{ "hosts": ["x.com"], "secretName": "other/x" }, { "hosts": ["a b"], "secretName": "" }]);
    let compiled = compiled(&json!({ "rules": [rule], "tls": tls }));
    assert_eq!(said(&compiled), ["ObjectInvalid spec.tls[0].secretName", "ObjectInvalid spec.tls[1].hosts[0]"]);
    assert_eq!(compiled.served.len(), 1);
}
