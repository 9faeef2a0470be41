//! SIGTERM under load: nothing truncated, nothing reset, nothing refused during the delay, exit code 0.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use portico_tests::process::Signal;

use crate::arguments::Arguments;
use crate::drivers::{Load, join};
use crate::stage::Stage;

const DELAY: Duration = Duration::from_secs(5);
const LOAD_BEFORE: Duration = Duration::from_secs(3);
/// The end of accepting is ours to see no earlier than this before the delay is over.
const MARGIN: Duration = Duration::from_millis(50);

/// Runs it; true when every promise was kept.
pub(crate) async fn run(arguments: &Arguments) -> bool {
    println!(
        "SIGTERM under {} kept connections, {} workers, delay {DELAY:?}",
        arguments.connections, arguments.workers
    );
    let flags = ["--access-log", "off", "--drain-delay", "5s", "--drain-timeout", "30s"];
    let stage = Stage::build(arguments, &flags).await;
    let load = Load::new(stage, arguments.pace, 1024 * 1024);
    let drivers = load.start(arguments.connections);
    tokio::time::sleep(LOAD_BEFORE).await;
    let at_signal = load.requests.load(Ordering::SeqCst);
    let signalled = Instant::now();
    load.stage.portico.process.signal(Signal::TERM);
    tokio::time::sleep(DELAY - MARGIN).await;
    let during = load.requests.load(Ordering::SeqCst) - at_signal;
    load.ending.store(true, Ordering::SeqCst);
    // Drivers end by themselves when they are refused.
    let failures = tokio::time::timeout(Duration::from_secs(30), join(drivers)).await;
    let Ok(failures) = failures else {
        println!("drivers are still served 30 s after the delay");
        return false;
    };
    let mut load = Arc::into_inner(load).expect("all drivers have ended");
    let status = load.stage.portico.process.exit().await;
    println!("requests: {at_signal} before the signal, {during} during the delay");
    println!("ended {:.1?} after the signal with {status}", signalled.elapsed());
    failures.print();
    failures.is_empty() && status.code() == Some(0) && during > 0
}
