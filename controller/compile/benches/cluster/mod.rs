//! A cluster of any size, as objects that came from an API server and were trimmed.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use portico_compile::{AnyObject, Object, Slice};
use portico_shared::{Kind, ObjectRef};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Ingresses for one Service.
pub(crate) const INGRESSES_PER_SERVICE: usize = 5;
/// Endpoints of one Service.
pub(crate) const ENDPOINTS: usize = 25;

/// An Ingress of two hosts with two paths each. With `clash` all have one host, and every path is asked for twice.
pub(crate) fn ingress(number: usize, clash: bool) -> AnyObject {
    let name = format!("app-{number:05}");
    let service = format!("service-{:04}", number / INGRESSES_PER_SERVICE);
    let backend = json!({ "service": { "name": service, "port": { "name": "http" } } });
    let path = |path: String| json!({ "path": path, "pathType": "Prefix", "backend": backend });
    let rule = |host: usize| {
        if clash {
            let path = |half| path(format!("/{}/{half}", number / 2));
            json!({ "host": "shared.example.com", "http": { "paths": [path(2 * host), path(2 * host + 1)] } })
        } else {
            let paths = [path("/".to_owned()), path("/api".to_owned())];
            json!({ "host": format!("{name}-{host}.example.com"), "http": { "paths": paths } })
        }
    };
    let created = format!("2026-11-20T10:{:02}:{:02}Z", number / 60 % 60, number % 60);
    let mut object = object::<Ingress>(
        Kind::Ingress,
        &name,
        number,
        &json!({
            "metadata": { "uid": uid(number), "creationTimestamp": created },
            "spec": { "ingressClassName": "portico", "rules": [rule(0), rule(1)] },
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
    let name = format!("service-{number:04}");
    let address = format!("10.96.{}.{}", number / 256, number % 256);
    let port = json!({ "name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080 });
    AnyObject::Service(object::<Service>(
        Kind::Service,
        &name,
        number * INGRESSES_PER_SERVICE,
        &json!({
            "metadata": { "uid": uid(number) },
            "spec": {
                "clusterIP": address, "clusterIPs": [address], "type": "ClusterIP", "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                "ports": [port], "selector": { "app": name },
            },
        }),
    ))
}

/// The endpoints of a Service.
pub(crate) fn slice(number: usize) -> AnyObject {
    let service = format!("service-{number:04}");
    let endpoint = |at: usize| {
        json!({
            "addresses": [format!("10.{}.{}.{at}", 1 + number / 256, number % 256)],
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "targetRef": { "uid": uid(number * ENDPOINTS + at) },
        })
    };
    let Object { reference, value, spans } = Arc::unwrap_or_clone(object::<EndpointSlice>(
        Kind::EndpointSlice,
        &format!("{service}-{:05}", number * 7919 % 99_991),
        number * INGRESSES_PER_SERVICE,
        &json!({
            "metadata": { "labels": { "kubernetes.io/service-name": service } },
            "addressType": "IPv4",
            "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
            "endpoints": (0..ENDPOINTS).map(endpoint).collect::<Vec<_>>(),
        }),
    ));
    AnyObject::EndpointSlice(Arc::new(Object { reference, value: Slice::new(value), spans }))
}

fn uid(number: usize) -> String {
    format!("6ba7b810-9dad-11d1-80b4-{number:012}")
}

fn object<T: DeserializeOwned>(kind: Kind, name: &str, number: usize, value: &Value) -> Arc<Object<T>> {
    // Ten namespaces; what belongs to one Service is in one of them.
    let namespace = format!("team-{}", number / INGRESSES_PER_SERVICE % 10);
    let mut value = value.clone();
    value["metadata"]["name"] = name.into();
    value["metadata"]["namespace"] = namespace.as_str().into();
    // From text, as it comes: a tree of values would leave its own capacities behind.
    let value = serde_json::from_str(&value.to_string()).expect("objects of this bench are well formed");
    Arc::new(Object { reference: ObjectRef::new(kind, &namespace, name), value, spans: None })
}
