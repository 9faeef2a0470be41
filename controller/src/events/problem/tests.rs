//! Who is told of what.

use std::sync::Arc;

use portico_compile::manifest;
use portico_shared::{Location, Report};

use super::*;

const OBJECTS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: young, namespace: n, uid: u-young, creationTimestamp: 2026-02-01T00:00:00Z}
spec: {rules: [{host: a.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: old, namespace: n, uid: u-old, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {tls: [{secretName: t}], defaultBackend: {service: {name: s, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: foreign, namespace: n}
spec: {tls: [{secretName: t}], defaultBackend: {service: {name: s, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: old, namespace: other}
spec: {tls: [{secretName: t}], defaultBackend: {service: {name: s, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: n, uid: u-s, annotations: {portico.dev/upstream-ca: ca}}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, namespace: n, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
endpoints: []
ports: [{port: 80}]
";

fn current(diagnostics: Vec<Diagnostic>) -> Current {
    let read = manifest::parse("test.yaml", OBJECTS);
    assert_eq!(read.diagnostics, []);
    let snapshot = Snapshot::from_objects(read.objects, Arc::default(), 0);
    let ours = [("n", "young"), ("n", "old"), ("other", "old")].map(|(n, name)| ObjectRef::new(Kind::Ingress, n, name));
    Current {
        snapshot: Arc::new(snapshot),
        ours: Arc::new(ours.into()),
        report: Arc::new(Report::new(diagnostics)),
        ..Current::default()
    }
}

fn diagnostic(code: Code, object: Option<ObjectRef>) -> Diagnostic {
    let (severity, message, hint) = (Severity::Error, "it is broken".to_owned(), Some("mend it".to_owned()));
    Diagnostic { severity, code, object, field: "spec.x".into(), location: None, message, hint }
}

/// The objects told, and the notes.
fn told(code: Code, object: Option<ObjectRef>) -> Vec<(String, String)> {
    let found = problems(&current(vec![diagnostic(code, object)]));
    let mut told: Vec<_> = found.iter().map(|it| (it.object.to_string(), (*it.note).to_owned())).collect();
    told.sort();
    told
}

#[test]
fn problems_are_told_where_they_concern_somebody() {
    let object = |kind, name| Some(ObjectRef::new(kind, "n", name));
    for (code, about, expected) in [
        (Code::PathConflict, object(Kind::Ingress, "old"), &["Ingress n/old"][..]),
        (Code::PathConflict, object(Kind::Ingress, "foreign"), &[]),
        (Code::ClassForeign, object(Kind::Ingress, "old"), &[]),
        (Code::NoEndpoints, object(Kind::Service, "s"), &["Ingress n/old", "Ingress n/young", "Service n/s"]),
        (Code::ServiceNotFound, object(Kind::Service, "missing"), &[]),
        (Code::ObjectInvalid, object(Kind::EndpointSlice, "s-1"), &["Ingress n/old", "Ingress n/young"]),
        (Code::SecretNotFound, object(Kind::Secret, "t"), &["Ingress n/old"]),
        (Code::SecretInvalid, object(Kind::Secret, "ca"), &["Ingress n/old", "Ingress n/young"]),
        (Code::FileUnreadable, None, &[]),
    ] {
        let objects: Vec<_> = told(code, about.clone()).into_iter().map(|(object, _)| object).collect();
        assert_eq!(objects, expected, "{code} {about:?}");
    }
}

#[test]
fn note_says_what_is_wrong_where_and_how_to_mend_it() {
    let own = told(Code::PathConflict, Some(ObjectRef::new(Kind::Ingress, "n", "old")));
    assert_eq!(own[0].1, "spec.x: it is broken; to mend it, mend it");
    let others = told(Code::SecretNotFound, Some(ObjectRef::new(Kind::Secret, "n", "t")));
    assert_eq!(others[0].1, "Secret n/t: spec.x: it is broken; to mend it, mend it");
}

#[test]
fn place_in_a_file_makes_no_other_problem() {
    let object = ObjectRef::new(Kind::Ingress, "n", "old");
    let mut moved = diagnostic(Code::PathConflict, Some(object.clone()));
    moved.location = Some(Location { file: "a".into(), line: 1, column: 1 });
    let both = vec![diagnostic(Code::PathConflict, Some(object)), moved];
    assert_eq!(problems(&current(both)).len(), 1);
}

#[test]
fn oldest_are_told_when_there_are_too_many() {
    let mut current = current(Vec::new());
    let mut snapshot = Snapshot::clone(&current.snapshot);
    let young = snapshot.ingresses[&Key::new("n", "young")].clone();
    let mut ours = BTreeSet::clone(&current.ours);
    for i in 0..50 {
        let reference = ObjectRef::new(Kind::Ingress, "n", &format!("a{i}"));
        let copy = portico_compile::Object { reference: reference.clone(), ..(*young).clone() };
        snapshot.ingresses.insert(copy.key(), Arc::new(copy));
        ours.insert(reference);
    }
    (current.snapshot, current.ours) = (Arc::new(snapshot), Arc::new(ours));
    let service = ObjectRef::new(Kind::Service, "n", "s");
    current.report = Arc::new(Report::new(vec![diagnostic(Code::NoEndpoints, Some(service))]));
    let found = problems(&current);
    assert_eq!(found.len(), NAMERS + 1);
    assert!(found.iter().any(|it| &*it.object.name == "old"));
}

#[test]
fn a_tenant_over_its_cap_is_told_at_the_ingress_that_is_not_served() {
    let options = portico_compile::Options { rules_per_namespace: Some(1), ..Default::default() };
    let objects = manifest::parse("test.yaml", OBJECTS).objects;
    let snapshot = Snapshot::from_objects(objects, Arc::new(options), 0);
    let compiled = portico_compile::compile(&snapshot);
    let current =
        Current { snapshot: Arc::new(snapshot), ours: compiled.ours, report: compiled.report, ..Current::default() };
    let mut told: Vec<_> = problems(&current).into_iter().filter(|it| it.code == Code::LimitReached).collect();
    told.sort_by(|a, b| a.object.cmp(&b.object));
    let objects: Vec<_> = told.iter().map(|it| it.object.to_string()).collect();
    // The oldest of a namespace is the one without a time.
    assert_eq!(objects, ["Ingress n/old", "Ingress n/young"]);
    assert_eq!(told[0].severity, Severity::Error);
    assert!(told[0].note.ends_with("; to mend it, remove what the namespace does not need, or have the operator raise --max-rules-per-namespace"), "{}", told[0].note);
}

#[test]
fn notes_are_cut_between_characters() {
    assert_eq!((cut("aäb", 2), cut("aäb", 3), cut("abc", 9)), ("a", "aä", "abc"));
    assert_eq!(hosts(&current(Vec::new()).snapshot, &Key::new("n", "young")), ["a.test"]);
    assert_eq!(hosts(&current(Vec::new()).snapshot, &Key::new("n", "old")), ["any host"]);
}
