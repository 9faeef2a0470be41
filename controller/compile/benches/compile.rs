//! How long a compile and the building of a table take: Ingresses with two hosts of two paths each, a Service of 25
//! endpoints for every five.
//!
//! `cargo bench -p portico-compile` prints the best of five runs for growing numbers; the time has to grow with them.

mod cluster;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portico_compile::{AnyObject, Options, Snapshot, compile, compile_after};
use portico_shared::table::RoutingTable;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[allow(clippy::print_stdout)]
fn main() {
    for (name, clash) in [("own hosts", false), ("one host, every path claimed twice", true)] {
        for count in [100, 1000, 10_000] {
            let snapshot = snapshot(count, clash);
            let (elapsed, routes, problems) = (0..5).map(|_| measure(&snapshot)).min().expect("five runs");
            println!("{name}: {count} Ingresses, {routes} routes, {problems} diagnostics: {elapsed:?}");
        }
    }
    table(&snapshot(10_000, false));
}

fn snapshot(count: usize, clash: bool) -> Snapshot {
    let services = count / cluster::INGRESSES_PER_SERVICE;
    let objects = (0..count).map(|number| cluster::ingress(number, clash));
    let objects = objects.chain((0..services).map(cluster::service)).chain((0..services).map(cluster::slice));
    Snapshot::from_objects(objects, Arc::new(Options::default()), 1_795_219_200)
}

fn measure(snapshot: &Snapshot) -> (Duration, usize, usize) {
    let start = Instant::now();
    let compiled = black_box(compile(black_box(snapshot)));
    let elapsed = start.elapsed();
    let routes = compiled.ir.listeners[0].virtual_hosts.iter().map(|host| host.routes.len()).sum();
    (elapsed, routes, compiled.report.diagnostics().len())
}

/// The first table, and the next one after a change of one Ingress.
#[allow(clippy::print_stdout)]
fn table(snapshot: &Snapshot) {
    let build = |snapshot: &Snapshot, previous: &RoutingTable| {
        let start = Instant::now();
        let compiled = compile_after(snapshot, previous.ir());
        let changed = compiled.ir != **previous.ir();
        let compiled_at = start.elapsed();
        let table = RoutingTable::build(Arc::new(compiled.ir), previous, |name| compiled.endpoints.get(name).cloned());
        (black_box(changed), compiled_at, start.elapsed(), table)
    };
    let (_, _, elapsed, first) = build(snapshot, &RoutingTable::empty());
    println!("first table: {elapsed:?}");
    let mut changed = snapshot.clone();
    for run in 0..5 {
        let AnyObject::Ingress(ingress) = cluster::ingress(20_000 + run, false) else { continue };
        changed.ingresses.insert(ingress.key(), ingress);
        let (_, compiled, elapsed, table) = build(&changed, &first);
        println!("one Ingress more: compiled and compared after {compiled:?}, built after {elapsed:?}");
        drop(table);
    }
}
