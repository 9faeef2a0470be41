//! Random edits of the directory under load: nobody's request fails, nobody gets an old answer for long.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::drivers::Load;
use crate::figures::print_times;
use crate::stage::{STALE_AFTER, Stage};

/// Runs it; true when every promise was kept.
pub(crate) async fn run(arguments: &Arguments) -> bool {
    println!(
        "{} edits in {} s under {} kept connections, {} workers, seed {}",
        arguments.edits, arguments.seconds, arguments.connections, arguments.workers, arguments.seed
    );
    let stage = Stage::build(arguments, &["--access-log", "off"]).await;
    let load = Load::new(stage, arguments.pace, 256 * 1024);
    let before = load.stage.portico.resident_kib();
    let drivers = load.start(arguments.connections);
    let mut random = fastrand::Rng::with_seed(arguments.seed);
    let mut edits: BTreeMap<&str, u32> = BTreeMap::new();
    let start = Instant::now();
    let spacing = Duration::from_secs(arguments.seconds) / arguments.edits.max(1);
    for number in 0..arguments.edits {
        // Not on a beat: up to a third later.
        let jitter = spacing.mul_f64(random.f64() / 3.0);
        tokio::time::sleep_until((start + spacing * number + jitter).into()).await;
        let kind =
            if number % 2 == 0 { load.stage.edit_driven(&mut random) } else { load.stage.edit_other(&mut random) };
        *edits.entry(kind).or_default() += 1;
    }
    tokio::time::sleep(STALE_AFTER * 2).await;
    let failures = load.finish(drivers).await;
    let elapsed = start.elapsed();
    let (requests, connections) = (load.requests.load(Ordering::SeqCst), load.connections.load(Ordering::SeqCst));
    println!("edits: {edits:?}");
    println!(
        "requests: {requests} in {elapsed:.1?} ({:.0} a second) on {connections} connections",
        requests as f64 / elapsed.as_secs_f64()
    );
    let (mut routes, mut certificates, mut unseen) = (Vec::new(), Vec::new(), 0);
    for host in &load.stage.hosts {
        for (history, into) in [(host.backend.effects(), &mut routes), (host.certificate.effects(), &mut certificates)]
        {
            into.extend(history.0);
            unseen += history.1;
        }
    }
    let mut all = [routes.clone(), certificates.clone()].concat();
    print_times("write to effect, endpoints and paths", &mut routes);
    print_times("write to effect, certificates", &mut certificates);
    print_times("write to effect, all", &mut all);
    println!("writes without effect: {unseen}");
    println!("generations: {}", load.stage.portico.metric("portico_table_generation", &[]).await);
    println!("resident: {before} KiB before, {} KiB after", load.stage.portico.resident_kib());
    failures.print();
    failures.is_empty() && unseen == 0
}
