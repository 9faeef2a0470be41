//! How long a request's route takes to find, by number of hosts and of paths of each.
//!
//! `cargo bench -p portico-shared`; with few hosts everything is in the processor's caches, with many nothing is.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use portico_shared::ir::*;
use portico_shared::table::{RequestView, RoutingTable};
use portico_shared::{Code, Kind, ObjectRef, Origin};

criterion_group!(benches, hosts, paths);
criterion_main!(benches);

/// Two paths each, the usual case.
fn hosts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hosts");
    for hosts in [1, 100, 10_000, 100_000] {
        let table = table(hosts, 2);
        group.bench_function(BenchmarkId::from_parameter(hosts), |bencher| look_up(bencher, &table, hosts, 2));
    }
    group.finish();
}

/// By number of paths of a host: from 17 on they are in a tree.
fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("paths");
    for paths in [1, 8, 32] {
        let table = table(100, paths);
        group.bench_function(BenchmarkId::from_parameter(paths), |bencher| look_up(bencher, &table, 100, paths));
    }
    group.finish();
}

fn look_up(bencher: &mut criterion::Bencher<'_>, table: &RoutingTable, hosts: usize, paths: usize) {
    let names: Vec<_> = (0..hosts).map(host).collect();
    let asked: Vec<_> = (0..paths).map(|at| format!("{}/below/it", path(at))).collect();
    let (method, headers) = (Method::GET, HeaderMap::new());
    let listener = table.listener(INGRESS_LISTENER).expect("it is there");
    let mut number = 0_usize;
    bencher.iter(|| {
        // In no order that memory could be fetched ahead in.
        number = number.wrapping_add(1);
        let (host, path) = (&names[number * 7919 % hosts], &asked[number * 31 % paths]);
        let view = RequestView { path, method: &method, headers: &headers, query: None };
        black_box(listener.route(Some(host), black_box(&view)).expect("it is there"));
    });
}

fn host(number: usize) -> String {
    format!("app-{number:05}.example.com")
}

fn path(number: usize) -> String {
    if number == 0 { String::new() } else { format!("/api/v{number}/things") }
}

fn table(hosts: usize, paths: usize) -> RoutingTable {
    let route = |host: usize, at: usize| Route {
        name: RouteName(format!("{host}-{at}").into()),
        matcher: Matcher::path(PathMatch::Prefix(format!("{}/", path(at)).into())),
        action: Action::Unavailable(Unavailable { code: Code::ServiceNotFound, message: "of a bench".into() }),
        policies: Arc::default(),
        origin: Origin::new(ObjectRef::new(Kind::Ingress, "shop", "web"), ""),
    };
    let virtual_hosts = (0..hosts).map(|number| {
        let routes = (0..paths).map(|at| Arc::new(route(number, at))).collect();
        let pattern = HostPattern::Exact(host(number).into());
        Arc::new(VirtualHost { pattern, routes, fallback: None, certificate: None })
    });
    let listener = Listener {
        name: INGRESS_LISTENER.into(),
        virtual_hosts: virtual_hosts.collect(),
        fallback: None,
        default_certificate: None,
        certificates: Vec::new(),
    };
    let ir = Ir { listeners: vec![listener], ..Ir::default() };
    RoutingTable::build(Arc::new(ir), &RoutingTable::empty(), |_| None)
}
