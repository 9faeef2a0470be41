//! How long a compile takes: Ingresses with two hosts of two paths each, a Service and its endpoints for every one.
//!
//! `cargo bench -p portico-compile` prints the best of five runs for growing numbers; the time has to grow with them.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use portico_compile::{AnyObject, Object, Options, Snapshot, compile};
use portico_shared::{Kind, ObjectRef};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[allow(clippy::print_stdout)]
fn main() {
    for (name, clash) in [("own hosts", false), ("one host, every path claimed twice", true)] {
        for count in [100, 1000, 10_000] {
            let objects = (0..count).flat_map(|number| objects(number, clash));
            let snapshot = Snapshot::from_objects(objects, Arc::new(Options::default()), 1_795_219_200);
            let (elapsed, routes, problems) = (0..5).map(|_| measure(&snapshot)).min().expect("five runs");
            println!("{name}: {count} Ingresses, {routes} routes, {problems} diagnostics: {elapsed:?}");
        }
    }
}

fn measure(snapshot: &Snapshot) -> (Duration, usize, usize) {
    let start = Instant::now();
    let compiled = black_box(compile(black_box(snapshot)));
    let elapsed = start.elapsed();
    let routes = compiled.ir.listeners[0].virtual_hosts.iter().map(|host| host.routes.len()).sum();
    (elapsed, routes, compiled.report.diagnostics().len())
}

fn objects(number: usize, clash: bool) -> [AnyObject; 3] {
    let name = format!("app-{number:05}");
    let backend = json!({ "service": { "name": name, "port": { "number": 80 } } });
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
    let labels = json!({ "kubernetes.io/service-name": name });
    let address = format!("10.{}.{}.1", number / 256, number % 256);
    let ingress = json!({ "spec": { "rules": [rule(0), rule(1)] } });
    let service = json!({ "spec": { "ports": [{ "port": 80 }] } });
    let slice = json!({
        "metadata": { "labels": labels },
        "addressType": "IPv4",
        "ports": [{ "port": 8080 }],
        "endpoints": [{ "addresses": [address] }],
    });
    [
        AnyObject::Ingress(object::<Ingress>(Kind::Ingress, &name, ingress)),
        AnyObject::Service(object::<Service>(Kind::Service, &name, service)),
        AnyObject::EndpointSlice(object::<EndpointSlice>(Kind::EndpointSlice, &name, slice)),
    ]
}

fn object<T: DeserializeOwned>(kind: Kind, name: &str, mut value: Value) -> Arc<Object<T>> {
    value["metadata"]["name"] = name.into();
    value["metadata"]["namespace"] = "shop".into();
    let value = serde_json::from_value(value).expect("objects of this bench are well formed");
    Arc::new(Object { reference: ObjectRef::new(kind, "shop", name), value, spans: None })
}
