//! Load over raw HTTP/1.1 connections: every answer is read to its last octet, every failure has a name.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What clients do.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) to: SocketAddr,
    /// Where new connections go instead, as it changes.
    pub(crate) routed: Option<watch::Receiver<SocketAddr>>,
    pub(crate) host: String,
    pub(crate) method: &'static str,
    /// Whether connections are kept.
    pub(crate) keep: bool,
    /// Pause after each answer.
    pub(crate) pace: Duration,
}

impl Shape {
    /// GET on kept connections without a pause.
    pub(crate) fn get(to: SocketAddr, host: &str) -> Self {
        Self { to, routed: None, host: host.to_owned(), method: "GET", keep: true, pace: Duration::ZERO }
    }
}

impl Shape {
    fn address(&self) -> SocketAddr {
        self.routed.as_ref().map_or(self.to, |routed| *routed.borrow())
    }
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Tally {
    stop: AtomicBool,
    pub(crate) good: AtomicU64,
    /// Answers of 503.
    pub(crate) refused: AtomicU64,
    /// Reused connections that were closed before they answered anything: asked again on a new one.
    pub(crate) raced: AtomicU64,
    failures: Mutex<BTreeMap<String, u64>>,
    /// Microseconds.
    times: Mutex<Vec<u32>>,
}

/// Clients at work.
pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    clients: JoinSet<()>,
    begun: Instant,
}

impl Load {
    /// Starts so many clients.
    pub(crate) fn start(clients: usize, shape: &Shape) -> Self {
        let tally = Arc::<Tally>::default();
        let mut set = JoinSet::new();
        for _ in 0..clients {
            set.spawn(client(shape.clone(), tally.clone()));
        }
        Self { tally, clients: set, begun: Instant::now() }
    }

    /// Good answers so far.
    pub(crate) fn good(&self) -> u64 {
        self.tally.good.load(Relaxed)
    }

    /// Runs them for that long and stops.
    pub(crate) async fn during(self, time: Duration) -> Outcome {
        tokio::time::sleep(time).await;
        self.stop().await
    }

    /// Stops them after what they are at.
    pub(crate) async fn stop(mut self) -> Outcome {
        let took = self.begun.elapsed();
        self.tally.end();
        while self.clients.join_next().await.is_some() {}
        let mut times = std::mem::take(&mut *self.tally.times.lock().unwrap());
        times.sort_unstable();
        let failures = std::mem::take(&mut *self.tally.failures.lock().unwrap());
        Outcome {
            took,
            good: self.tally.good.load(Relaxed),
            refused: self.tally.refused.load(Relaxed),
            failures,
            times,
        }
    }
}

/// The sums.
pub(crate) struct Outcome {
    pub(crate) took: Duration,
    pub(crate) good: u64,
    pub(crate) refused: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    times: Vec<u32>,
}

impl Outcome {
    /// All failures.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Good answers per second.
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    pub(crate) fn rate(&self) -> f64 {
        self.good as f64 / self.took.as_secs_f64()
    }

    /// The time within which this share of the answers came.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let at = ((self.times.len() as f64 * share) as usize).min(self.times.len().saturating_sub(1));
        Duration::from_micros(self.times.get(at).copied().unwrap_or(0).into())
    }

    /// Requests, rate and what failed.
    pub(crate) fn summary(&self) -> String {
        let failures: Vec<_> = self.failures.iter().map(|(what, count)| format!("{count} x {what}")).collect();
        let failures = if failures.is_empty() { String::new() } else { format!(" [{}]", failures.join(", ")) };
        format!("{} requests at {:.0}/s{failures}", self.good, self.rate())
    }
}

async fn client(shape: Shape, tally: Arc<Tally>) {
    let request = format!("{} / HTTP/1.1\r\nHost: {}\r\n\r\n", shape.method, shape.host);
    let mut kept: Option<TcpStream> = None;
    let mut times = Vec::new();
    while !tally.ended() {
        let begun = Instant::now();
        let reused = kept.is_some();
        let asked = timeout(LONGEST, ask(kept.take(), &shape, &request)).await;
        match asked.unwrap_or_else(|_| Err(Failure::Other("no answer".to_owned()))) {
            Ok((status, stream)) => {
                kept = stream.filter(|_| shape.keep);
                times.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
                tally.count(status);
            }
            Err(Failure::Unanswered) if reused => drop(tally.raced.fetch_add(1, Relaxed)),
            Err(Failure::Unanswered) => tally.fail("closed unanswered".to_owned()),
            Err(Failure::Other(what)) => tally.fail(what),
        }
        if !shape.pace.is_zero() {
            tokio::time::sleep(shape.pace).await;
        }
    }
    tally.times.lock().unwrap().extend(times);
}

impl Tally {
    /// An answer has come.
    pub(crate) fn count(&self, status: u16) {
        match status {
            200..=299 => drop(self.good.fetch_add(1, Relaxed)),
            503 => drop(self.refused.fetch_add(1, Relaxed)),
            other => self.fail(format!("status {other}")),
        }
    }

    /// Something went wrong.
    pub(crate) fn fail(&self, what: String) {
        *self.failures.lock().unwrap().entry(what).or_default() += 1;
    }

    /// What went wrong, and how often.
    pub(crate) fn failures(&self) -> BTreeMap<String, u64> {
        self.failures.lock().unwrap().clone()
    }

    /// Clients stop after what they are at.
    pub(crate) fn end(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Whether they are to stop.
    pub(crate) fn ended(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

enum Failure {
    /// The connection ended before the first octet of an answer.
    Unanswered,
    Other(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Other(error.kind().to_string())
    }
}

/// One request; the status, and the connection if it stays.
async fn ask(kept: Option<TcpStream>, shape: &Shape, request: &str) -> Result<(u16, Option<TcpStream>), Failure> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(shape.address()).await?;
            stream.set_nodelay(true)?;
            stream
        }
    };
    if stream.write_all(request.as_bytes()).await.is_err() {
        return Err(Failure::Unanswered);
    }
    let (mut read, mut chunk) = (Vec::new(), vec![0; 16 * 1024]);
    let end = loop {
        if let Some(at) = read.windows(4).position(|window: &[u8]| window == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) if read.is_empty() => return Err(Failure::Unanswered),
            Ok(0) | Err(_) => return Err(Failure::Other("cut within a head".to_owned())),
            Ok(length) => read.extend_from_slice(&chunk[..length]),
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = read.len() - end;
    while body < length {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return Err(Failure::Other("cut within a body".to_owned())),
            Ok(more) => body += more,
        }
    }
    Ok((status, (!head.contains("connection: close")).then_some(stream)))
}

/// Longest wait for an answer.
const LONGEST: Duration = Duration::from_secs(15);
