//! Nobody reads the log, or its disk is full.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use portico_tests::process::resident_kib;

use crate::backend::Backend;
use crate::load::{Load, Shape};
use crate::row::Figures;
use crate::stage::{HOST, Wrapped, count, site, within};

/// R23: stdout is a pipe that nobody reads, then a device that is full.
pub(crate) async fn blocked() -> Figures {
    let mut figures = Figures::default();
    let backend = Backend::start(2).await;
    let places = tempfile::tempdir().unwrap();
    let pipe = places.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Open for both, so that opening it waits for nobody; never read.
    let _reader = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    for (what, place) in [("unread pipe", pipe.display().to_string()), ("full disk", "/dev/full".to_owned())] {
        let wrapped = Wrapped::new("", &format!("> {place}"));
        let portico = wrapped.setup().manifests(site(&[backend.address])).args(&["--access-log", "json"]).start().await;
        let shape = Shape::get(portico.http(), HOST);
        let warm = Load::start(8, &shape).during(Duration::from_secs(2)).await;
        let before = resident_kib(portico.process.id());
        let load = Load::start(8, &shape);
        // More lines than the queue and the pipe hold.
        within(Duration::from_secs(60), async || load.tally.good.load(Relaxed) >= 12_000).await;
        let load = load.stop().await;
        let grown = resident_kib(portico.process.id()).saturating_sub(before);
        let dropped = count(&portico, "portico_access_log_dropped_total", &[]).await;
        figures = figures
            .none(&format!("{what}: err"), warm.failed() + load.failed())
            .at_least("dropped", f64::from(u32::try_from(dropped).unwrap_or(u32::MAX)), 1.0, "")
            .at_most("p99", crate::row::millis(load.quantile(0.99)), 200.0, " ms")
            .at_most("grown", f64::from(u32::try_from(grown).unwrap()) / 1024.0, 24.0, " MiB");
    }
    figures
}
