//! Hours of the same: what grows only shows with time.

use std::time::{Duration, Instant};

use portico_tests::process::resident_kib;
use portico_tests::{Ingress, Service};

use crate::backend::Backend;
use crate::load::{Load, Shape};
use crate::row::Figures;
use crate::stage::{HOST, descriptors, setup};

/// R34: kept and new connections, broken ones, swaps; memory and descriptors over time. `SOAK_MINUTES`, 20 unless told.
pub(crate) async fn flat() -> Figures {
    let minutes = std::env::var("SOAK_MINUTES").ok().and_then(|minutes| minutes.parse().ok()).unwrap_or(20_u64);
    let backend = Backend::start(2000).await;
    let documents = |number: usize| {
        let ingress = Ingress::new("web").host(HOST, "web").host(&format!("swap-{}.test", number % 50), "web");
        [ingress.to_string(), Service::new("web").with(&[backend.address])]
    };
    let portico = setup().manifests(documents(0)).workers(2).start().await;
    let kept = Shape { pace: Duration::from_millis(10), ..Shape::get(portico.http(), HOST) };
    let kept = Load::start(16, &kept);
    let fresh =
        Load::start(8, &Shape { keep: false, pace: Duration::from_millis(20), ..Shape::get(portico.http(), HOST) });
    let (begun, mut samples, mut swaps) = (Instant::now(), Vec::new(), 0);
    let process = portico.process.id();
    while begun.elapsed() < Duration::from_secs(minutes * 60) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        swaps += 1;
        portico.apply(documents(swaps));
        samples.push((begun.elapsed().as_secs_f64(), resident_kib(process) as f64, descriptors(process) as f64));
    }
    let (kept, fresh) = (kept.stop().await, fresh.stop().await);
    // What is filled once is filled in the first third.
    let settled = &samples[samples.len() / 3..];
    // Requests come and go; what stays is the floor under them.
    let floor = |of: fn(&Sample) -> f64| {
        let least = |part: &[Sample]| part.iter().map(of).fold(f64::INFINITY, f64::min);
        settled.chunks(PART).map(|part| (part[0].0, least(part))).collect::<Vec<_>>()
    };
    let (memory, open) = (floor(|sample| sample.1), floor(|sample| sample.2));
    let grown = open[open.len() - 1].1 - open[0].1;
    let memory = slope(memory.into_iter()) * 3600.0 / 1024.0;
    let (first, last) = (settled[0], settled[settled.len() - 1]);
    Figures::default()
        .at_most("RSS slope", memory, 1.0, " MiB/h")
        .at_most("FD grown", grown, 2.0, "")
        .none("err", kept.failed() + fresh.failed() + kept.refused + fresh.refused)
        .note(format!("RSS {:.1} to {:.1} MiB, FD {} to {}", first.1 / 1024.0, last.1 / 1024.0, first.2, last.2))
        .note(format!("{minutes} min, {swaps} swaps, {}, {}", kept.summary(), fresh.summary()))
}

/// Seconds, KiB, descriptors.
type Sample = (f64, f64, f64);
/// Samples, of five seconds each, that one floor is taken from.
const PART: usize = 6;

/// The slope of the straight line through points, by least squares.
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = points.clone().count() as f64;
    let (x, y) = points.clone().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let over = points.clone().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>();
    over / points.map(|point| (point.0 - x).powi(2)).sum::<f64>()
}
