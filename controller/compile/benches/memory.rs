//! How much memory objects, what a compile keeps, IR and table take, in octets asked of the allocator.
//!
//! `cargo bench -p portico-compile --bench memory`; a build without optimisation gives the same figures.

#[allow(dead_code, reason = "what another bench needs of it")]
mod cluster;

use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use portico_compile::{AnyObject, Memory, Options, Snapshot, compile_after, manifest};
use portico_shared::table::RoutingTable;

const INGRESSES: usize = 10_000;

fn main() {
    files();
    let mut objects = Vec::with_capacity(4 * INGRESSES);
    let mut make = |name, count, one: &dyn Fn(usize) -> AnyObject| {
        let objects = &mut objects;
        // The first one of all pays for what is made once.
        drop(one(0));
        print(name, count, measure(|| objects.extend((0..count).map(one))));
    };
    make("Ingress objects", INGRESSES, &|number| cluster::ingress(number, false, 0));
    make("Service objects", INGRESSES, &cluster::service);
    make("EndpointSlice objects", INGRESSES, &|number| cluster::slice(number, 0));
    make("Secret objects", INGRESSES / cluster::TLS, &|number| cluster::secret(number * cluster::TLS, 0));

    let mut snapshot = Snapshot::default();
    let made = measure(|| snapshot = Snapshot::from_objects(objects.drain(..), Arc::new(Options::default()), 0));
    print("snapshot, certificates included", INGRESSES, made);

    let (mut memory, mut table) = (Memory::default(), RoutingTable::empty());
    round("first", &snapshot, &mut memory, &mut table);
    for number in 0..2 {
        let AnyObject::Ingress(ingress) = cluster::ingress(20_000 + number, false, 0) else { continue };
        snapshot.ingresses.insert(ingress.key(), ingress);
        round("next", &snapshot, &mut memory, &mut table);
    }
}

/// Objects as files give them, with the places of their fields.
fn files() {
    let mut objects = Vec::new();
    let read = |number| manifest::parse("/etc/portico/manifests/app.yaml", &cluster::text(number)).objects;
    drop(read(0));
    let made = measure(|| objects.extend((0..INGRESSES).flat_map(read)));
    print("objects of files, without Secrets", INGRESSES, made);
    let made = measure(|| objects.retain(|object| !matches!(object, AnyObject::EndpointSlice(_))));
    print("of that EndpointSlices", INGRESSES, made);
    let made = measure(|| objects.retain(|object| !matches!(object, AnyObject::Service(_))));
    print("of that Services", INGRESSES, made);
}

/// A compile and the table of it, in place of the one before.
fn round(name: &str, snapshot: &Snapshot, memory: &mut Memory, table: &mut RoutingTable) {
    let count = snapshot.ingresses.len();
    let mut compiled = None;
    print(&format!("{name} compile"), count, measure(|| compiled = Some(compile_after(snapshot, memory))));
    let Some(compiled) = compiled else { return };
    let built = measure(|| {
        *table = RoutingTable::build(compiled.ir.clone(), table, |name| compiled.endpoints.get(name).cloned());
    });
    print(&format!("{name} table"), count, built);
    print(&format!("{name} compile, what is not kept"), count, measure(|| drop(compiled)));
}

#[allow(clippy::print_stdout)]
fn print(name: &str, count: usize, it: AllocationInfo) {
    let each = it.bytes_current / i64::try_from(count).expect("a small number");
    let (total, most) = (it.bytes_current as f64 / 1e6, it.bytes_max as f64 / 1e6);
    println!("{name:36} {each:8} each {total:8.2} MB kept {most:8.2} MB at most {:9} calls", it.count_total);
}
