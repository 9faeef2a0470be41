//! What the API server would refuse is refused here: same rules, with object, field and line, through `portico check`
//! and through a process that serves. What it would not look at is not refused.

use portico_tests::manifest::Path::P;
use portico_tests::{Ingress, Setup};
use serde_json::{Value, json};

use crate::portico;
use crate::site::Site;

/// The diagnostics of `portico check` and its exit code.
pub(crate) fn check(setup: &Setup) -> (Vec<Value>, i32) {
    let output = setup.run(&["check", "DIR", "--format", "json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let answer: Value = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (portico_tests::portico::diagnostics(&answer), output.status.code().expect("it ends by itself"))
}

/// An Ingress with this spec, of which every row is one way to be wrong.
fn ingress(spec: &Value) -> String {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "row"}, "spec": spec})
        .to_string()
}

/// A spec with one rule and one path, with these fields put in place of the good ones; null takes a field away.
fn spec(rule: &Value, path: &Value) -> Value {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let good_path = json!({"path": "/", "pathType": "Prefix", "backend": backend});
    let good_rule = json!({"host": "a.test", "http": {"paths": [replaced(good_path, path)]}});
    json!({"rules": [replaced(good_rule, rule)]})
}

fn replaced(mut value: Value, fields: &Value) -> Value {
    for (key, field) in fields.as_object().expect("fields") {
        if field.is_null() {
            value.as_object_mut().expect("fields").remove(key);
        } else {
            value[key] = field.clone();
        }
    }
    value
}

/// Each spec must be refused at its field, by an error that names the place.
fn refused(rows: &[(&str, Value)]) {
    for (field, spec) in rows {
        let (found, code) = check(&portico().manifests([ingress(spec)]));
        let hit = found.iter().find(|it| it["code"] == "ObjectInvalid" && it["field"] == *field);
        assert!(hit.is_some_and(|it| it["severity"] == "error"), "{field} in {spec}: {found:#?}");
        let location = &hit.expect("found")["location"];
        assert!(location["line"].is_u64() && location["file"].is_string(), "{location}");
        assert_eq!(code, 1, "{spec}");
    }
}

/// Each spec must pass the rules of the API server, whatever else is said about it.
fn accepted(rows: &[Value]) {
    for spec in rows {
        let (found, _) = check(&portico().manifests([ingress(spec)]));
        assert!(found.iter().all(|it| it["code"] != "ObjectInvalid"), "{spec}: {found:#?}");
    }
}

const NONE: fn() -> Value = || json!({});
const PATH: &str = "spec.rules[0].http.paths[0].path";
const TYPE: &str = "spec.rules[0].http.paths[0].pathType";
const BACKEND: &str = "spec.rules[0].http.paths[0].backend";
const HOST: &str = "spec.rules[0].host";

