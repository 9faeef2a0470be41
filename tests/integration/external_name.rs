//! Services that are only a name: resolved, guarded, followed when the name moves.

use portico_tests::client::get;
use portico_tests::dns::Dns;
use portico_tests::{Echo, Ingress, Portico, Service};
use serde_json::json;

use crate::portico;

/// An ExternalName Service `web` for the host `a.test` on this port.
fn documents(name: &str, port: u16) -> [String; 2] {
    let service = Service::new("web")
        .spec("type", json!("ExternalName"))
        .spec("externalName", json!(name))
        .ports(json!([{"port": port}]));
    [Ingress::new("web").host("a.test", &format!("web:{port}")).to_string(), service.to_string()]
}

async fn serve(dns: &Dns, name: &str, port: u16, flags: &[&str]) -> Portico {
    let resolver = dns.address.to_string();
    portico().manifests(documents(name, port)).args(&["--resolver", &resolver]).args(flags).start().await
}

#[tokio::test]
async fn the_name_is_resolved_and_followed() {
    let (dns, first) = (Dns::start().await, Echo::start("first").await);
    let port = first.address.port();
    let second = Echo::start_on("second", &format!("127.0.0.2:{port}")).await;
    dns.set("web.example.com", &["127.0.0.1".parse().unwrap()]);
    let portico = serve(&dns, "web.example.com", port, &["--allow-local-external-names"]).await;
    let answer = portico.answers("a.test", "/", "first").await;
    assert_eq!(answer.received_header("host").as_deref(), Some("a.test"));
    dns.set("web.example.com", &[second.address.ip()]);
    portico.answers("a.test", "/", "second").await;
}

#[tokio::test]
async fn a_service_without_ports_takes_the_number_given() {
    let (dns, echo) = (Dns::start().await, Echo::start("web").await);
    dns.set("web.example.com", &[echo.address.ip()]);
    let port = echo.address.port();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"type": "ExternalName", "externalName": "web.example.com"},
    });
    let ingress = Ingress::new("web").host("a.test", &format!("web:{port}"));
    let portico = portico()
        .manifests([ingress.to_string(), service.to_string()])
        .args(&["--resolver", &dns.address.to_string(), "--allow-local-external-names"])
        .start()
        .await;
    portico.answers("a.test", "/", "web").await;
}

/// A name that leads to a local address is not connected to, however it is written.
#[tokio::test]
async fn local_addresses_behind_a_name_are_refused() {
    let (dns, echo) = (Dns::start().await, Echo::start("web").await);
    dns.set("rebound.example.com", &["127.0.0.1".parse().unwrap(), "::ffff:127.0.0.1".parse().unwrap()]);
    dns.set("metadata.example.com", &["169.254.169.254".parse().unwrap()]);
    for name in ["rebound.example.com", "metadata.example.com", "absent.example.com"] {
        let portico = serve(&dns, name, echo.address.port(), &[]).await;
        let answer = get(portico.http(), "a.test", "/").await.unwrap();
        assert_eq!(answer.status, 503, "{name}: {answer}");
    }
    assert_eq!(echo.connections(), 0);
}

#[tokio::test]
async fn names_that_are_refused_by_themselves() {
    let (dns, echo) = (Dns::start().await, Echo::start("web").await);
    for name in ["localhost", "a.localhost", "web.other.svc.cluster.local", "web.other.svc", "127.0.0.1"] {
        let portico = serve(&dns, name, echo.address.port(), &[]).await;
        let answer = get(portico.http(), "a.test", "/").await.unwrap();
        assert_eq!(answer.status, 503, "{name}: {answer}");
        portico.diagnostic("ExternalNameRefused").await;
    }
    assert_eq!(echo.connections(), 0);
}

#[tokio::test]
async fn the_switch_refuses_all() {
    let (dns, echo) = (Dns::start().await, Echo::start("web").await);
    dns.set("web.example.com", &[echo.address.ip()]);
    let portico = serve(&dns, "web.example.com", echo.address.port(), &["--no-external-names"]).await;
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().status, 503);
    portico.diagnostic("ExternalNameRefused").await;
}
