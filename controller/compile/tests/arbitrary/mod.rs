//! Snapshots of any kind: few names, so that they meet; values that make sense beside values that do not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use portico_compile::{AnyObject, DefaultBackend, HostOwnership, Key, Object, Options, Slice};
use portico_shared::{Kind, ObjectRef};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Time of every snapshot, seconds since 1970.
pub(crate) const NOW: i64 = 1_795_219_200;

/// Text that stands in Secrets only.
pub(crate) const CANARY: &str = "hunter2-canary";

/// A usable certificate's key, as it must never show.
pub(crate) static KEY: LazyLock<CanaryKey> = LazyLock::new(|| {
    let names = ["foo.com", "*.foo.com", "a.foo.com"].map(str::to_owned).to_vec();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let pem = made.signing_key.serialize_pem();
    let line = pem.lines().nth(1).unwrap().to_owned();
    CanaryKey { certificate: made.cert.pem(), pem, line, der: made.signing_key.serialize_der() }
});

/// A certificate with its key in the forms it could leak in.
pub(crate) struct CanaryKey {
    pub(crate) certificate: String,
    pub(crate) pem: String,
    pub(crate) line: String,
    pub(crate) der: Vec<u8>,
}

/// Any object.
pub(crate) fn object() -> impl Strategy<Value = AnyObject> {
    prop_oneof![5 => ingress(), 1 => class(), 3 => service(), 3 => slice(), 2 => secret()]
}

/// Objects, each identity once.
pub(crate) fn objects() -> impl Strategy<Value = Vec<AnyObject>> {
    vec(object(), 0..24).prop_map(|objects| {
        let mut seen = BTreeSet::new();
        objects.into_iter().filter(|object| seen.insert(object.reference().clone())).collect()
    })
}

/// An Ingress and its Service that is verified against the authorities of Secret `shop/web`.
pub(crate) fn verified_upstream() -> [AnyObject; 2] {
    let backend = json!({ "service": { "name": "verified", "port": { "number": 443 } } });
    let ingress = json!({ "spec": { "defaultBackend": backend } });
    let annotations = json!({ "portico.dev/upstream-protocol": "https", "portico.dev/upstream-ca": "web" });
    let service = json!({ "metadata": { "annotations": annotations }, "spec": { "ports": [{ "port": 443 }] } });
    [
        AnyObject::Ingress(read::<Ingress>(Kind::Ingress, "shop", "verified", ingress)),
        AnyObject::Service(read::<Service>(Kind::Service, "shop", "verified", service)),
    ]
}

/// Options that bear on what the passes do.
pub(crate) fn options() -> impl Strategy<Value = Options> {
    let backend = (namespace(), name(), option::of(select(vec![80, 81])))
        .prop_map(|(namespace, name, port)| DefaultBackend { service: Key::new(namespace, name), port });
    let caps = (option::weighted(0.3, 1..12_usize), option::weighted(0.3, 1..3_usize));
    let secret = option::of((namespace(), name()));
    (any::<[bool; 6]>(), option::of(backend), secret, caps).prop_map(
        |(flags, backend, secret, (rules, certificates))| Options {
            serve_without_class: flags[0],
            https_redirect: flags[1],
            host_ownership: if flags[2] { HostOwnership::Namespace } else { HostOwnership::Shared },
            external_name_unguarded: flags[3],
            local_endpoints: flags[4],
            rules_per_namespace: rules,
            certificates_per_namespace: certificates,
            zone: flags[5].then(|| "a".to_owned()),
            default_backend_service: backend,
            default_tls_secret: secret.map(|(namespace, name)| Key::new(namespace, name)),
            ..Options::default()
        },
    )
}

/// An object that is what `value` says; metadata is added.
fn read<T: DeserializeOwned>(kind: Kind, namespace: &str, name: &str, mut value: Value) -> Arc<Object<T>> {
    value["metadata"]["name"] = name.into();
    value["metadata"]["namespace"] = namespace.into();
    let value = serde_json::from_value(value).unwrap();
    Arc::new(Object { reference: ObjectRef::new(kind, namespace, name), value, spans: None })
}

fn namespace() -> impl Strategy<Value = &'static str> {
    select(vec!["shop", "blog"])
}

fn name() -> impl Strategy<Value = &'static str> {
    select(vec!["web", "api", "old"])
}

