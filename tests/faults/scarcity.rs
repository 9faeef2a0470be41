//! Too few descriptors, too little memory, too little time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portico_tests::Portico;
use portico_tests::client::get;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::backend::Backend;
use crate::cgroup::Cgroup;
use crate::load::{Load, Shape};
use crate::row::{Figures, millis};
use crate::stage::{HOST, Wrapped, count, descriptors as open_descriptors, processor_time, site, within};

/// R19: 4,096 descriptors, 10,000 clients that say nothing.
pub(crate) async fn descriptors() -> Figures {
    let backend = Backend::start(2).await;
    let wrapped = Wrapped::new("ulimit -n 4096", "");
    let flags = ["--first-byte-timeout", "60s"];
    let mut portico = wrapped.setup().manifests(site(&[backend.address])).args(&flags).workers(2).start().await;
    let crowd = crowd(portico.http(), 10_000).await;
    let process = portico.process.id();
    let before = processor_time(process);
    let watched = Instant::now();
    let (mut slow, mut unanswered) = (Duration::ZERO, 0);
    while watched.elapsed() < Duration::from_secs(4) {
        for address in [portico.addresses.status, portico.addresses.admin] {
            let begun = Instant::now();
            let path = if address == portico.addresses.status { "/healthz" } else { "/routes" };
            let answer = timeout(Duration::from_secs(1), get(address, "localhost", path)).await;
            unanswered += u64::from(!matches!(answer, Ok(Ok(answer)) if answer.status == 200));
            slow = slow.max(begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let busy = (processor_time(process) - before).as_secs_f64() / watched.elapsed().as_secs_f64() * 100.0;
    let open = open_descriptors(process);
    let held = crowd.len();
    drop(crowd);
    let begun = Instant::now();
    let recovered = within(Duration::from_secs(10), async || {
        let answer = timeout(Duration::from_secs(10), get(portico.http(), HOST, "/")).await;
        matches!(answer, Ok(Ok(answer)) if answer.status == 200)
    });
    let recovered = recovered.await;
    Figures::default()
        .holds("runs", !portico.process.ended())
        .at_least("clients held", as_f64(held), 9000.0, "")
        .at_most("descriptors", as_f64(open), 4096.0 - 512.0, "")
        .at_most("CPU", busy, 20.0, " %")
        .none("status or admin unanswered", unanswered)
        .note(format!("slowest of them {:.0} ms", millis(slow)))
        .holds("serves again", recovered)
        .within("after", begun.elapsed(), Duration::from_secs(1))
}

/// So many connections, as far as they can be had.
async fn crowd(to: SocketAddr, clients: usize) -> Vec<TcpStream> {
    let mut connecting = JoinSet::new();
    let mut held = Vec::new();
    for number in 0..clients {
        connecting.spawn(timeout(Duration::from_secs(5), TcpStream::connect(to)));
        if number % 500 == 499 {
            while let Some(joined) = connecting.join_next().await {
                held.extend(joined.ok().and_then(Result::ok).and_then(Result::ok));
            }
        }
    }
    held
}

/// R20: 128 MiB, and clients that upload to an upstream which does not read.
pub(crate) async fn memory() -> Figures {
    let minutes = std::env::var("SQUEEZE_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(30_u64);
    let cgroup = Cgroup::limited_to(128 << 20);
    let backend = Backend::start(2).await;
    let unread = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let documents = site(&[backend.address]).into_iter().chain([
        portico_tests::Ingress::new("unread").host("unread.test", "unread").to_string(),
        portico_tests::Service::new("unread").with(&[unread.local_addr().unwrap()]),
    ]);
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = unread.accept().await {
            held.push(stream);
        }
    });
    let wrapped = Wrapped::new(&cgroup.enter(), "");
    let mut portico = wrapped.setup().manifests(documents).workers(2).start().await;
    let limit = count(&portico, "portico_memory_limit_bytes", &[]).await;
    let light = Load::start(2, &Shape { pace: Duration::from_millis(20), ..Shape::get(portico.http(), HOST) });
    let (mut levels, mut worst) = ([false; 4], 0);
    let mut uploads = JoinSet::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(minutes) && !portico.process.ended() {
        while uploads.try_join_next().is_some() {}
        for _ in 0..MOST_UPLOADS.saturating_sub(uploads.len()).min(20) {
            uploads.spawn(upload(portico.http()));
        }
        let level = count(&portico, "portico_memory_level", &[]).await;
        levels[usize::try_from(level).unwrap().min(3)] = true;
        worst = worst.max(count(&portico, "portico_memory_used_bytes", &[]).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let died = portico.process.ended();
    uploads.shutdown().await;
    holding.abort();
    let light = light.stop().await;
    let mut figures = Figures::default()
        .holds("limit found", limit == 128 << 20)
        .holds("never killed", !died)
        .at_most("most used", as_f64(usize::try_from(worst).unwrap()) / 1.28 / 1024.0 / 1024.0, 100.0, " %")
        .note(format!("levels seen {levels:?}"))
        .note(format!("light load: {} answered, {} refused, {} failed", light.good, light.refused, light.failed()));
    if !died {
        let calm = within(Duration::from_secs(10), async || {
            count(&portico, "portico_memory_level", &[]).await == 0
                && get(portico.http(), HOST, "/").await.is_ok_and(|answer| answer.status == 200)
        });
        let refused = count(&portico, "portico_limit_breaches_total", &["limit=\"memory\""]).await;
        figures = figures
            .at_least("refused", as_f64(usize::try_from(refused).unwrap()), 1.0, "")
            .holds("recovers", calm.await);
    }
    figures
}

/// Uploads at once, in all: as many as the rows themselves have descriptors and ports for.
const MOST_UPLOADS: usize = 2000;

/// A request whose body nobody takes, until it is cut.
async fn upload(to: SocketAddr) {
    let Ok(mut stream) = TcpStream::connect(to).await else { return };
    let head = "POST / HTTP/1.1\r\nHost: unread.test\r\nContent-Length: 100000000\r\n\r\n";
    let body = vec![b'x'; 64 * 1024];
    let _ = stream.write_all(head.as_bytes()).await;
    while stream.write_all(&body).await.is_ok() {}
}

/// R21: four times the clients that fill the processor, of which it has a part: the rest drives.
pub(crate) async fn processor() -> Figures {
    let cgroup = Cgroup::with_processor(20);
    let backend = Backend::start(2).await;
    let wrapped = Wrapped::new(&cgroup.enter(), "");
    let portico = wrapped.setup().manifests(site(&[backend.address])).start().await;
    let shape = Shape::get(portico.http(), HOST);
    let (mut peak, mut overloaded) = (0.0_f64, 0.0_f64);
    let (mut slow, mut tail, mut failed) = (Vec::new(), Duration::ZERO, 0);
    for _ in 0..3 {
        peak = peak.max(Load::start(64, &shape).during(Duration::from_secs(2)).await.rate());
        let load = Load::start(256, &shape);
        let asking = asked(&portico, Duration::from_secs(2)).await;
        let outcome = load.stop().await;
        slow.extend(asking);
        overloaded = overloaded.max(outcome.rate());
        tail = tail.max(outcome.quantile(0.99));
        failed += outcome.failed();
    }
    slow.sort_unstable();
    let admin = slow[slow.len() * 99 / 100];
    Figures::default()
        .at_least("goodput", overloaded / peak * 100.0, 80.0, " % of peak")
        .within("admin p99", admin, Duration::from_millis(100))
        .within("p99 at 256 clients", tail, Duration::from_secs(1))
        .none("failed", failed)
        .note(format!("peak {peak:.0}/s"))
}

/// How long the admin port takes, again and again.
async fn asked(portico: &Portico, time: Duration) -> Vec<Duration> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let asked = Instant::now();
        portico.admin("/routes").await;
        times.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    times
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