#[test]
fn spec_needs_rules_or_a_default_backend() {
    refused(&[("spec", json!({})), ("spec", json!({"rules": []}))]);
    accepted(&[json!({"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}})]);
}

#[test]
fn rule_host_grammar() {
    let long = format!("{}.test", ["a".repeat(60).as_str(); 5].join("."));
    let hosts =
        ["1.2.3.4", "::1", "Upper.test", "*", "a.*.test", "*a.test", "**.test", "a_b.test", "a.test:80", "-a.test"];
    for host in hosts.into_iter().chain(["a.test.", "a..test", "b\u{fc}cher.test", "*.", "a b", long.as_str()]) {
        refused(&[(HOST, spec(&json!({"host": host}), &NONE()))]);
    }
    for host in ["a", "*.a.test", "xn--bcher-kva.test", "1.test", "a-b.test"] {
        accepted(&[spec(&json!({"host": host}), &NONE())]);
    }
    accepted(&[spec(&json!({"host": null}), &NONE()), spec(&json!({"host": ""}), &NONE())]);
}

#[test]
fn tls_hosts_grammar() {
    let with = |tls: Value| replaced(spec(&NONE(), &NONE()), &json!({"tls": [tls]}));
    refused(&[
        ("spec.tls[0].hosts[0]", with(json!({"hosts": ["Upper.test"]}))),
        ("spec.tls[0].hosts[1]", with(json!({"hosts": ["a.test", "*"]}))),
        ("spec.tls[0].secretName", with(json!({"hosts": ["a.test"], "secretName": "Not_A_Name"}))),
    ]);
    // Looks like an address, passes as a DNS name; an empty secret name means none.
    accepted(&[
        with(json!({"hosts": ["1.2.3.4"]})),
        with(json!({"hosts": ["a.test"], "secretName": ""})),
        with(json!({})),
    ]);
}

#[test]
fn http_needs_paths() {
    refused(&[
        ("spec.rules[0].http.paths", spec(&json!({"http": {"paths": []}}), &NONE())),
        ("spec.rules[0].http.paths", spec(&json!({"http": {}}), &NONE())),
    ]);
    accepted(&[replaced(
        spec(&json!({"http": null}), &NONE()),
        &json!({"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}),
    )]);
}

#[test]
fn path_type_is_required_and_one_of_three() {
    let kinds = [json!(null), json!(""), json!("prefix"), json!("Regex")];
    refused(&kinds.map(|kind| (TYPE, spec(&NONE(), &json!({"pathType": kind})))));
    accepted(&["Exact", "Prefix", "ImplementationSpecific"].map(|kind| spec(&NONE(), &json!({"pathType": kind}))));
}

#[test]
fn exact_and_prefix_paths() {
    for kind in ["Exact", "Prefix"] {
        for path in ["", "x", "x/y", "/a//b", "/a/./b", "/a/../b", "/a%2fb", "/a%2Fb", "/a/.", "/a/.."] {
            refused(&[(PATH, spec(&NONE(), &json!({"path": path, "pathType": kind})))]);
        }
        refused(&[(PATH, spec(&NONE(), &json!({"path": null, "pathType": kind})))]);
        accepted(
            &["/", "/a.b", "/a..b", "/.a", "/a/", "/a%20b"]
                .map(|path| spec(&NONE(), &json!({"path": path, "pathType": kind}))),
        );
    }
}

#[test]
fn implementation_specific_paths_are_empty_or_begin_with_a_slash() {
    let path = |path: Value| spec(&NONE(), &json!({"path": path, "pathType": "ImplementationSpecific"}));
    refused(&[(PATH, path(json!("x")))]);
    accepted(&["", "/a//b", "/a%2fb", "/a(1)"].map(|text| path(json!(text))));
    accepted(&[path(json!(null))]);
    // What no request can match is told, and costs only its own path.
    for odd in ["/(.*)", "/a b;{}", "/a/../../b"] {
        let kind = portico_tests::manifest::Path::I;
        let setup =
            portico().manifests([Ingress::new("row").path("a.test", kind, odd, "web").path("b.test", P, "/", "web")]);
        let (found, _) = check(&setup);
        assert!(found.iter().any(|it| it["field"] == PATH), "{odd}: {found:#?}");
        let routes = String::from_utf8_lossy(&setup.run(&["routes", "DIR"]).stdout).into_owned();
        assert!(routes.contains("b.test"), "{odd}: {routes}");
    }
}

#[test]
fn backend_is_exactly_one_of_service_and_resource() {
    let resource = json!({"apiGroup": "k8s.example.com", "kind": "Bucket", "name": "icons"});
    let service = json!({"name": "web", "port": {"number": 80}});
    let backend = |backend: Value| spec(&NONE(), &json!({"backend": backend}));
    refused(&[
        (BACKEND, backend(json!({}))),
        (BACKEND, backend(json!({"service": service, "resource": resource}))),
        (BACKEND, spec(&NONE(), &json!({"backend": null}))),
        (
            &format!("{BACKEND}.service.name"),
            backend(json!({"service": {"name": "Not_A_Name", "port": {"number": 80}}})),
        ),
        (&format!("{BACKEND}.service.name"), backend(json!({"service": {"port": {"number": 80}}}))),
        (BACKEND, backend(json!({"service": {"name": "web"}}))),
        (BACKEND, backend(json!({"service": {"name": "web", "port": {}}}))),
        (BACKEND, backend(json!({"service": {"name": "web", "port": {"number": 80, "name": "http"}}}))),
        (
            &format!("{BACKEND}.service.port.number"),
            backend(json!({"service": {"name": "web", "port": {"number": 65536}}})),
        ),
        (
            &format!("{BACKEND}.service.port.name"),
            backend(json!({"service": {"name": "web", "port": {"name": "sixteen-octets-x"}}})),
        ),
        (&format!("{BACKEND}.resource.kind"), backend(json!({"resource": {"name": "icons"}}))),
        (&format!("{BACKEND}.resource.name"), backend(json!({"resource": {"kind": "Bucket"}}))),
    ]);
    accepted(&[
        backend(json!({"resource": resource})),
        backend(json!({"service": {"name": "web", "port": {"name": "http"}}})),
    ]);
}

#[test]
fn class_field_and_annotation_must_be_equal() {
    let both = |annotation: &str| {
        Ingress::new("row").class("portico").annotation("kubernetes.io/ingress.class", annotation).host("a.test", "web")
    };
    let (found, code) = check(&portico().manifests([both("nginx")]));
    assert!(found.iter().any(|it| it["code"] == "ObjectInvalid") && code == 1, "{found:#?}");
    let (found, _) = check(&portico().manifests([both("portico")]));
    assert!(found.iter().all(|it| it["code"] != "ObjectInvalid"), "{found:#?}");
}

#[test]
fn what_the_api_server_does_not_look_at_is_not_refused() {
    let path = |service: &str| Ingress::new(service).path("a.test", P, "/", "absent").tls(&["other.test"], "absent");
    let (found, _) = check(&portico().manifests([path("one"), path("two")]));
    assert!(found.iter().all(|it| it["code"] != "ObjectInvalid"), "{found:#?}");
    let codes: Vec<_> = found.iter().map(|it| it["code"].as_str().unwrap()).collect();
    for expected in ["PathConflict", "ServiceNotFound", "SecretNotFound"] {
        assert!(codes.contains(&expected), "{expected} in {codes:?}");
    }
}

#[test]
fn lines_columns_and_unknown_fields() {
    let text = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: row
spec:
  rules:
  - host: a.test
    http:
      paths:
      - path: /x
        pathTyp: Prefix
        backend: {service: {name: web, port: {number: 80}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: second}
spec:
  rules: [{host: UPPER.test}]
";
    let (found, code) = check(&portico().file("sub/rows.yaml", text));
    assert_eq!(code, 1);
    let place = |code: &str, name: &str| {
        let hit = found.iter().find(|it| it["code"] == code && it["object"]["name"] == name);
        let location = &hit.unwrap_or_else(|| panic!("{code} {name}: {found:#?}"))["location"];
        assert!(location["file"].as_str().unwrap().ends_with("sub/rows.yaml"), "{location}");
        (location["line"].as_u64().unwrap(), location["column"].as_u64().unwrap())
    };
    assert_eq!(place("FieldUnknown", "row").0, 11);
    assert_eq!(place("ObjectInvalid", "row").0, 10);
    assert_eq!(place("ObjectInvalid", "second"), (18, 18));
}

#[test]
fn files_that_are_not_manifests() {
    for text in ["{", "a: [", "\u{0}", "- just\n- a list\n", "plain text", "a: 1\na: 2\n"] {
        let (found, code) = check(&portico().file("bad.yaml", text));
        assert!(found.iter().any(|it| it["severity"] == "error") && code == 1, "{text:?}: {found:#?}");
    }
    for text in ["", "---\n---\n", "# only a comment\n", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"]
    {
        let (found, code) = check(&portico().file("fine.yaml", text));
        assert!(found.iter().all(|it| it["severity"] != "error") && code == 0, "{text:?}: {found:#?}");
    }
}

#[test]
fn lists_json_and_many_documents_are_read() {
    let items = json!({"apiVersion": "v1", "kind": "List", "items": [
        serde_json::from_str::<Value>(&Ingress::new("one").host("one.test", "web").to_string()).unwrap(),
        serde_json::from_str::<Value>(&Ingress::new("two").host("two.test", "web").to_string()).unwrap(),
    ]});
    let setup = portico()
        .file("list.json", &items.to_string())
        .manifests([Ingress::new("three").host("three.test", "web"), Ingress::new("four").host("four.test", "web")]);
    let output = setup.run(&["routes", "DIR", "--format", "json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    for host in ["one.test", "two.test", "three.test", "four.test"] {
        assert!(text.contains(host), "{host} in {text}");
    }
}

#[test]
fn the_same_object_twice_is_reported() {
    let setup = portico()
        .file("a.yaml", &Ingress::new("twin").host("a.test", "web").to_string())
        .file("b.yaml", &Ingress::new("twin").host("b.test", "web").to_string());
    let (found, _) = check(&setup);
    let twin = found.iter().find(|it| it["code"] == "ObjectDuplicate").unwrap_or_else(|| panic!("{found:#?}"));
    assert!(twin["location"]["file"].as_str().unwrap().ends_with("b.yaml"), "the first stands: {twin}");
}

/// The same refusals while serving: named in the log and at the admin port, everything else answers.
#[tokio::test]
async fn serving_refuses_the_same() {
    let site = Site::new(&["web"]).await;
    let bad = ingress(&spec(&json!({"host": "bad.test"}), &json!({"pathType": null})));
    let portico = site.serve([bad, Ingress::new("good").host("a.test", "web").to_string()]).await;
    portico.answers("a.test", "/", "web").await;
    portico.answers_status("bad.test", "/", 404).await;
    let refused = portico.diagnostic("ObjectInvalid").await;
    assert_eq!(refused["field"], TYPE, "{refused}");
    assert_eq!(portico.metric("portico_diagnostics", &["code=\"ObjectInvalid\""]).await, 1.0);
}
