//! A cluster of any size, as objects that came from an API server and were trimmed: each Ingress has two hosts of two
//! paths each and a Service of ten endpoints, and every fourth has TLS.

use std::sync::{Arc, LazyLock};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use portico_compile::{AnyObject, Object, Options, Slice, Snapshot};
use portico_shared::{Kind, ObjectRef};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Endpoints of one Service.
pub(crate) const ENDPOINTS: usize = 10;
/// Of so many Ingresses one has TLS.
pub(crate) const TLS: usize = 4;

/// All objects of so many Ingresses.
pub(crate) fn objects(count: usize, clash: bool) -> impl Iterator<Item = AnyObject> {
    let ingresses = (0..count).map(move |number| ingress(number, clash, 0));
    let secrets = (0..count).step_by(TLS).map(|number| secret(number, 0));
    ingresses.chain((0..count).map(service)).chain((0..count).map(|number| slice(number, 0))).chain(secrets)
}

/// The same as a snapshot.
pub(crate) fn snapshot(count: usize, clash: bool) -> Snapshot {
    Snapshot::from_objects(objects(count, clash), Arc::new(Options::default()), 1_795_219_200)
}

/// An Ingress; its second path differs from one version to the next. With `clash` all have one host, and every path is
/// asked for twice.
pub(crate) fn ingress(number: usize, clash: bool, version: usize) -> AnyObject {
    let name = name(number);
    let backend = json!({ "service": { "name": name, "port": { "name": "http" } } });
    let path = |path: String| json!({ "path": path, "pathType": "Prefix", "backend": backend });
    let rule = |half: usize| {
        if clash {
            let path = |side| path(format!("/{}/{side}", number / 2));
            json!({ "host": "shared.example.com", "http": { "paths": [path(2 * half), path(2 * half + 1)] } })
        } else {
            let paths = [path("/".to_owned()), path(format!("/api/v{version}"))];
            json!({ "host": host(number, half), "http": { "paths": paths } })
        }
    };
    let tls = [json!({ "hosts": [host(number, 0), host(number, 1)], "secretName": name })];
    let tls = &tls[..usize::from(!clash && number.is_multiple_of(TLS))];
    let created = format!("2026-11-20T10:{:02}:{:02}Z", number / 60 % 60, number % 60);
    let mut object = object::<Ingress>(
        Kind::Ingress,
        &name,
        number,
        &json!({
            "metadata": { "uid": uid(number), "creationTimestamp": created },
            "spec": { "ingressClassName": "portico", "rules": [rule(0), rule(1)], "tls": tls },
        }),
    );
    // As the source does.
    let spec = Arc::get_mut(&mut object).and_then(|object| object.value.spec.as_mut());
    for rules in spec.and_then(|spec| spec.rules.as_mut()).into_iter() {
        rules.shrink_to_fit();
        rules.iter_mut().filter_map(|rule| rule.http.as_mut()).for_each(|http| http.paths.shrink_to_fit());
    }
    AnyObject::Ingress(object)
}

/// A Service of one port.
pub(crate) fn service(number: usize) -> AnyObject {
    let address = format!("10.96.{}.{}", number / 256, number % 256);
    let port = json!({ "name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080 });
    AnyObject::Service(object::<Service>(
        Kind::Service,
        &name(number),
        number,
        &json!({
            "metadata": { "uid": uid(number) },
            "spec": {
                "clusterIP": address, "clusterIPs": [address], "type": "ClusterIP", "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                "ports": [port], "selector": { "app": name(number) },
            },
        }),
    ))
}

/// The endpoints of a Service; one address differs from one version to the next.
pub(crate) fn slice(number: usize, version: usize) -> AnyObject {
    let service = name(number);
    let endpoint = |at: usize| {
        let last = if at == 0 { 100 + version % 100 } else { at };
        json!({
            "addresses": [format!("10.{}.{}.{last}", 1 + number / 256, number % 256)],
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "targetRef": { "uid": uid(number * ENDPOINTS + at) },
        })
    };
    let Object { reference, value, spans } = Arc::unwrap_or_clone(object::<EndpointSlice>(
        Kind::EndpointSlice,
        &format!("{service}-{:05}", number * 7919 % 99_991),
        number,
        &json!({
            "metadata": { "labels": { "kubernetes.io/service-name": service } },
            "addressType": "IPv4",
            "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
            "endpoints": (0..ENDPOINTS).map(endpoint).collect::<Vec<_>>(),
        }),
    ));
    AnyObject::EndpointSlice(Arc::new(Object { reference, value: Slice::new(value), spans }))
}

/// The certificate of an Ingress with TLS. All have the same key and names, in one of two versions.
pub(crate) fn secret(number: usize, version: usize) -> AnyObject {
    static MADE: LazyLock<[[ByteString; 2]; 2]> = LazyLock::new(|| {
        [0, 1].map(|_| {
            let names = vec!["*.example.com".to_owned()];
            let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
            [made.cert.pem(), made.signing_key.serialize_pem()].map(|pem| ByteString(pem.into_bytes()))
        })
    });
    let [certificate, key] = MADE[version % 2].clone();
    let mut object = object::<Secret>(Kind::Secret, &name(number), number, &json!({ "type": "kubernetes.io/tls" }));
    if let Some(object) = Arc::get_mut(&mut object) {
        object.value.data = Some([("tls.crt".to_owned(), certificate), ("tls.key".to_owned(), key)].into());
    }
    AnyObject::Secret(object)
}

/// An Ingress, its Service and the endpoints as people write them.
pub(crate) fn text(number: usize) -> String {
    let name = name(number);
    let path = |path: &str| {
        format!(
            "      - path: {path}\n        pathType: Prefix\n        backend:\n          service:\n            name: {name}\n\
             \x20           port:\n              name: http\n"
        )
    };
    let rule =
        |half| format!("  - host: {}\n    http:\n      paths:\n{}{}", host(number, half), path("/"), path("/api/v0"));
    let endpoint =
        |at| format!("- addresses:\n  - 10.{}.{}.{at}\n  conditions:\n    ready: true\n", number / 256, number % 256);
    let endpoints: String = (0..ENDPOINTS).map(endpoint).collect();
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  labels:\n    app: {name}\nspec:\n\
         \x20 ingressClassName: portico\n  rules:\n{}{}---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n\
         spec:\n  selector:\n    app: {name}\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}-1\n  labels:\n    \
         kubernetes.io/service-name: {name}\naddressType: IPv4\nports:\n- name: http\n  port: 8080\nendpoints:\n{endpoints}",
        rule(0),
        rule(1)
    )
}

fn name(number: usize) -> String {
    format!("app-{number:05}")
}

fn host(number: usize, half: usize) -> String {
    format!("{}-{half}.example.com", name(number))
}

fn uid(number: usize) -> String {
    format!("6ba7b810-9dad-11d1-80b4-{number:012}")
}

fn object<T: DeserializeOwned>(kind: Kind, name: &str, number: usize, value: &Value) -> Arc<Object<T>> {
    // Ten namespaces.
    let namespace = format!("team-{}", number % 10);
    let mut value = value.clone();
    value["metadata"]["name"] = name.into();
    value["metadata"]["namespace"] = namespace.as_str().into();
    // From text, as it comes: a tree of values would leave its own capacities behind.
    let value = serde_json::from_str(&value.to_string()).expect("objects of this bench are well formed");
    Arc::new(Object { reference: ObjectRef::new(kind, &namespace, name), value, spans: None })
}
