//! Upstreams that refuse, reset, are slow or close at the wrong moment.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portico_tests::client::{Call, Raw, get};
use portico_tests::scripted::{Refusing, Scripted};
use portico_tests::{Ingress, Portico, Service};

use crate::backend::Backend;
use crate::load::{Load, Shape};
use crate::row::Figures;
use crate::stage::{HOST, count, serve, setup, within};
use crate::toxic;

/// R01: one of three does not listen.
pub(crate) async fn refusing() -> Figures {
    let (one, two, dead) = (Backend::start(2).await, Backend::start(2).await, Refusing::new());
    let portico = serve(&[one.address, dead.address, two.address], &["--eject-for", "5s"]).await;
    let (mut failed, mut times) = (0, Vec::new());
    for number in 0..200 {
        let call = if number % 2 == 0 { Call::get("/") } else { Call::post("/", "body") };
        let begun = Instant::now();
        let status = call.host(HOST).to(portico.http()).await.map_or(0, |answer| answer.status);
        times.push(begun.elapsed());
        failed += u64::from(status != 200);
    }
    times.sort_unstable();
    let tried = count(&portico, "portico_upstream_connect_failures_total", &[]).await;
    // The slowest are those that met the dead one first; the fastest of them owes least to what the machine does besides.
    let median = times[times.len() / 2];
    let slow = &times[times.len() - usize::try_from(tried).unwrap()..];
    let extra = slow.first().map_or(Duration::ZERO, |time| time.saturating_sub(median));
    Figures::default()
        .none("err", failed)
        .within("another endpoint after", extra, Duration::from_millis(5))
        .at_most("tries of the dead one", f64::from(u32::try_from(tried).unwrap()), 3.0, "")
        .at_least("ejections", portico.metric("portico_upstream_ejections_total", &[]).await, 1.0, "")
}

/// R03: the connection is reset before there is an answer.
pub(crate) async fn reset_before_head() -> Figures {
    let (bad, good) = (Scripted::resetting().await, Backend::start(2).await);
    let failed = failed_beside(bad.address, good.address).await;
    let heads = bad.heads();
    let (wrong, worst) = alone(bad.address).await;
    let again = bad.heads() - heads - 20;
    let figures = Figures::default()
        .none("err of 50 GET with another endpoint", failed)
        .none("POST not 502", wrong)
        .none("POST sent again", again as u64)
        .within("502 within", worst, Duration::from_millis(50));
    toxic::resets(figures).await
}

/// How many of 50 GET fail while another endpoint is there.
pub(crate) async fn failed_beside(bad: SocketAddr, good: SocketAddr) -> u64 {
    let portico = serve(&[bad, good], &[]).await;
    let mut failed = 0;
    for _ in 0..50 {
        failed += u64::from(get(portico.http(), HOST, "/").await.map_or(0, |answer| answer.status) != 200);
    }
    failed
}

/// How many of 20 POST to it alone are not answered with 502, and the time of the slowest.
pub(crate) async fn alone(bad: SocketAddr) -> (u64, Duration) {
    let portico = serve(&[bad], &["--eject-after", "0"]).await;
    let (mut wrong, mut worst) = (0, Duration::ZERO);
    for _ in 0..20 {
        let begun = Instant::now();
        let answer = Call::post("/", "body").host(HOST).to(portico.http()).await;
        wrong += u64::from(answer.map_or(0, |answer| answer.status) != 502);
        worst = worst.max(begun.elapsed());
    }
    (wrong, worst)
}

/// R04: the connection is reset within the answer.
pub(crate) async fn reset_mid_body() -> Figures {
    let lengths = Scripted::with(|mut exchange| async move {
        exchange.head().await;
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
        exchange.reset();
    })
    .await;
    let chunks = Scripted::with(|mut exchange| async move {
        exchange.head().await;
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
        exchange.reset();
    })
    .await;
    let (mut clean, mut kept, mut counted) = (0, 0, 0);
    for bad in [&lengths, &chunks] {
        let portico = serve(&[bad.address], &[]).await;
        for _ in 0..20 {
            let mut client = Raw::connect(portico.http()).await;
            client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
            let octets = client.rest().await;
            let text = String::from_utf8_lossy(&octets);
            // A reset may overtake the head; then there is nothing that could look whole.
            let whole = text.ends_with("0\r\n\r\n")
                || text.starts_with("HTTP/1.1 200") && text.contains("Content-Length: 4\r\n");
            clean += u64::from(whole);
        }
        kept += count(&portico, "portico_upstream_connections_idle", &[]).await;
        counted += count(&portico, "portico_upstream_answers_broken_total", &[]).await;
        counted += count(&portico, "portico_requests_total", &["5xx"]).await;
    }
    let figures = Figures::default().none("clean ends of 40", clean).none("connections kept", kept).at_least(
        "counted",
        f64::from(u32::try_from(counted).unwrap()),
        40.0,
        "",
    );
    toxic::cuts(figures).await
}

