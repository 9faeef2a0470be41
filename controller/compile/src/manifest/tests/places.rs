//! Where fields stand.

use super::*;
use portico_shared::Kind;

const TEXT: &str = "\
# first comment
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: a
  annotations:
    portico.dev/request-timeout: 5s
    portico.dev/max-body-size:
      '10'
spec:
  rules:
  - host: é.example # not a valid host, which is told of
    http:
      paths:
      - path: /a
        pathType: Prefix
        backend: {service: {name: s, port: {number: 80}}}
      - path: /b
        backend:
          service: {name: s, port: {name: http}}
";

#[test]
fn every_field_is_found_and_absent_ones_lead_to_what_encloses_them() {
    let text = TEXT.replace("é.example", "e.example").replace("- path: /b", "- path: /b\n        pathType: Exact");
    let manifest = clean("places", &text);
    let [AnyObject::Ingress(object)] = &manifest.objects[..] else { panic!("one Ingress expected") };
    for (field, expected) in [
        ("", "2:1"),
        ("kind", "3:7"),
        ("metadata", "4:1"),
        ("metadata.name", "5:9"),
        ("metadata.namespace", "4:1"),
        ("metadata.annotations", "6:3"),
        ("metadata.annotations[portico.dev/request-timeout]", "7:34"),
        ("metadata.annotations.portico.dev/request-timeout", "7:34"),
        ("metadata.annotations[portico.dev/max-body-size]", "9:7"),
        ("metadata.annotations[portico.dev/absent]", "6:3"),
        ("spec.rules", "11:3"),
        ("spec.rules[0]", "12:5"),
        ("spec.rules[0].host", "12:11"),
        ("spec.rules[1].host", "11:3"),
        ("spec.rules[0].http.paths", "14:7"),
        ("spec.rules[0].http.paths[0].pathType", "16:19"),
        ("spec.rules[0].http.paths[0].backend.service.port.number", "17:53"),
        ("spec.rules[0].http.paths[0].backend.service.port.name", "17:38"),
        ("spec.rules[0].http.paths[1]", "18:9"),
        ("spec.rules[0].http.paths[1].pathType", "19:19"),
        ("spec.rules[0].http.paths[1].backend.service.port.name", "21:43"),
        ("spec.rules[0].http.paths[2].pathType", "14:7"),
        ("status.loadBalancer", "2:1"),
        ("nonsense[", "2:1"),
        ("spec.rules[x]", "11:3"),
        ("spec.rules[99999999999999999999]", "11:3"),
    ] {
        let place = object.locate(field).map(|place| place.to_string());
        assert_eq!(place, Some(format!("test.yaml:{expected}")), "case {field}");
    }
}

#[test]
fn columns_count_characters_and_refusals_point_at_their_field() {
    let manifest = parse("f", TEXT);
    let places: Vec<String> = manifest.diagnostics.iter().map(|d| d.location.as_ref().unwrap().to_string()).collect();
    assert_eq!(places, ["f:18:9", "f:12:11"], "{:?}", lines(&manifest));
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: 'a', labels: {'é': '', b: 'c d'}}\nspec: {ports: [{port: 1}]}\n";
    let manifest = parse("f", text);
    let places: Vec<String> = manifest.diagnostics.iter().map(|d| d.location.as_ref().unwrap().to_string()).collect();
    assert_eq!(places, ["f:3:44", "f:3:37"], "{:?}", lines(&manifest));
}

#[test]
fn objects_of_a_list_and_of_later_documents_know_their_lines() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: a\n---\n\n---\n{\"apiVersion\": \"v1\",\r\n \"kind\": \"Namespace\",\n \"metadata\": {\"name\": \"b\"}}\n";
    let manifest = clean("list", text);
    let places: Vec<_> = manifest
        .objects
        .iter()
        .map(|object| match object {
            AnyObject::Namespace(object) => object.locate("metadata.name").unwrap().to_string(),
            other => panic!("unexpected {}", other.reference()),
        })
        .collect();
    assert_eq!(places, ["test.yaml:7:11", "test.yaml:13:23"]);
}

#[test]
fn a_refused_object_is_named() {
    let manifest = parse("f", "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\n");
    let object = manifest.diagnostics[0].object.as_ref().unwrap();
    assert_eq!((object.kind, &*object.namespace, &*object.name), (Kind::Service, "b", "a"));
}
