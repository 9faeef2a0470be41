//! All changes at once, over millions of requests: what each of them alone does not lose, they must not lose together.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use portico_tests::certificate::{Authority, Issued};
use portico_tests::client::{Call, Connection, Tls, leaf};
use portico_tests::process::Signal;
use portico_tests::{Ingress, Portico, Service, secret};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::backend::Backend;
use crate::load::{Load, Shape, Tally};
use crate::row::Figures;
use crate::stage::{HOST, count, setup, within};

/// A thousand tables, with them rolling restarts of the backends, new certificates and rollouts of the process itself, over
/// `MIXED_REQUESTS` requests (5 million): kept and new connections in clear, new ones over TLS, HTTP/2.
pub(crate) async fn changes() -> Figures {
    let requests = std::env::var("MIXED_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(5_000_000_u64);
    let mut site = Site::open().await;
    let plain = Shape { routed: Some(site.http.subscribe()), ..Shape::get(site.now.http(), HOST) };
    let kept = Load::start(16, &plain);
    let fresh = Load::start(4, &Shape { keep: false, ..plain });
    let tally = Arc::<Tally>::default();
    let mut others = JoinSet::new();
    others.spawn(handshakes(site.https.subscribe(), site.tls.clone(), tally.clone()));
    others.spawn(streams(site.https.subscribe(), site.tls.clone(), tally.clone()));
    let begun = Instant::now();
    let good = || kept.good() + fresh.good() + tally.good.load(Relaxed);
    for number in 1..=SWAPS {
        site.change(number).await;
        let due = requests * number / SWAPS;
        let reached = within(Duration::from_secs(60), async || good() >= due).await;
        assert!(reached, "requests have stopped: {} of {due}", good());
    }
    tally.end();
    while others.join_next().await.is_some() {}
    let (all, raced, over_tls) = (good(), kept.tally.raced.load(Relaxed), tally.good.load(Relaxed));
    let lost = tally.failures();
    let (kept, fresh) = (kept.stop().await, fresh.stop().await);
    let figures = Figures::default()
        .at_least("requests", as_f64(all), as_f64(requests), "")
        .none("err", kept.failed() + fresh.failed() + lost.values().sum::<u64>())
        .none("refused", kept.refused + fresh.refused + tally.refused.load(Relaxed))
        .none("kept connections closed unasked", raced)
        .at_least("swaps", as_f64(site.swaps), as_f64(SWAPS), "")
        .none("unclean ends", site.unclean)
        .none("backends not let go", site.held)
        .none("certificates not shown within 1 s", site.stale)
        .note(format!("{} rollouts, {} backends, {} certificates", site.rollouts, site.replaced, site.rotated))
        .note(format!("{:.0} s, kept {}, new {}", begun.elapsed().as_secs_f64(), kept.summary(), fresh.summary()));
    figures.note(format!("{over_tls} over TLS {lost:?}"))
}

const SWAPS: u64 = 1000;
/// Every so many swaps.
const BACKEND: u64 = 20;
const CERTIFICATE: u64 = 25;
const ROLLOUT: u64 = 100;

/// The process under test and what it serves at the moment.
struct Site {
    now: Portico,
    backends: Vec<Backend>,
    authority: Authority,
    certificate: Issued,
    tls: Tls,
    http: watch::Sender<std::net::SocketAddr>,
    https: watch::Sender<std::net::SocketAddr>,
    swaps: u64,
    rollouts: u64,
    replaced: u64,
    rotated: u64,
    unclean: u64,
    held: u64,
    stale: u64,
}

impl Site {
    async fn open() -> Self {
        let authority = Authority::default();
        let certificate = authority.issue(&[HOST]);
        let mut backends = Vec::new();
        for _ in 0..3 {
            backends.push(Backend::start(200).await);
        }
        let now = start(&documents(0, &backends, &certificate)).await;
        let tls = Tls::trusting(&authority).without_resumption();
        let (http, https) = (watch::Sender::new(now.http()), watch::Sender::new(now.https()));
        Self {
            now,
            backends,
            authority,
            certificate,
            tls,
            http,
            https,
            swaps: 0,
            rollouts: 0,
            replaced: 0,
            rotated: 0,
            unclean: 0,
            held: 0,
            stale: 0,
        }
    }

    /// One swap, and with it what else is due.
    async fn change(&mut self, number: u64) {
        let leaving = if number.is_multiple_of(BACKEND) {
            self.backends.push(Backend::start(200).await);
            Some(self.backends.remove(0))
        } else {
            None
        };
        if number.is_multiple_of(CERTIFICATE) {
            self.certificate = self.authority.issue(&[HOST]);
        }
        let documents = documents(number, &self.backends, &self.certificate);
        let generation = async || count(&self.now, "portico_table_generation", &[]).await;
        let before = generation().await;
        self.now.apply(&documents);
        self.swaps += u64::from(within(Duration::from_secs(10), async || generation().await > before).await);
        if let Some(backend) = leaving {
            self.replaced += 1;
            let left = within(Duration::from_secs(10), async || backend.connections() == 0);
            self.held += u64::from(!left.await);
        }
        if number.is_multiple_of(CERTIFICATE) {
            self.rotated += 1;
            let shown = within(Duration::from_secs(1), async || self.shows_certificate().await);
            self.stale += u64::from(!shown.await);
        }
        if number.is_multiple_of(ROLLOUT) {
            self.roll(&documents).await;
        }
    }

    async fn shows_certificate(&self) -> bool {
        let stream = self.tls.connect(self.now.https(), HOST).await;
        stream.is_ok_and(|stream| leaf(&stream).as_ref() == Some(self.certificate.leaf()))
    }

    /// The next process is ready before the one before is told to end.
    async fn roll(&mut self, documents: &[String]) {
        let next = start(documents).await;
        self.http.send_replace(next.http());
        self.https.send_replace(next.https());
        let mut last = std::mem::replace(&mut self.now, next);
        last.process.signal(Signal::TERM);
        self.unclean += u64::from(!last.process.exit().await.success());
        self.rollouts += 1;
    }
}

async fn start(documents: &[String]) -> Portico {
    let flags = ["--hold-off", "10ms", "--drain-delay", "1s", "--drain-timeout", "5s"];
    setup().manifests(documents).args(&flags).workers(2).start().await
}

fn documents(number: u64, backends: &[Backend], certificate: &Issued) -> Vec<String> {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    let ingress =
        Ingress::new("web").host(HOST, "web").host(&format!("swap-{number}.test"), "web").tls(&[HOST], "cert");
    vec![ingress.to_string(), Service::new("web").with(&addresses), secret("cert", certificate)]
}

/// A new connection over TLS for each request, whose certificate must be good.
async fn handshakes(routed: watch::Receiver<std::net::SocketAddr>, tls: Tls, tally: Arc<Tally>) {
    while !tally.ended() {
        let to = *routed.borrow();
        match Call::get("/").host(HOST).header("connection", "close").to_tls(to, &tls).await {
            Ok(answer) => tally.count(answer.status),
            Err(error) => tally.fail(format!("over TLS: {error}")),
        }
    }
}

/// Requests on one HTTP/2 connection after the other. One that was told to be the last is not failed by the next request,
/// which the client knows it has not sent.
async fn streams(routed: watch::Receiver<std::net::SocketAddr>, tls: Tls, tally: Arc<Tally>) {
    while !tally.ended() {
        let to = *routed.borrow();
        let mut connection = match Connection::tls_http2(to, &tls, HOST).await {
            Ok(connection) => connection,
            Err(error) => {
                tally.fail(format!("HTTP/2 connection: {error}"));
                continue;
            }
        };
        while !tally.ended() {
            match connection.send(Call::get("/").host(HOST).http2().request()).await {
                Ok(answer) => tally.count(answer.status),
                Err(error) if unsent(&error) => break,
                Err(error) => tally.fail(format!("HTTP/2: {error:?}")),
            }
        }
    }
}

/// Whether the request was never looked at: the connection was over before, or its GOAWAY left the stream out, which a client
/// may send again (RFC 9113 section 6.8). Streams that were begun are another row's matter.
fn unsent(error: &portico_tests::Error) -> bool {
    let Some(error) = error.downcast_ref::<hyper::Error>() else { return false };
    let left_out =
        |error: &h2::Error| error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_canceled()
        || error.is_closed()
        || std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>()).is_some_and(left_out)
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