/// R05: the head does not come.
pub(crate) async fn slow_head() -> Figures {
    let silent = Scripted::silent().await;
    let own = Ingress::new("own").host("own.test", "web").annotation("portico.dev/request-timeout", "500ms");
    let documents = [Ingress::new("web").host(HOST, "web"), own].map(|ingress| ingress.to_string());
    let service = Service::new("web").with(&[silent.address]);
    let portico = setup()
        .manifests(documents.into_iter().chain([service]))
        .args(&["--upstream-response-timeout", "1500ms"])
        .start()
        .await;
    let mut figures = Figures::default();
    for (host, timeout) in [(HOST, Duration::from_millis(1500)), ("own.test", Duration::from_millis(500))] {
        let begun = Instant::now();
        let status = get(portico.http(), host, "/").await.map_or(0, |answer| answer.status);
        let off = begun.elapsed().abs_diff(timeout);
        figures = figures.holds(&format!("{timeout:?}: 504"), status == 504).within(
            "off by",
            off,
            Duration::from_millis(100),
        );
    }
    toxic::delays(figures).await
}

/// R06: the answer comes octet by octet, and then not at all.
pub(crate) async fn trickle() -> Figures {
    let slow = Scripted::with(|mut exchange| async move {
        exchange.head().await;
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        for _ in 0..60 {
            exchange.send("x").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while exchange.more().await {}
    })
    .await;
    let fast = Backend::start(100).await;
    let documents = [
        Ingress::new("slow").host("slow.test", "slow").to_string(),
        Service::new("slow").with(&[slow.address]),
        Ingress::new("web").host(HOST, "web").to_string(),
        Service::new("web").with(&[fast.address]),
    ];
    let portico = setup().manifests(documents).args(&["--upstream-idle-timeout", "1s"]).start().await;
    let mut trickling = Vec::new();
    let alone = quiet(&portico).await;
    for _ in 0..50 {
        let mut client = Raw::connect(portico.http()).await;
        client.send("GET / HTTP/1.1\r\nHost: slow.test\r\n\r\n").await;
        trickling.push(client);
    }
    let beside = quiet(&portico).await;
    let begun = Instant::now();
    let mut clean = 0;
    for mut client in trickling {
        clean += u64::from(client.rest().await.len() >= 1000);
    }
    let cut = within(Duration::from_secs(1), async || {
        count(&portico, "portico_limit_breaches_total", &["upstream_body_idle"]).await == 50
    });
    let (cut, after) = (cut.await, begun.elapsed());
    // Before or after, whichever was the slower time for the machine.
    let alone = alone.max(quiet(&portico).await);
    let share = beside.as_secs_f64() / alone.as_secs_f64() * 100.0;
    Figures::default()
        .holds("all 50 cut", cut)
        .none("taken for whole", clean)
        .at_most("cut after", after.as_secs_f64(), 8.0, " s")
        .at_most("p99 of others", share, 105.0, " % of before")
}

/// The least 99th percentile of several short loads: what the machine does besides only ever adds to it.
async fn quiet(portico: &Portico) -> Duration {
    let shape = Shape { pace: Duration::from_millis(2), ..Shape::get(portico.http(), HOST) };
    let mut least = Duration::MAX;
    for _ in 0..4 {
        least = least.min(Load::start(2, &shape).during(Duration::from_millis(400)).await.quantile(0.99));
    }
    least
}

/// R07: the upstream closes idle connections just when they are wanted again.
pub(crate) async fn stale_keep_alive() -> Figures {
    let wanted = std::env::var("STALE_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000_u64);
    let one = Backend::closing(2, Duration::from_millis(20)).await;
    let two = Backend::closing(2, Duration::from_millis(20)).await;
    let portico = serve(&[one.address, two.address], &["--eject-after", "0"]).await;
    // Some ask at once again, so that there is work; some after just the time at which the upstream closes.
    let busy = Load::start(12, &Shape::get(portico.http(), HOST));
    let paced = Shape { pace: Duration::from_millis(19), ..Shape::get(portico.http(), HOST) };
    let racing = Load::start(64, &paced);
    let done =
        within(Duration::from_secs(600), async || busy.tally.good.load(std::sync::atomic::Ordering::Relaxed) >= wanted);
    let done = done.await;
    let (busy, racing) = (busy.stop().await, racing.stop().await);
    let retries = portico.metric("portico_upstream_retries_total", &[]).await;
    Figures::default()
        .none("err", busy.failed() + racing.failed() + busy.refused + racing.refused)
        .holds(&format!("{wanted} requests"), done)
        .note(format!("{}, {}, sent again {retries}", busy.summary(), racing.summary()))
}
