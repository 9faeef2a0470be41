//! What must hold of any manifest and of any snapshot; for fuzzing, and for what fuzzing has found.

use std::collections::BTreeSet;
use std::sync::Arc;

use portico_compile::{AnyObject, Compiled, Memory, Options, Snapshot, compile, compile_after, manifest};
use portico_shared::ir::INGRESS_LISTENER;
use portico_shared::table::{RequestView, RoutingTable};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::arbitrary::{CANARY, KEY, NOW, objects, options, verified_upstream};

/// A file of manifests: read without fail, alike each time, every problem with its place, and a document behind it all is
/// read as if it stood alone. What it holds is compiled.
pub(crate) fn manifest(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let read = manifest::parse("f.yaml", &text);
    let again = manifest::parse("f.yaml", &text);
    assert_eq!(format!("{read:?}"), format!("{again:?}"));
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    for diagnostic in &read.diagnostics {
        let place = diagnostic.location.as_ref().expect("every problem has a place");
        assert!(place.line >= 1 && place.line as usize <= lines + 1, "{diagnostic} of {lines} lines");
    }
    for object in &read.objects {
        assert!(!object.reference().name.is_empty());
    }
    let followed = manifest::parse("f.yaml", &format!("{text}{AFTER}"));
    let after = followed.objects.last().map(|object| object.reference().to_string());
    assert_eq!(after.as_deref(), Some("Namespace after"), "{text:?} hides what follows");
    assert!(followed.objects.len() > read.objects.len() || !read.complete, "{text:?} changes by what follows");
    compiles(&read.objects, &Options::default());
}

/// Four octets choose the options, each further four up to three objects: so one can change while the others stay.
pub(crate) fn snapshot(octets: &[u8]) {
    let mut seeds = octets.chunks_exact(4);
    let Some(options) = seeds.next().map(|seed| drawn(&options(), seed)) else { return };
    let mut all = Vec::from(verified_upstream());
    for seed in seeds.take(16) {
        let most = 1 + usize::from(seed[0]) % 3;
        all.extend(drawn(&objects(), seed).into_iter().take(most));
    }
    let mut seen = BTreeSet::new();
    all.retain(|object| seen.insert(object.reference().clone()));
    compiles(&all, &options);
}

/// What a strategy makes of a seed.
fn drawn<S: Strategy>(strategy: &S, seed: &[u8]) -> S::Value {
    let mut whole = [0; 32];
    whole[..seed.len()].copy_from_slice(seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &whole));
    strategy.new_tree(&mut runner).expect("nothing is filtered").current()
}

fn compiles(objects: &[AnyObject], options: &Options) {
    let options = Arc::new(options.clone());
    let of = |objects: &mut dyn Iterator<Item = AnyObject>| Snapshot::from_objects(objects, options.clone(), NOW);
    let all = of(&mut objects.iter().cloned());
    let first = compile(&all);
    equal(&first, &compile(&all));
    let identities: BTreeSet<_> = objects.iter().map(|object| object.reference().clone()).collect();
    if identities.len() == objects.len() {
        equal(&first, &compile(&of(&mut objects.iter().rev().cloned())));
    }
    // What stood there before does not show.
    let mut memory = Memory::default();
    let half = of(&mut objects.iter().step_by(2).cloned());
    equal(&compile(&half), &compile_after(&half, &mut memory));
    equal(&first, &compile_after(&all, &mut memory));
    let shown = format!("{first:?}\n{}", serde_json::to_string(&(&first.ir, &first.report)).expect("plain values"));
    let key = format!("{:?}", &KEY.der[..12]);
    for secret in [CANARY, &KEY.line, key.trim_matches(['[', ']'])] {
        assert!(!shown.contains(secret), "a secret shows");
    }
    routes(first);
}

fn equal(one: &Compiled, other: &Compiled) {
    assert_eq!(one.ir, other.ir);
    assert_eq!(one.report, other.report);
    assert_eq!(one.endpoints, other.endpoints);
    assert_eq!(one.served, other.served);
    assert_eq!(one.ours, other.ours);
    assert_eq!(one.next_boundary, other.next_boundary);
}

/// Every look-up in the table that comes of it ends, and finds a route of the host that the host's pattern takes.
fn routes(compiled: Compiled) {
    let table = RoutingTable::build(compiled.ir, &RoutingTable::empty(), |_| None);
    let listener = table.listener(INGRESS_LISTENER).expect("there is one listener");
    let (method, headers) = (http::Method::GET, http::HeaderMap::new());
    for host in [None, Some("foo.com"), Some("a.foo.com"), Some("b.com"), Some("[::1]")] {
        for path in ["/", "/a", "/a/b", "//", "/a//"] {
            let view = RequestView { path, method: &method, headers: &headers, query: None };
            let found = listener.route(host, &view).map(|entry| entry.id);
            assert_eq!(listener.explain(host, &view).0.map(|entry| entry.id), found);
        }
    }
}

/// Directives at the end of the text belong to the empty document.
const AFTER: &str = "\n---\n\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: after}\n";
