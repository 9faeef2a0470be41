//! What people read, as golden text.

use serde_json::json;

use super::diagnostics::{diagnostics, tally};
use super::explain::explain;
use super::routes::routes;
use crate::cli::paint::Paint;
use crate::view::diagnostics::DiagnosticView;
use crate::view::explain::ExplainView;
use crate::view::routes::RoutesView;

fn view<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn problem(severity: &str, kind: &str, line: u32) -> DiagnosticView {
    view(json!({
        "severity": severity,
        "code": "ServiceNotFound",
        "object": { "kind": kind, "namespace": "default", "name": "shop" },
        "field": "spec.x",
        "location": { "file": "a.yaml", "line": line, "column": 9 },
        "message": "Service \"cart\" does not exist",
        "hint": "create it",
    }))
}

#[test]
fn a_diagnostic_shows_its_line() {
    let text = diagnostics(&[problem("error", "Ingress", 12)], Paint::PLAIN, |_| Some("  name: cart".to_owned()));
    let expected = "\
error[ServiceNotFound]: Ingress default/shop: spec.x: Service \"cart\" does not exist
  --> a.yaml:12:9
   |
12 |   name: cart
   |         ^
   = hint: create it

";
    assert_eq!(text, expected);
}

#[test]
fn a_secrets_line_is_not_shown() {
    let text = diagnostics(&[problem("error", "Secret", 1)], Paint::PLAIN, |_| Some("tls.key: abc".to_owned()));
    assert!(text.contains(" --> a.yaml:1:9") && !text.contains("abc"), "{text}");
}

#[test]
fn a_diagnostic_of_a_whole_file() {
    let problem = view(json!({ "severity": "warning", "code": "FileUnreadable", "message": "it is not UTF-8 text" }));
    let text = diagnostics(&[problem], Paint::PLAIN, |_| None);
    assert_eq!(text, "warning[FileUnreadable]: it is not UTF-8 text\n\n");
}

#[test]
fn tallies() {
    assert_eq!(tally(&[]), "");
    let all: Vec<_> = ["error", "warning", "warning", "info"].map(|it| problem(it, "Ingress", 1)).into();
    assert_eq!(tally(&all), "1 error, 2 warnings, 1 note");
}

fn route(path: &str, action: &serde_json::Value) -> serde_json::Value {
    json!({
        "name": format!("default/shop:a.test{path}"), "path_type": "Prefix", "path": path, "action": action,
        "origin": { "kind": "Ingress", "namespace": "default", "name": "shop", "field": "spec.rules[0]" },
    })
}

fn table() -> RoutesView {
    let forward = json!({ "forward": [{ "upstream": "default/web:80", "weight": 1 }] });
    let broken = json!({ "unavailable": { "code": "ServiceNotFound", "message": "gone" } });
    let dns = json!({ "forward": [{ "upstream": "default/out:80", "weight": 1 }] });
    let endpoints = ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"];
    view(json!({
        "generation": 1,
        "listeners": [{
            "name": "ingress",
            "hosts": [{
                "host": "a.test", "shown_certificate": "default/tls",
                "routes": [route("/cart", &broken), route("/", &forward)], "fallback": route("/", &dns),
            }],
            "fallback": route("/", &forward),
        }],
        "upstreams": [
            { "name": "default/web:80", "protocol": "http/1.1", "verified": true, "balance": "least-request",
              "endpoints": endpoints },
            { "name": "default/out:80", "protocol": "http/1.1", "verified": true, "balance": "least-request",
              "resolved_from": "out.test:80", "endpoints": [] },
        ],
        "certificates": [],
    }))
}

#[test]
fn the_table() {
    let expected = "\
HOST    PATH        TYPE     INGRESS       UPSTREAM             ENDPOINTS                ENDS
a.test  /cart       Prefix   default/shop  503 ServiceNotFound  -                        default/tls
a.test  /           Prefix   default/shop  default/web:80       192.0.2.1:80 and 2 more  default/tls
a.test  (no match)  default  default/shop  default/out:80       dns out.test:80          default/tls
(any)   (no match)  default  default/shop  default/web:80       192.0.2.1:80 and 2 more  self-signed

4 routes on 1 host, 2 upstreams, 0 certificates
";
    assert_eq!(routes(&table(), Paint::PLAIN), expected.replace("ENDS", "CERTIFICATE"));
    assert_eq!(routes(&RoutesView::default(), Paint::PLAIN), "no routes\n");
}

fn question() -> serde_json::Value {
    json!({
        "generation": 1, "url": "http://a.test/x", "method": "GET", "host": "a.test", "path": "/x",
        "step": "nothing", "served": false,
    })
}

#[test]
fn an_explanation_of_a_route() {
    let mut value = question();
    let forward = json!({ "forward": [{ "upstream": "default/web:80", "weight": 1 }] });
    let extra = json!({
        "url": "https://a.test/x", "step": "route", "virtual_host": "*.test", "served": true,
        "certificate": { "reason": "exact host", "covers": false, "certificate": {
            "name": "default/tls", "names": ["b.test"], "fingerprint": "00", "not_before": "2026", "not_after": "2036",
        } },
        "route": route("/x", &forward),
        "upstreams": [{ "name": "default/web:80", "protocol": "https", "server_name": "web.test", "verified": false,
            "balance": "round-robin", "endpoints": ["192.0.2.1:80", "192.0.2.2:80"] }],
        "beaten": [{ "route": "default/old:a.test/", "by": "a longer path wins",
            "origin": { "kind": "Ingress", "namespace": "default", "name": "old", "field": "spec.rules[1]",
                "place": { "file": "old.yaml", "line": 3, "column": 5 } } }],
    });
    value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let expected = "\
GET https://a.test/x -> default/web:80
  certificate default/tls (exact host)
              valid until 2036, for b.test
              it does not cover this name: clients that verify will refuse it
  host        a.test taken by *.test
  path        /x
  route       Prefix /x of Ingress default/shop
              at spec.rules[0]
  upstream    default/web:80 over https, sent to web.test unverified, round-robin
  endpoints   192.0.2.1:80
              192.0.2.2:80
  beats       default/old:a.test/: a longer path wins
              at old.yaml:3:5 spec.rules[1]
";
    assert_eq!(explain(&view::<ExplainView>(value), Paint::PLAIN), expected);
}

#[test]
fn an_explanation_of_a_miss() {
    let mut value = question();
    value["status"] = json!(404);
    value["reason"] = json!("no rule names this host and there is no default backend");
    let expected = "\
GET http://a.test/x -> 404, no rule names this host and there is no default backend
  host        a.test is named by no rule
  path        /x
";
    assert_eq!(explain(&view::<ExplainView>(value), Paint::PLAIN), expected);
}

#[test]
fn an_explanation_of_a_redirect() {
    let mut value = question();
    value["status"] = json!(308);
    value["redirect"] = json!("https://a.test/x");
    value["reason"] = json!("plain HTTP is redirected to HTTPS");
    let text = explain(&view::<ExplainView>(value), Paint::PLAIN);
    let first = text.lines().next().unwrap();
    assert_eq!(first, "GET http://a.test/x -> 308 https://a.test/x, plain HTTP is redirected to HTTPS");
}
