//! Bugs of our own, as points of failure make them.

use std::time::Duration;

use portico_tests::process::resident_kib;
use portico_tests::{Ingress, Service};

use crate::backend::Backend;
use crate::load::{Load, Shape};
use crate::row::Figures;
use crate::stage::{HOST, binary_with_failpoints, count, descriptors, setup_of, site, within};

/// R26: every other request panics in its handler.
pub(crate) async fn handler() -> Figures {
    let backend = Backend::start(2).await;
    let setup = setup_of(&binary_with_failpoints()).env("FAILPOINTS", "request=50%panic").env("RUST_BACKTRACE", "0");
    let portico = setup.manifests(site(&[backend.address])).args(&["--max-connection-requests", "0"]).start().await;
    let panics = async || count(&portico, "portico_panics_total", &[]).await;
    let (mut sizes, mut broken, mut answered) = (Vec::new(), 0, 0);
    // The first thousands fill what is filled once.
    for most in [5_000, 10_000, 15_000] {
        let load = Load::start(8, &Shape::get(portico.http(), HOST));
        let reached = within(Duration::from_secs(120), async || panics().await >= most).await;
        let outcome = load.stop().await;
        let lost = outcome.failures.get("status 500").copied().unwrap_or(0);
        broken += outcome.failed() - lost + u64::from(!reached);
        answered += outcome.good;
        sizes.push((resident_kib(portico.process.id()), descriptors(portico.process.id())));
    }
    let in_flight =
        within(Duration::from_secs(5), async || count(&portico, "portico_requests_in_flight", &[]).await == 0);
    let grown = sizes[2].0.saturating_sub(sizes[0].0);
    Figures::default()
        .at_least("panics", as_f64(panics().await), 10_000.0, "")
        .none("lost beside 500", broken)
        .at_least("others answered", as_f64(answered), 10_000.0, "")
        .holds("none in flight", in_flight.await)
        .at_most("grown over the last 10,000", as_f64(grown), 4096.0, " KiB")
        .none("descriptors grown", (sizes[2].1.saturating_sub(sizes[0].1)) as u64)
}

/// R27: the second and third compile panic.
pub(crate) async fn compile() -> Figures {
    let backend = Backend::start(2).await;
    let documents = |number: usize| {
        let ingress = Ingress::new("web").host(HOST, "web").host(&format!("swap-{number}.test"), "web");
        [ingress.to_string(), Service::new("web").with(&[backend.address])]
    };
    let setup = setup_of(&binary_with_failpoints()).env("FAILPOINTS", "compile=1*off->2*panic->off");
    let portico = setup.manifests(documents(0)).start().await;
    let load = Load::start(4, &Shape::get(portico.http(), HOST));
    let panics = async || portico.metric("portico_compile_panics_total", &[]).await;
    for number in 1..=2 {
        portico.apply(documents(number));
        #[expect(clippy::cast_precision_loss, reason = "one or two")]
        within(Duration::from_secs(5), async || panics().await >= number as f64).await;
    }
    let counted = panics().await;
    let kept = count(&portico, "portico_table_generation", &[]).await;
    portico.apply(documents(3));
    portico.answers_status("swap-3.test", "/", 200).await;
    let outcome = load.stop().await;
    Figures::default()
        .at_least("panics counted", counted, 2.0, "")
        .holds("last good table meanwhile", kept == 1)
        .holds("tried again with the next change", true)
        .none("err", outcome.failed() + outcome.refused)
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
