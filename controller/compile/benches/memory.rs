//! How much memory objects, IR and table take, in octets asked of the allocator.
//!
//! `cargo bench -p portico-compile --bench memory`; a build without optimisation gives the same figures.

mod cluster;

use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use portico_compile::{AnyObject, Options, Snapshot, compile_after};
use portico_shared::table::RoutingTable;

const INGRESSES: usize = 10_000;
const SERVICES: usize = INGRESSES / cluster::INGRESSES_PER_SERVICE;

fn main() {
    let mut objects = Vec::with_capacity(INGRESSES + 2 * SERVICES);
    let mut make = |name, count, one: &dyn Fn(usize) -> AnyObject| {
        let objects = &mut objects;
        // The first one of all pays for what is made once.
        drop(one(0));
        print(name, count, measure(|| objects.extend((0..count).map(one))));
    };
    make("Ingress objects", INGRESSES, &|number| cluster::ingress(number, false));
    make("Service objects", SERVICES, &cluster::service);
    make("EndpointSlice objects, by endpoint", SERVICES, &cluster::slice);

    let mut snapshot = Snapshot::default();
    let made = measure(|| snapshot = Snapshot::from_objects(objects.drain(..), Arc::new(Options::default()), 0));
    print("maps of the snapshot, by Ingress", INGRESSES, made);

    let mut table = RoutingTable::empty();
    round("first", &snapshot, &mut table);
    for number in 0..2 {
        let AnyObject::Ingress(ingress) = cluster::ingress(20_000 + number, false) else { continue };
        snapshot.ingresses.insert(ingress.key(), ingress);
        round("next", &snapshot, &mut table);
    }
}

/// A compile and the table of it, in place of the one before.
fn round(name: &str, snapshot: &Snapshot, table: &mut RoutingTable) {
    let routes = 4 * snapshot.ingresses.len();
    let mut compiled = None;
    print(
        &format!("{name} compile, by route"),
        routes,
        measure(|| compiled = Some(compile_after(snapshot, table.ir()))),
    );
    let Some(compiled) = compiled else { return };
    let built = measure(|| {
        let ir = Arc::new(compiled.ir);
        *table = RoutingTable::build(ir, table, |name| compiled.endpoints.get(name).cloned());
    });
    print(&format!("{name} table, by route"), routes, built);
    let rest = measure(|| drop((compiled.endpoints, compiled.report, compiled.served, compiled.ours)));
    print(&format!("{name} compile, what is not kept"), routes, rest);
}

#[allow(clippy::print_stdout)]
fn print(name: &str, count: usize, it: AllocationInfo) {
    let each = it.bytes_current / i64::try_from(count).expect("a small number");
    let (total, most) = (it.bytes_current as f64 / 1e6, it.bytes_max as f64 / 1e6);
    println!("{name:36} {each:8} each {total:8.2} MB kept {most:8.2} MB at most {:9} calls", it.count_total);
}
