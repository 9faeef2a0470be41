//! The 30 scenarios of the Ingress controller conformance suite, against a directory of manifests.
//!
//! Scenario 13 is told here by what the process serves and lists; the status of a foreign Ingress needs a cluster.

use std::collections::HashSet;

use portico_tests::certificate::Authority;
use portico_tests::client::{Call, Tls, get};
use portico_tests::manifest::Path::{E, P};
use portico_tests::{Echo, Ingress, Portico, Service, endpoints, secret};
use serde_json::json;

use crate::portico;
use crate::site::Site;

const AGENT: &str = "Go-http-client/1.1";

/// An Ingress that is nothing but a default backend on Service port 8080.
async fn default_backend(method: &str, host: Option<&str>, path: &str) {
    let echo = Echo::start("echo-service").await;
    let service = Service::new("echo-service").ports(json!([{"name": "http", "port": 8080, "targetPort": 3000}]));
    let ingress = Ingress::new("default-backend").class("portico").default_backend("echo-service:8080");
    let portico = portico().manifests([ingress.to_string(), service.with(&[echo.address])]).start().await;
    let address = portico.http().to_string();
    let call = Call::new(method, path).host(host.unwrap_or(&address)).header("user-agent", AGENT);
    let answer = call.to(portico.http()).await.unwrap();
    assert_eq!((answer.status, answer.backend()), (200, Some("echo-service")), "{answer}");
    assert_eq!(answer.version, http::Version::HTTP_11);
    for field in ["content-length", "content-type", "date", "server"] {
        assert!(answer.header(field).is_some(), "{field} is missing: {answer}");
    }
    assert_eq!(answer.received("method"), method);
    assert_eq!(answer.received("path"), path);
    assert_eq!(answer.received("protocol"), "HTTP/1.1");
    assert_eq!(answer.received_header("user-agent").as_deref(), Some(AGENT));
    assert_eq!(answer.received_header("host").as_deref(), Some(host.unwrap_or(&address)));
}

#[tokio::test]
async fn scenario_01_default_backend_root() {
    default_backend("GET", Some("my-host"), "/").await;
}

#[tokio::test]
async fn scenario_02_default_backend_sub_path() {
    default_backend("GET", Some("my-host"), "/sub-path").await;
}

#[tokio::test]
async fn scenario_03_default_backend_post() {
    default_backend("POST", Some("some-host"), "/").await;
}

#[tokio::test]
async fn scenario_04_default_backend_put_without_host_override() {
    default_backend("PUT", None, "/resource").await;
}

#[tokio::test]
async fn scenario_05_default_backend_delete() {
    default_backend("DELETE", Some("some-host"), "/resource").await;
}

#[tokio::test]
async fn scenario_06_default_backend_patch() {
    default_backend("PATCH", Some("my-host"), "/resource").await;
}

struct HostRules {
    _site: Site,
    portico: Portico,
    authority: Authority,
}

/// `*.foo.com` and `foo.bar.com`, the latter with TLS, backends by port name.
async fn host_rules() -> HostRules {
    let site = Site::new(&["wildcard-foo-com", "foo-bar-com"]).await;
    let authority = Authority::default();
    let ingress = Ingress::new("host-rules")
        .class("portico")
        .tls(&["foo.bar.com"], "conformance-tls")
        .path("*.foo.com", P, "/", "wildcard-foo-com:http")
        .path("foo.bar.com", P, "/", "foo-bar-com:http");
    let certificate = secret("conformance-tls", &authority.issue(&["foo.bar.com"]));
    let portico = site.serve([ingress.to_string(), certificate]).await;
    HostRules { _site: site, portico, authority }
}

async fn expect(portico: &Portico, host: &str, path: &str, backend: Option<&str>) {
    let answer = get(portico.http(), host, path).await.unwrap();
    let status = if backend.is_some() { 200 } else { 404 };
    assert_eq!((answer.status, answer.backend()), (status, backend), "{host}{path}: {answer}");
    if backend.is_some() {
        assert_eq!(answer.received_header("host").as_deref(), Some(host));
        assert_eq!(answer.received("path"), path);
    }
}

#[tokio::test]
async fn scenario_07_host_rules_tls() {
    let it = host_rules().await;
    let call = Call::get("/").host("foo.bar.com");
    // The client trusts the authority only, and only for this name.
    let answer = call.to_tls(it.portico.https(), &Tls::trusting(&it.authority)).await.unwrap();
    assert_eq!((answer.status, answer.backend()), (200, Some("foo-bar-com")), "{answer}");
    assert_eq!(answer.received_header("host").as_deref(), Some("foo.bar.com"));
}

#[tokio::test]
async fn scenario_08_host_rules_plain() {
    expect(&host_rules().await.portico, "foo.bar.com", "/", Some("foo-bar-com")).await;
}

#[tokio::test]
async fn scenario_09_host_rules_other_subdomain() {
    expect(&host_rules().await.portico, "subdomain.bar.com", "/", None).await;
}

#[tokio::test]
async fn scenario_10_host_rules_wildcard() {
    expect(&host_rules().await.portico, "bar.foo.com", "/", Some("wildcard-foo-com")).await;
}

#[tokio::test]
async fn scenario_11_host_rules_wildcard_is_one_label() {
    expect(&host_rules().await.portico, "baz.bar.foo.com", "/", None).await;
}

