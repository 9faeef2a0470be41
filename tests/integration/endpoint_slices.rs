//! From EndpointSlices to the addresses that get requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use portico_tests::client::get;
use portico_tests::manifest::{endpoints, slice};
use portico_tests::{Echo, Ingress, Portico, Service, wait_until};
use serde_json::{Value, json};

use crate::portico;

/// Serves `a.test` from a Service `web` with these slices.
async fn serve(slices: &[String], flags: &[&str]) -> Portico {
    let mut documents = vec![Ingress::new("web").host("a.test", "web").to_string(), Service::new("web").to_string()];
    documents.extend_from_slice(slices);
    portico().manifests(documents).args(flags).start().await
}

/// A slice of `web` for one address.
fn at(name: &str, address: SocketAddr, more: &Value) -> String {
    let mut endpoint = json!({"addresses": [address.ip()]});
    for (key, value) in more.as_object().expect("fields") {
        endpoint[key] = value.clone();
    }
    let ports = json!([{"name": "http", "port": address.port()}]);
    let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
    slice("default", "web", name, family, &ports, &json!([endpoint]))
}

/// How many of 20 requests each backend answered; an error counts under its status.
async fn shares(portico: &Portico) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..20 {
        let answer = get(portico.http(), "a.test", "/").await.unwrap();
        let name = answer.backend().map_or_else(|| answer.status.to_string(), str::to_owned);
        *shares.entry(name).or_default() += 1;
    }
    shares
}

async fn expect(portico: &Portico, names: &[&str]) {
    let shares = shares(portico).await;
    assert_eq!(shares.keys().map(String::as_str).collect::<Vec<_>>(), names, "{shares:?}");
}

/// The endpoints that the process says it uses.
async fn listed(portico: &Portico) -> Vec<Value> {
    let routes = portico.admin("/routes").await.json();
    routes["upstreams"][0]["endpoints"].as_array().expect("an upstream lists its endpoints").clone()
}

#[tokio::test]
async fn all_slices_of_a_service_are_joined_and_ports_differ_between_them() {
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let portico = serve(&[at("x", one.address, &json!({})), at("y", two.address, &json!({}))], &[]).await;
    expect(&portico, &["one", "two"]).await;
}

#[tokio::test]
async fn the_same_address_twice_is_one_endpoint() {
    let one = Echo::start("one").await;
    let portico = serve(&[at("x", one.address, &json!({})), at("y", one.address, &json!({}))], &[]).await;
    assert_eq!(listed(&portico).await.len(), 1);
}

#[tokio::test]
async fn conditions_absent_or_null_mean_ready() {
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let nulls = json!({"conditions": {"ready": null, "serving": null, "terminating": null}});
    let portico = serve(&[at("x", one.address, &json!({})), at("y", two.address, &nulls)], &[]).await;
    expect(&portico, &["one", "two"]).await;
}

#[tokio::test]
async fn only_ready_endpoints_get_requests() {
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let unready = json!({"conditions": {"ready": false}});
    let portico = serve(&[at("x", one.address, &json!({})), at("y", two.address, &unready)], &[]).await;
    expect(&portico, &["one"]).await;
}

#[tokio::test]
async fn terminating_but_serving_endpoints_are_the_last_resort() {
    let (one, two, three) = (Echo::start("one").await, Echo::start("two").await, Echo::start("three").await);
    let ending = json!({"conditions": {"ready": false, "serving": true, "terminating": true}});
    let ended = json!({"conditions": {"ready": false, "serving": false, "terminating": true}});
    let slices = [at("x", one.address, &ending), at("y", two.address, &ended), at("z", three.address, &json!({}))];
    expect(&serve(&slices, &[]).await, &["three"]).await;
    expect(&serve(&slices[..2], &[]).await, &["one"]).await;
}

#[tokio::test]
async fn an_endpoint_that_becomes_terminating_gets_no_new_requests_and_finishes_the_old() {
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let slices = [at("x", one.address, &json!({}))];
    let portico = serve(&slices, &[]).await;
    let address = portico.http();
    let held = tokio::spawn(async move {
        portico_tests::client::Call::get("/held").host("a.test").header("x-echo-hold", "1").to(address).await
    });
    wait_until("the request in flight", async || if one.in_flight() == 1 { Ok(()) } else { Err("none") }).await;
    let ending = json!({"conditions": {"ready": false, "serving": true, "terminating": true}});
    portico.apply([
        Ingress::new("web").host("a.test", "web").to_string(),
        Service::new("web").to_string(),
        at("x", one.address, &ending),
        at("y", two.address, &json!({})),
    ]);
    portico.answers("a.test", "/", "two").await;
    expect(&portico, &["two"]).await;
    one.release();
    let answer = held.await.unwrap().unwrap();
    assert_eq!((answer.status, answer.backend()), (200, Some("one")), "{answer}");
}

#[tokio::test]
async fn of_several_addresses_the_first_counts() {
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let addresses = json!({"addresses": [one.address.ip(), "127.0.0.9"]});
    let portico = serve(&[at("x", one.address, &addresses)], &[]).await;
    expect(&portico, &["one"]).await;
    assert_eq!(two.connections(), 0);
}

