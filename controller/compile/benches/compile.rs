//! How long a compile and the building of a table take, from nothing and after a change, by number of Ingresses.
//!
//! `cargo bench -p portico-compile --bench compile` prints the best of five runs of what grows with the cluster, and median
//! and 99th percentile of 200 changes of each kind, each of another Ingress, as far as the table is built. Times are those
//! of this thread on a processor, so that what else the machine does shows little.

#[allow(dead_code, reason = "what another bench needs of it")]
mod cluster;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use portico_compile::{AnyObject, Memory, Options, Snapshot, compile, compile_after};
use portico_shared::table::RoutingTable;
use rustix::time::{ClockId, clock_gettime};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[allow(clippy::print_stdout)]
fn main() {
    for (name, clash) in [("own hosts", false), ("one host, every path claimed twice", true)] {
        for count in [100, 1000, 10_000] {
            let snapshot = cluster::snapshot(count, clash);
            let (elapsed, routes, problems) = (0..5).map(|_| measure(&snapshot)).min().expect("five runs");
            println!("{name}: {count} Ingresses, {routes} routes, {problems} diagnostics: {elapsed:?}");
        }
    }
    for count in [1000, 10_000] {
        changes(count);
    }
}

fn measure(snapshot: &Snapshot) -> (Duration, usize, usize) {
    let start = now();
    let compiled = black_box(compile(black_box(snapshot)));
    let elapsed = now() - start;
    let routes = compiled.ir.listeners[0].virtual_hosts.iter().map(|host| host.routes.len()).sum();
    (elapsed, routes, compiled.report.diagnostics().len())
}

/// The first table, and the next ones after single changes.
#[allow(clippy::print_stdout)]
fn changes(count: usize) {
    let mut snapshot = cluster::snapshot(count, false);
    let mut memory = Memory::default();
    let mut table = RoutingTable::empty();
    println!("{count} Ingresses, first table: {:?}", round(&snapshot, &mut memory, &mut table).1);
    let kinds: [(&str, Make); 4] = [
        ("rule", |run| cluster::ingress(run * 41, false, run)),
        ("Ingress more", |run| cluster::ingress(100_000 + run, false, 0)),
        ("certificate", |run| cluster::secret(run * 40, run + 1)),
        ("endpoint", |run| cluster::slice(run * 41, run + 1)),
    ];
    for (name, make) in kinds {
        let mut took: Vec<_> = (1..=CHANGES)
            .map(|run| {
                let objects = make(run % (count / 41));
                let start = now();
                put(&mut snapshot, objects);
                // The one before stays in use beside it, as it does in the program.
                let current = Arc::new(snapshot.clone());
                let (compiled, built) = round(&current, &mut memory, &mut table);
                ((now() - start), compiled, built)
            })
            .collect();
        took.sort();
        let (half, most) = (took[CHANGES / 2], took[CHANGES * 99 / 100]);
        println!("{count} Ingresses, one {name}: {half:?} p99 {most:?} (together, compile, compile and table)");
    }
}

/// The object of a run, as it is after the change.
type Make = fn(usize) -> AnyObject;

const CHANGES: usize = 200;

fn round(snapshot: &Snapshot, memory: &mut Memory, table: &mut RoutingTable) -> (Duration, Duration) {
    let start = now();
    let compiled = compile_after(snapshot, memory);
    let changed = *compiled.ir != **table.ir();
    let compiled_at = now() - start;
    if changed {
        *table = RoutingTable::build(compiled.ir, table, |name| compiled.endpoints.get(name).cloned());
    }
    (compiled_at, (now() - start))
}

/// Time of this thread on a processor.
fn now() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("time only grows")
}

fn put(snapshot: &mut Snapshot, object: AnyObject) {
    let alone = Snapshot::from_objects([object], Arc::new(Options::default()), 0);
    alone.ingresses.iter().for_each(|(key, it)| drop(snapshot.ingresses.insert(key.clone(), it.clone())));
    alone.secrets.iter().for_each(|(key, it)| drop(snapshot.secrets.insert(key.clone(), it.clone())));
    alone.slices.iter().for_each(|(key, it)| drop(snapshot.slices.insert(key.clone(), it.clone())));
}