#[tokio::test]
async fn scenario_12_host_rules_wildcard_is_not_its_suffix() {
    expect(&host_rules().await.portico, "foo.com", "/", None).await;
}

#[tokio::test]
async fn scenario_13_foreign_class() {
    let site = Site::new(&["web"]).await;
    let foreign = Ingress::new("foreign").class("some-invalid-class-name").host("foreign.test", "web");
    let ours = Ingress::new("ours").class("portico").host("ours.test", "web");
    let portico = site.serve([foreign, ours]).await;
    expect(&portico, "ours.test", "/", Some("web")).await;
    expect(&portico, "foreign.test", "/", None).await;
    let routes = portico.admin("/routes").await.text();
    assert!(routes.contains("ours.test") && !routes.contains("foreign"), "{routes}");
}

/// 100 sequential requests, each on a connection of its own, reach all ten backends.
async fn load_balancing(workers: usize) {
    let names: Vec<_> = (0..10).map(|number| format!("pod-{number}")).collect();
    let mut echoes = Vec::new();
    for name in &names {
        echoes.push(Echo::start(name).await);
    }
    let addresses: Vec<_> = echoes.iter().map(|echo| echo.address).collect();
    let ingress = Ingress::new("load-balancing").class("portico").path("load-balancing", P, "/", "echo-service:8080");
    let service = Service::new("echo-service").ports(json!([{"name": "http", "port": 8080, "targetPort": 3000}]));
    let documents = [ingress.to_string(), service.to_string(), endpoints("echo-service", &addresses)];
    let portico = portico().workers(workers).manifests(documents).start().await;
    let mut seen = HashSet::new();
    for _ in 0..100 {
        let answer = get(portico.http(), "load-balancing", "/").await.unwrap();
        assert_eq!(answer.status, 200, "{answer}");
        seen.insert(answer.backend().expect("a backend answers").to_owned());
    }
    assert_eq!(seen, names.into_iter().collect());
}

#[tokio::test]
async fn scenario_14_load_balancing() {
    load_balancing(1).await;
}

#[tokio::test]
async fn scenario_14_load_balancing_with_16_workers() {
    load_balancing(16).await;
}

/// The hosts of the path feature.
async fn path_rules(host: &str, path: &str, backend: Option<&str>) {
    let site = Site::new(&[
        "foo-exact",
        "foo-prefix",
        "aaa-slash-bbb-prefix",
        "aaa-prefix",
        "aaa-slash-bbb-slash-prefix",
        "foo-slash-exact",
    ])
    .await;
    let ingress = Ingress::new("path-rules")
        .class("portico")
        .path("exact-path-rules", E, "/foo", "foo-exact")
        .path("prefix-path-rules", P, "/foo", "foo-prefix")
        .path("prefix-path-rules", P, "/aaa/bbb", "aaa-slash-bbb-prefix")
        .path("prefix-path-rules", P, "/aaa", "aaa-prefix")
        .path("mixed-path-rules", P, "/foo", "foo-prefix")
        .path("mixed-path-rules", E, "/foo", "foo-exact")
        .path("trailing-slash-path-rules", P, "/aaa/bbb/", "aaa-slash-bbb-slash-prefix")
        .path("trailing-slash-path-rules", E, "/foo/", "foo-slash-exact");
    expect(&site.serve([ingress]).await, host, path, backend).await;
}

macro_rules! path_scenarios {
    ($($name:ident: $host:literal $path:literal => $backend:expr;)+) => {
        $(#[tokio::test]
        async fn $name() {
            path_rules($host, $path, $backend).await;
        })+
    };
}

path_scenarios! {
    scenario_15_exact: "exact-path-rules" "/foo" => Some("foo-exact");
    scenario_16_exact_trailing_slash: "exact-path-rules" "/foo/" => None;
    scenario_17_exact_case: "exact-path-rules" "/FOO" => None;
    scenario_18_exact_other: "exact-path-rules" "/bar" => None;
    scenario_19_prefix: "prefix-path-rules" "/foo" => Some("foo-prefix");
    scenario_20_prefix_trailing_slash: "prefix-path-rules" "/foo/" => Some("foo-prefix");
    scenario_21_prefix_case: "prefix-path-rules" "/FOO" => None;
    scenario_22_longest_prefix: "prefix-path-rules" "/aaa/bbb" => Some("aaa-slash-bbb-prefix");
    scenario_23_longest_prefix_below: "prefix-path-rules" "/aaa/bbb/ccc" => Some("aaa-slash-bbb-prefix");
    scenario_24_shorter_prefix: "prefix-path-rules" "/aaa/ccc" => Some("aaa-prefix");
    scenario_25_prefix_by_element: "prefix-path-rules" "/aaaccc" => None;
    scenario_26_prefix_trailing_slash_again: "prefix-path-rules" "/foo/" => Some("foo-prefix");
    scenario_27_exact_beats_prefix: "mixed-path-rules" "/foo" => Some("foo-exact");
    scenario_28_trailing_slash_prefix: "trailing-slash-path-rules" "/aaa/bbb" => Some("aaa-slash-bbb-slash-prefix");
    scenario_29_trailing_slash_prefix_same: "trailing-slash-path-rules" "/aaa/bbb/" => Some("aaa-slash-bbb-slash-prefix");
    scenario_30_trailing_slash_exact: "trailing-slash-path-rules" "/foo" => None;
}