#[tokio::test]
async fn ports_are_matched_by_name() {
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let ports = json!([{"name": "admin", "port": two.address.port()}, {"name": "http", "port": one.address.port()}]);
    let portico =
        serve(&[slice("default", "web", "x", "IPv4", &ports, &json!([{"addresses": ["127.0.0.1"]}]))], &[]).await;
    expect(&portico, &["one"]).await;
}

#[tokio::test]
async fn a_port_without_name_matches_a_service_port_without_name() {
    let one = Echo::start("one").await;
    let ports = json!([{"port": one.address.port()}]);
    let documents = [
        Ingress::new("web").host("a.test", "web").to_string(),
        Service::new("web").ports(json!([{"port": 80}])).to_string(),
        slice("default", "web", "x", "IPv4", &ports, &json!([{"addresses": ["127.0.0.1"]}])),
    ];
    let portico = portico().manifests(documents).start().await;
    expect(&portico, &["one"]).await;
}

#[tokio::test]
async fn no_port_in_the_slice_falls_back_to_a_numeric_target_port() {
    let one = Echo::start("one").await;
    let target = json!([{"name": "http", "port": 80, "targetPort": one.address.port()}]);
    for ports in [json!([]), json!([{"name": "http"}])] {
        let documents = [
            Ingress::new("web").host("a.test", "web").to_string(),
            Service::new("web").ports(target.clone()).to_string(),
            slice("default", "web", "x", "IPv4", &ports, &json!([{"addresses": ["127.0.0.1"]}])),
        ];
        let portico = portico().manifests(documents).start().await;
        expect(&portico, &["one"]).await;
    }
}

#[tokio::test]
async fn fqdn_slices_are_ignored() {
    let one = Echo::start("one").await;
    let ports = json!([{"name": "http", "port": one.address.port()}]);
    let fqdn = slice("default", "web", "y", "FQDN", &ports, &json!([{"addresses": ["web.example.com"]}]));
    let portico = serve(&[at("x", one.address, &json!({})), fqdn], &[]).await;
    expect(&portico, &["one"]).await;
    assert_eq!(listed(&portico).await.len(), 1);
}

#[tokio::test]
async fn slices_of_another_namespace_or_service_are_not_joined() {
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let ports = json!([{"name": "http", "port": two.address.port()}]);
    let list = json!([{"addresses": ["127.0.0.1"]}]);
    let portico = serve(
        &[
            at("x", one.address, &json!({})),
            slice("other", "web", "x", "IPv4", &ports, &list),
            slice("default", "web-2", "y", "IPv4", &ports, &list),
        ],
        &[],
    )
    .await;
    expect(&portico, &["one"]).await;
}

#[tokio::test]
async fn a_dual_stack_pod_is_one_endpoint_of_the_preferred_family() {
    let v4 = Echo::start("v4").await;
    let v6 = Echo::start_on("v6", "[::1]:0").await;
    let pod = json!({"targetRef": {"kind": "Pod", "name": "pod", "uid": "1b7c3e52-0000-4000-8000-000000000001"}});
    for (families, winner) in [(["IPv4", "IPv6"], "v4"), (["IPv6", "IPv4"], "v6")] {
        let documents = [
            Ingress::new("web").host("a.test", "web").to_string(),
            Service::new("web").spec("ipFamilies", json!(families)).to_string(),
            at("x", v4.address, &pod),
            at("y", v6.address, &pod),
        ];
        let portico = portico().manifests(documents).start().await;
        expect(&portico, &[winner]).await;
    }
}

#[tokio::test]
async fn ipv6_endpoints() {
    let v6 = Echo::start_on("v6", "[::1]:0").await;
    let portico = serve(&[at("x", v6.address, &json!({}))], &[]).await;
    expect(&portico, &["v6"]).await;
}

#[tokio::test]
async fn zone_hints_hold_when_all_have_them_and_one_is_ours() {
    let (near, far) = (Echo::start("near").await, Echo::start("far").await);
    let zone = |name: &str| json!({"hints": {"forZones": [{"name": name}]}});
    let both = [at("x", near.address, &zone("a")), at("y", far.address, &zone("b"))];
    expect(&serve(&both, &["--zone", "a"]).await, &["near"]).await;
    // Nobody is in zone c, and without a zone nobody is preferred.
    expect(&serve(&both, &["--zone", "c"]).await, &["far", "near"]).await;
    expect(&serve(&both, &[]).await, &["far", "near"]).await;
    let some = [at("x", near.address, &zone("a")), at("y", far.address, &json!({}))];
    expect(&serve(&some, &["--zone", "a"]).await, &["far", "near"]).await;
}

#[tokio::test]
async fn a_change_of_endpoints_takes_effect() {
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let documents = [Ingress::new("web").host("a.test", "web").to_string(), Service::new("web").to_string()];
    let portico = portico().manifests(documents).file("ends.yaml", &endpoints("web", &[one.address])).start().await;
    portico.answers("a.test", "/", "one").await;
    portico.write("ends.yaml", &endpoints("web", &[two.address]));
    portico.answers("a.test", "/", "two").await;
    expect(&portico, &["two"]).await;
}
