//! A compile of what changed is a compile of everything: random changes one after the other, each compiled with the memory
//! of those before and from nothing, and the tables built from both asked for every host and path.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "what other tests need of it")]
mod arbitrary;

use std::collections::BTreeMap;
use std::sync::Arc;

use arbitrary::{NOW, object, objects, options};
use http::{HeaderMap, Method};
use portico_compile::{AnyObject, Compiled, Memory, Options, Snapshot, compile, compile_after};
use portico_shared::ir::INGRESS_LISTENER;
use portico_shared::table::{RequestView, RoutingTable};
use portico_shared::{Kind, ObjectRef};
use proptest::collection::vec;
use proptest::prelude::*;

/// One thing that happens to a cluster.
#[derive(Clone, Debug)]
enum Step {
    /// Objects are made or changed together.
    Put(Vec<AnyObject>),
    /// The object at this place, by kind and name, is deleted, if there are that many.
    Delete(usize),
    /// The operator chooses anew.
    Choose(Box<Options>),
    /// So many seconds pass.
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => object().prop_map(|object| Step::Put(vec![object])),
        2 => vec(object(), 2..5).prop_map(Step::Put),
        4 => (0..24_usize).prop_map(Step::Delete),
        1 => options().prop_map(|options| Step::Choose(options.into())),
        1 => select_wait().prop_map(Step::Wait),
    ]
}

/// Nothing, a day, and beyond the end of every certificate.
fn select_wait() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 86_400, 4_000_000_000_000])
}

fn put(snapshot: &mut Snapshot, object: AnyObject) {
    match object {
        AnyObject::Ingress(o) => drop(snapshot.ingresses.insert(o.key(), o)),
        AnyObject::IngressClass(o) => drop(snapshot.classes.insert(o.key(), o)),
        AnyObject::Service(o) => drop(snapshot.services.insert(o.key(), o)),
        AnyObject::ConfigMap(o) => drop(snapshot.config_maps.insert(o.key(), o)),
        AnyObject::Namespace(o) => drop(snapshot.namespaces.insert(o.key(), o)),
        AnyObject::EndpointSlice(o) => {
            let (key, name) = (o.key(), o.reference.name.clone());
            // It may belong to another Service than before.
            let owners = snapshot.slices.keys().filter(|owner| owner.namespace == key.namespace).cloned();
            owners.collect::<Vec<_>>().iter().for_each(|owner| snapshot.remove_slice(owner, &name));
            let Some(service) = o.value.service.clone() else { return };
            snapshot.set_slice(portico_compile::Key { namespace: key.namespace, name: service }, o);
        }
        AnyObject::Secret(o) => {
            let key = o.key();
            let before = snapshot.secrets.get(&key).and_then(|entry| entry.last_usable.clone());
            let alone = Snapshot::from_objects([AnyObject::Secret(o)], Arc::default(), NOW);
            let mut entry = alone.secrets[&key].clone();
            entry.last_usable = entry.last_usable.or(before);
            snapshot.secrets.insert(key, entry);
        }
    }
}

fn all(snapshot: &Snapshot) -> Vec<ObjectRef> {
    let ingresses = snapshot.ingresses.values().map(|it| &it.reference);
    let classes = snapshot.classes.values().map(|it| &it.reference);
    let services = snapshot.services.values().map(|it| &it.reference);
    let secrets = snapshot.secrets.values().map(|it| &it.object.reference);
    let slices = snapshot.slices.values().flat_map(|it| it.iter()).map(|it| &it.reference);
    ingresses.chain(classes).chain(services).chain(secrets).chain(slices).cloned().collect()
}

fn delete(snapshot: &mut Snapshot, object: &ObjectRef) {
    let key = portico_compile::Key { namespace: object.namespace.clone(), name: object.name.clone() };
    match object.kind {
        Kind::Ingress => drop(snapshot.ingresses.remove(&key)),
        Kind::IngressClass => drop(snapshot.classes.remove(&key)),
        Kind::Service => drop(snapshot.services.remove(&key)),
        Kind::Secret => drop(snapshot.secrets.remove(&key)),
        Kind::ConfigMap => drop(snapshot.config_maps.remove(&key)),
        Kind::Namespace => drop(snapshot.namespaces.remove(&key)),
        Kind::EndpointSlice => {
            let owners: Vec<_> = snapshot.slices.keys().cloned().collect();
            let owners = owners.iter().filter(|owner| owner.namespace == object.namespace);
            owners.for_each(|owner| snapshot.remove_slice(owner, &object.name));
        }
    }
}

