//! A thousand tables under full load.

use std::time::Duration;

use portico_tests::{Ingress, Service};

use crate::backend::Backend;
use crate::load::{Load, Shape};
use crate::row::Figures;
use crate::stage::{HOST, count, setup, within};

/// R18: swaps one after the other while clients ask without a pause.
pub(crate) async fn at_full_load() -> Figures {
    let (backend, clients) = (Backend::start(100).await, 16);
    let documents = |number: usize| {
        let ingress = Ingress::new("web").host(HOST, "web").host(&format!("swap-{number}.test"), "web");
        [ingress.to_string(), Service::new("web").with(&[backend.address])]
    };
    let flags = ["--hold-off", "10ms", "--max-connection-requests", "0"];
    let portico = setup().manifests(documents(0)).args(&flags).workers(2).start().await;
    let generation = async || count(&portico, "portico_table_generation", &[]).await;
    let (first, connections) = (generation().await, count(&portico, "portico_connections_total", &[]).await);
    let load = Load::start(clients, &Shape::get(portico.http(), HOST));
    let (mut most, mut stuck) = (0, 0);
    for number in 1..=1000 {
        let before = generation().await;
        portico.apply(documents(number));
        let swapped = within(Duration::from_secs(10), async || generation().await > before).await;
        stuck += u64::from(!swapped);
        most = most.max(count(&portico, "portico_tables_live", &[]).await);
    }
    let swaps = generation().await - first;
    let raced = load.tally.raced.load(std::sync::atomic::Ordering::Relaxed);
    let outcome = load.stop().await;
    let connections = count(&portico, "portico_connections_total", &[]).await - connections;
    let freed = within(Duration::from_secs(3), async || count(&portico, "portico_tables_live", &[]).await <= 2).await;
    Figures::default()
        .none("err", outcome.failed() + outcome.refused)
        .none("dropped connections", raced + connections.saturating_sub(clients as u64))
        .at_least("swaps", as_f64(swaps), 1000.0, "")
        .none("swaps that did not come", stuck)
        .at_most("live tables", as_f64(most), as_f64(2 + clients as u64), "")
        .holds("old ones freed", freed)
        .note(outcome.summary())
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