fn text(known: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![9 => select(known.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn host() -> impl Strategy<Value = String> {
    text(&["", "foo.com", "foo.com", "*.foo.com", "a.foo.com", "b.com", "FOO.com.", "*", "1.2.3.4", "a b"])
}

fn ingress() -> impl Strategy<Value = AnyObject> {
    let created = option::of(select(vec!["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]));
    let class = option::weighted(0.2, text(&["portico", "edge", "nginx", ""]));
    let tls = (option::of(vec(host(), 0..3)), option::of(text(&["web", "api", "gone", "other/web", ""])));
    let tls = tls.prop_map(|(hosts, secret)| json!({ "hosts": hosts, "secretName": secret }));
    let rule = (option::of(host()), option::weighted(0.9, vec(path(), 0..4)))
        .prop_map(|(host, paths)| json!({ "host": host, "http": paths.map(|paths| json!({ "paths": paths })) }));
    let spec = (class, option::weighted(0.3, backend()), vec(tls, 0..2), option::weighted(0.9, vec(rule, 0..4))).prop_map(
        |(class, backend, tls, rules)| {
            json!({ "ingressClassName": class, "defaultBackend": backend, "tls": tls, "rules": rules })
        },
    );
    let annotations = annotations(&[
        ("request-timeout", &["30s", "2m", "soon"]),
        ("max-body-size", &["1m", "0", "much"]),
        ("https-redirect", &["true", "false", "sure"]),
        ("upstream-ca", &["web"]),
        ("odd", &["x"]),
    ]);
    (namespace(), name(), created, annotations, option::weighted(0.95, spec)).prop_map(
        |(namespace, name, created, annotations, spec)| {
            let metadata = json!({ "creationTimestamp": created, "annotations": annotations });
            let value =
                json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec });
            AnyObject::Ingress(read::<Ingress>(Kind::Ingress, namespace, name, value))
        },
    )
}

fn path() -> impl Strategy<Value = Value> {
    let kind = text(&["Prefix", "Prefix", "Exact", "ImplementationSpecific", ""]);
    let path = option::weighted(0.9, text(&["/", "/a", "/a/", "/a/b", "/%61", "//", "/a//", "", "a", "/..", "/x(.*)"]));
    (kind, path, backend())
        .prop_map(|(kind, path, backend)| json!({ "pathType": kind, "path": path, "backend": backend }))
}

fn backend() -> impl Strategy<Value = Value> {
    let number = option::of(select(vec![80, 81, 0, -1, 70_000]));
    let service = (text(&["web", "api", "gone", ""]), number, option::weighted(0.2, text(&["http", ""])));
    let service =
        service.prop_map(|(name, number, port)| json!({ "name": name, "port": { "number": number, "name": port } }));
    let resource = json!({ "kind": "Bucket", "name": "static" });
    (option::weighted(0.95, service), option::weighted(0.05, Just(resource)))
        .prop_map(|(service, resource)| json!({ "service": service, "resource": resource }))
}

fn annotations(
    words: &'static [(&'static str, &'static [&'static str])],
) -> impl Strategy<Value = BTreeMap<String, String>> {
    let pair =
        select(words.to_vec()).prop_flat_map(|(word, values)| (Just(format!("portico.dev/{word}")), text(values)));
    vec(pair, 0..4).prop_map(|pairs| pairs.into_iter().collect())
}

fn class() -> impl Strategy<Value = AnyObject> {
    (
        select(vec!["portico", "edge"]),
        select(vec!["portico.dev/ingress-controller", "example.com/other"]),
        any::<bool>(),
    )
        .prop_map(|(name, controller, default)| {
            let annotations = json!({ "ingressclass.kubernetes.io/is-default-class": default.to_string() });
            let value = json!({ "metadata": { "annotations": annotations }, "spec": { "controller": controller } });
            AnyObject::IngressClass(read::<IngressClass>(Kind::IngressClass, "", name, value))
        })
}

fn service() -> impl Strategy<Value = AnyObject> {
    let port = (
        select(vec![80, 80, 81, 0, -5]),
        option::of(text(&["http", "grpc", ""])),
        option::weighted(0.2, text(&["TCP", "UDP"])),
        option::weighted(0.3, text(&["http", "https", "kubernetes.io/h2c"])),
        option::of(prop_oneof![Just(json!(8080)), Just(json!("http")), Just(json!(-1))]),
    );
    let port = port.prop_map(|(port, name, protocol, app, target)| {
        json!({ "port": port, "name": name, "protocol": protocol, "appProtocol": app, "targetPort": target })
    });
    let external = text(&["api.example.com", "localhost", "web.blog.svc", "127.0.0.1", "203.0.113.7", ""]);
    let spec = (
        option::weighted(0.3, Just("ExternalName")),
        option::of(external),
        option::of(text(&["10.96.0.1", "None", "fd00::1"])),
        vec(select(vec!["IPv4", "IPv6"]), 0..2),
        option::weighted(0.9, vec(port, 0..3)),
    );
    let spec = spec.prop_map(|(kind, external, address, families, ports)| {
        json!({ "type": kind, "externalName": external, "clusterIP": address, "ipFamilies": families, "ports": ports })
    });
    let annotations = annotations(&[
        ("upstream-protocol", &["https", "https", "wss", "h2c", "odd"]),
        ("upstream-ca", &["web", "api", "gone"]),
        ("upstream-name", &["x.example", "a b"]),
        ("upstream-verify", &["off", "on", "false"]),
        ("service-upstream", &["true", "false"]),
        ("request-timeout", &["1s"]),
    ]);
    (namespace(), name(), annotations, option::weighted(0.95, spec)).prop_map(|(namespace, name, annotations, spec)| {
        let value = json!({ "metadata": { "annotations": annotations }, "spec": spec });
        AnyObject::Service(read::<Service>(Kind::Service, namespace, name, value))
    })
}

fn slice() -> impl Strategy<Value = AnyObject> {
    let condition = || option::of(any::<bool>());
    let address = text(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "127.0.0.1", "0.0.0.0", "x"]);
    let endpoint = (
        vec(address, 0..2),
        (condition(), condition(), condition()),
        option::of(select(vec!["u1", "u2"])),
        option::of(vec(select(vec!["a", "b"]), 0..2)),
    );
    let endpoint = endpoint.prop_map(|(addresses, (ready, serving, terminating), uid, zones)| {
        let zones = zones.map(|zones| zones.into_iter().map(|zone| json!({ "name": zone })).collect::<Vec<_>>());
        json!({
            "addresses": addresses,
            "conditions": { "ready": ready, "serving": serving, "terminating": terminating },
            "targetRef": { "uid": uid },
            "hints": { "forZones": zones },
        })
    });
    let port = (option::of(text(&["http", "grpc", ""])), option::of(select(vec![8080, 8081, 0, -1, 70_000])));
    let port = port.prop_map(|(name, port)| json!({ "name": name, "port": port }));
    let family = text(&["IPv4", "IPv4", "IPv6", "FQDN", ""]);
    (namespace(), name(), 0..3, family, option::of(vec(port, 0..3)), vec(endpoint, 0..4)).prop_map(
        |(namespace, service, number, family, ports, endpoints)| {
            let labels = json!({ "kubernetes.io/service-name": service });
            let value = json!({
                "metadata": { "labels": labels },
                "addressType": family,
                "ports": ports,
                "endpoints": endpoints,
            });
            let name = format!("{service}-{number}");
            let slice = read::<EndpointSlice>(Kind::EndpointSlice, namespace, &name, value);
            let Object { reference, value, spans } = Arc::unwrap_or_clone(slice);
            AnyObject::EndpointSlice(Arc::new(Object { reference, value: Slice::new(value), spans }))
        },
    )
}

fn secret() -> impl Strategy<Value = AnyObject> {
    let certificate = select(vec![KEY.certificate.clone(), CANARY.to_owned()]);
    let key = select(vec![KEY.pem.clone(), CANARY.to_owned(), format!("{}{CANARY}", KEY.pem)]);
    let authorities =
        select(vec![KEY.certificate.clone(), format!("{}{}", KEY.pem, KEY.certificate), CANARY.to_owned()]);
    let data = (option::of(certificate), option::of(key), option::of(authorities));
    (namespace(), name(), data).prop_map(|(namespace, name, (certificate, key, authorities))| {
        let data = [("tls.crt", certificate), ("tls.key", key), ("ca.crt", authorities)];
        let data = data.into_iter().filter_map(|(key, text)| Some((key.to_owned(), ByteString(text?.into_bytes()))));
        let secret = read::<Secret>(Kind::Secret, namespace, name, json!({}));
        let value = Secret { data: Some(data.collect()), ..secret.value.clone() };
        AnyObject::Secret(Arc::new(Object { reference: secret.reference.clone(), value, spans: None }))
    })
}
