//! What holds for every snapshot, also for objects that no API server would have let in.

#![allow(clippy::unwrap_used)]

mod arbitrary;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arbitrary::{CANARY, KEY, NOW, objects, options, verified_upstream};
use portico_compile::{AnyObject, Compiled, Options, Snapshot, compile, endpoints};
use portico_shared::ir::{Action, EndpointSource, PathMatch, Route, RouteName, VirtualHost};
use portico_shared::{Code, Origin};
use proptest::prelude::*;

fn compiled(objects: &[AnyObject], options: &Options) -> (Snapshot, Compiled) {
    let snapshot = Snapshot::from_objects(objects.iter().cloned(), Arc::new(options.clone()), NOW);
    let compiled = compile(&snapshot);
    (snapshot, compiled)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn order_of_objects_does_not_show(
        (objects, shuffled) in objects().prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        options in options(),
    ) {
        let (_, first) = compiled(&objects, &options);
        let (_, second) = compiled(&shuffled, &options);
        prop_assert_eq!(&first.ir, &second.ir);
        prop_assert_eq!(&first.report, &second.report);
        prop_assert_eq!(&first.endpoints, &second.endpoints);
        prop_assert_eq!(&first.served, &second.served);
        prop_assert_eq!(first.next_boundary, second.next_boundary);
    }

    #[test]
    fn the_ir_is_whole(objects in objects(), options in options()) {
        let (snapshot, Compiled { ir, endpoints: delivered, .. }) = compiled(&objects, &options);
        prop_assert_eq!(ir.listeners.len(), 1);
        let listener = &ir.listeners[0];

        let hosts = listener.virtual_hosts.iter();
        let routes = || hosts.clone().flat_map(|host| host.routes.iter().chain(&host.fallback)).chain(&listener.fallback);
        let mut named = BTreeSet::new();
        for route in routes() {
            if let Action::Forward(backends) = &route.action {
                prop_assert!(!backends.is_empty());
                named.extend(backends.iter().map(|backend| backend.upstream.clone()));
            }
        }
        let known: Vec<_> = ir.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        prop_assert_eq!(named.into_iter().collect::<Vec<_>>(), known);

        let mut names: BTreeMap<RouteName, Origin> = BTreeMap::new();
        for route in routes() {
            let origin = names.entry(route.name.clone()).or_insert_with(|| route.origin.clone());
            prop_assert_eq!(&*origin, &route.origin, "two routes are named {}", &route.name);
        }

        let mut used: BTreeSet<_> = hosts.clone().filter_map(|host| host.certificate.clone()).collect();
        used.extend(listener.certificates.iter().chain(&listener.default_certificate).cloned());
        let known: BTreeSet<_> = ir.certificates.iter().map(|certificate| certificate.name.clone()).collect();
        prop_assert_eq!(used, known);
        for host in hosts.clone() {
            let certificate = ir.certificates.iter().find(|c| Some(&c.name) == host.certificate.as_ref());
            prop_assert!(certificate.is_none_or(|c| c.covers(&host.pattern.to_string())), "{}", host.pattern);
        }

        for upstream in &ir.upstreams {
            let from_slices = endpoints(&snapshot, &upstream.name);
            match upstream.source {
                EndpointSource::Compiled => prop_assert_eq!(&from_slices, &*delivered[&upstream.name]),
                EndpointSource::Dns { .. } => prop_assert!(!delivered.contains_key(&upstream.name)),
            }
        }
    }

    #[test]
    fn exactly_the_rules_that_nothing_reaches_are_reported(objects in objects(), options in options()) {
        let (_, Compiled { ir, report, .. }) = compiled(&objects, &options);
        let reported: BTreeSet<Origin> = report
            .diagnostics()
            .iter()
            .filter(|diagnostic| diagnostic.code == Code::RuleShadowed)
            .map(|diagnostic| Origin::new(diagnostic.object.clone().unwrap(), diagnostic.field.clone()))
            .collect();
        for host in &ir.listeners[0].virtual_hosts {
            for route in &host.routes {
                let reached = probes(route).iter().any(|path| best(host, path) == Some(&route.name));
                prop_assert_eq!(reached, !reported.contains(&route.origin), "{}", &route.name);
            }
        }
    }

    #[test]
    fn secrets_never_show(objects in objects(), options in options()) {
        let objects = [objects, verified_upstream().into()].concat();
        let (_, compiled) = compiled(&objects, &options);
        let dump = format!("{compiled:?}\n{}", serde_json::to_string(&(&compiled.ir, &compiled.report)).unwrap());
        let octets = format!("{:?}", &KEY.der[..12]);
        for secret in [CANARY, &KEY.line, octets.trim_matches(['[', ']'])] {
            prop_assert!(!dump.contains(secret), "{secret} in {dump}");
        }
    }
}

/// Paths that a route would take if it were alone.
fn probes(route: &Route) -> Vec<String> {
    match &route.matcher.path {
        PathMatch::Exact(path) => vec![path.to_string()],
        PathMatch::Prefix(path) => {
            let elements = path.strip_suffix('/').unwrap_or(path);
            ["", "/", "/nothing-else-is-called-so"].map(|rest| format!("{elements}{rest}")).to_vec()
        }
    }
}

/// The route of a path, as the order of preference has it: Exact, then the longest string, then the elder.
fn best<'a>(host: &'a VirtualHost, path: &str) -> Option<&'a RouteName> {
    let matching = host.routes.iter().enumerate().filter(|(_, route)| route.matcher.path.matches(path));
    let rank = |place: usize, route: &Route| {
        (matches!(route.matcher.path, PathMatch::Exact(_)), route.matcher.path.path().len(), usize::MAX - place)
    };
    matching.max_by_key(|(place, route)| rank(*place, route)).map(|(_, route)| &route.name)
}
