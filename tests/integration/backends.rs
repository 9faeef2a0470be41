//! From a backend as it is written to the Service port behind it.

use portico_tests::client::get;
use portico_tests::manifest::{self, Path::P};
use portico_tests::{Echo, Ingress, Portico, Service, endpoints};
use serde_json::json;

use crate::portico;
use crate::site::{Site, one};

/// The answer must be 503 with `Retry-After`, and a diagnostic of this code must say why.
async fn unavailable(portico: &Portico, code: &str) {
    let answer = get(portico.http(), "a.test", "/").await.unwrap();
    assert_eq!(answer.status, 503, "{answer}");
    assert!(answer.header("retry-after").is_some(), "{answer}");
    let diagnostic = portico.diagnostic(code).await;
    assert_eq!(diagnostic["object"]["name"], "web", "{diagnostic}");
}

#[tokio::test]
async fn service_missing_is_503_until_it_appears() {
    let echo = Echo::start("web").await;
    let portico = portico().manifests([Ingress::new("web").host("a.test", "web")]).start().await;
    unavailable(&portico, "ServiceNotFound").await;
    portico.write("service.yaml", &Service::new("web").with(&[echo.address]));
    portico.answers("a.test", "/", "web").await;
    assert!(portico.diagnostics().await.is_empty());
    portico.remove("service.yaml");
    portico.answers_status("a.test", "/", 503).await;
}

#[tokio::test]
async fn port_missing_by_number_is_503() {
    let site = Site::new(&["web"]).await;
    // Port 8080 is nobody's; a target port does not count.
    let service = Service::new("other").ports(json!([{"name": "http", "port": 80, "targetPort": 8080}]));
    let ingress = Ingress::new("web").host("a.test", "other:8080").host("b.test", "web");
    let portico = site.serve([ingress.to_string(), service.with(&[site.echoes[0].address])]).await;
    unavailable(&portico, "PortNotFound").await;
    assert_eq!(get(portico.http(), "b.test", "/").await.unwrap().status, 200);
}

#[tokio::test]
async fn port_missing_by_name_is_503() {
    let site = Site::new(&["web"]).await;
    let portico = site.serve([Ingress::new("web").host("a.test", "web:https")]).await;
    unavailable(&portico, "PortNotFound").await;
}

#[tokio::test]
async fn port_by_name_and_by_number() {
    let site = Site::new(&["web"]).await;
    let portico = site.serve([Ingress::new("web").host("a.test", "web:http").host("b.test", "web:80")]).await;
    for host in ["a.test", "b.test"] {
        assert_eq!(get(portico.http(), host, "/").await.unwrap().backend(), Some("web"), "{host}");
    }
}

#[tokio::test]
async fn only_tcp_ports_are_eligible() {
    let site = Site::new(&["web"]).await;
    let service = Service::new("other").ports(json!([{"name": "http", "port": 80, "protocol": "UDP"}]));
    let ingress = Ingress::new("web").host("a.test", "other");
    let portico = site.serve([ingress.to_string(), service.with(&[site.echoes[0].address])]).await;
    unavailable(&portico, "ProtocolUnsupported").await;
}

#[tokio::test]
async fn no_ready_endpoint_is_503_and_heals() {
    let echo = Echo::start("web").await;
    let documents = [Ingress::new("web").host("a.test", "web").to_string(), Service::new("web").to_string()];
    let portico = portico().manifests(documents).start().await;
    let answer = get(portico.http(), "a.test", "/").await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{answer}");
    portico.diagnostic("NoEndpoints").await;
    portico.write("endpoints.yaml", &endpoints("web", &[echo.address]));
    portico.answers("a.test", "/", "web").await;
}

#[tokio::test]
async fn every_type_of_service_is_served_from_its_endpoint_slices() {
    let echo = Echo::start("web").await;
    for (kind, cluster_ip) in
        [("ClusterIP", "10.0.0.1"), ("NodePort", "10.0.0.2"), ("LoadBalancer", "10.0.0.3"), ("ClusterIP", "None")]
    {
        let service = Service::new("web").spec("type", json!(kind)).spec("clusterIP", json!(cluster_ip));
        let documents = [Ingress::new("web").host("a.test", "web").to_string(), service.with(&[echo.address])];
        let portico = portico().manifests(documents).start().await;
        let answer = get(portico.http(), "a.test", "/").await.unwrap();
        assert_eq!(answer.backend(), Some("web"), "{kind} {cluster_ip}: {answer}");
    }
}

#[tokio::test]
async fn headless_takes_the_slices_port() {
    let echo = Echo::start("web").await;
    let service = Service::new("web")
        .spec("clusterIP", json!("None"))
        .ports(json!([{"name": "http", "port": 80, "targetPort": 1}]));
    let documents = [Ingress::new("web").host("a.test", "web").to_string(), service.with(&[echo.address])];
    let portico = portico().manifests(documents).start().await;
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().backend(), Some("web"));
}

#[tokio::test]
async fn service_upstream_uses_the_cluster_address() {
    let echo = Echo::start("web").await;
    let service = Service::new("web")
        .annotation("portico.dev/service-upstream", "true")
        .spec("clusterIP", json!("127.0.0.1"))
        .ports(json!([{"name": "http", "port": echo.address.port()}]));
    let ingress = Ingress::new("web").host("a.test", &format!("web:{}", echo.address.port()));
    let portico = portico().manifests([ingress.to_string(), service.to_string()]).start().await;
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().backend(), Some("web"));
}

#[tokio::test]
async fn resource_backend_keeps_its_route_and_answers_503() {
    let site = Site::new(&["web"]).await;
    let resource = json!({"apiGroup": "k8s.example.com", "kind": "StorageBucket", "name": "icons"});
    let path = json!({"path": "/", "pathType": "Prefix", "backend": {"resource": resource}});
    let ingress = Ingress::new("web").raw_path("a.test", path).path("a.test", P, "/web", "web");
    let portico = site.serve([ingress]).await;
    unavailable(&portico, "ResourceBackendUnsupported").await;
    assert_eq!(get(portico.http(), "a.test", "/web").await.unwrap().backend(), Some("web"));
}

#[tokio::test]
async fn services_of_another_namespace_are_not_seen() {
    let echo = Echo::start("web").await;
    let documents = [
        Ingress::new("web").host("a.test", "web").to_string(),
        Service::new("web").namespace("other").with(&[echo.address]),
    ];
    let portico = portico().manifests(documents).start().await;
    unavailable(&portico, "ServiceNotFound").await;
}

#[tokio::test]
async fn user_written_slices_serve_a_service_without_selector() {
    let echo = Echo::start("web").await;
    let ports = json!([{"name": "http", "port": echo.address.port()}]);
    let list = json!([{"addresses": ["127.0.0.1"], "conditions": {}}]);
    let documents = [
        Ingress::new("web").host("a.test", "web").to_string(),
        Service::new("web").to_string(),
        manifest::slice("default", "web", "by-hand", "IPv4", &ports, &list),
    ];
    let portico = portico().manifests(documents).start().await;
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().backend(), Some("web"));
}

#[tokio::test]
async fn local_endpoints_are_refused_when_asked() {
    let echo = Echo::start("web").await;
    let portico = portico().manifests(one(echo.address)).args(&["--no-local-endpoints"]).start().await;
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().status, 503);
    assert_eq!(echo.connections(), 0);
}