fn apply(snapshot: &mut Snapshot, step: Step) {
    match step {
        Step::Put(objects) => objects.into_iter().for_each(|object| put(snapshot, object)),
        Step::Delete(at) => {
            if let Some(object) = all(snapshot).get(at) {
                delete(snapshot, object);
            }
        }
        Step::Choose(options) => snapshot.options = Arc::new(*options),
        Step::Wait(seconds) => snapshot.now = NOW + seconds,
    }
}

/// What a table answers to everything that may be asked of hosts and paths as the objects have them.
fn answers(table: &RoutingTable) -> BTreeMap<String, String> {
    let listener = table.listener(INGRESS_LISTENER).unwrap();
    let (method, headers) = (Method::GET, HeaderMap::new());
    let mut answers = BTreeMap::new();
    let hosts = ["foo.com", "a.foo.com", "b.foo.com", "x.foo.com", "b.com", "a.b.com", "other.test"];
    for host in hosts.map(Some).into_iter().chain([None]) {
        let certificate = listener.certificate(host);
        let name = certificate.certificate().map(|it| (it.name.to_string(), it.fingerprint.clone()));
        answers.insert(format!("{host:?}"), format!("{name:?} {}", certificate.reason()));
        for path in ["/", "/a", "/a/", "/a/b", "/a/b/c", "/x", "//", "/a//"] {
            let view = RequestView { path, method: &method, headers: &headers, query: None };
            let answer = listener.route(host, &view).map(|entry| {
                let cells = entry.backends.iter().map(|(cell, weight)| {
                    let current = table.upstream(&cell.upstream.name).is_some_and(|it| Arc::ptr_eq(it, cell));
                    assert!(current, "a cell of an earlier table");
                    (cell.upstream.clone(), cell.endpoints.load(), *weight)
                });
                format!("{:?} {:?}", entry.route, cells.collect::<Vec<_>>())
            });
            answers.insert(format!("{host:?} {path}"), format!("{answer:?}"));
        }
    }
    answers
}

fn table(compiled: &Compiled, previous: &RoutingTable) -> RoutingTable {
    for name in &compiled.fresh {
        if let (Some(cell), Some(set)) = (previous.upstream(name), compiled.endpoints.get(name)) {
            cell.endpoints.store(set.clone());
        }
    }
    RoutingTable::build(compiled.ir.clone(), previous, |name| compiled.endpoints.get(name).cloned())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_compile_of_what_changed_is_a_compile_of_everything(
        first in objects(),
        options in options(),
        steps in vec(step(), 1..12),
    ) {
        let mut snapshot = Snapshot::from_objects(first, Arc::new(options), NOW);
        let mut memory = Memory::default();
        let mut served = table(&compile_after(&snapshot, &mut memory), &RoutingTable::empty());
        for step in steps {
            apply(&mut snapshot, step);
            let alone = compile(&snapshot);
            let after = compile_after(&snapshot, &mut memory);
            prop_assert_eq!(&after.ir, &alone.ir);
            prop_assert_eq!(&after.report, &alone.report);
            prop_assert_eq!(&after.endpoints, &alone.endpoints);
            prop_assert_eq!(&after.literals, &alone.literals);
            prop_assert_eq!(&after.served, &alone.served);
            prop_assert_eq!(&after.ours, &alone.ours);
            prop_assert_eq!(after.next_boundary, alone.next_boundary);
            served = table(&after, &served);
            prop_assert_eq!(answers(&served), answers(&table(&alone, &RoutingTable::empty())));

            let again = compile_after(&snapshot, &mut memory);
            prop_assert!(Arc::ptr_eq(&again.ir, &after.ir) && Arc::ptr_eq(&again.report, &after.report), "made twice");
            prop_assert!(again.fresh.is_empty() || snapshot.options.default_backend_service.is_some());
        }
    }
}
