//! The two kinds of load: connections that are kept, and a new connection for every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use portico_tests::client::{Answer, Call, Connection, Tls, leaf};
use portico_tests::stream::Stream;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::figures::Failures;
use crate::stage::{Host, Stage, Verdict};

/// What drivers share.
#[derive(Debug)]
pub(crate) struct Load {
    /// What is driven.
    pub(crate) stage: Stage,
    /// Ends all drivers.
    pub(crate) stop: AtomicBool,
    /// Set when new connections may be refused, because the process is ending.
    pub(crate) ending: AtomicBool,
    /// Requests answered.
    pub(crate) requests: AtomicU64,
    /// Connections opened.
    pub(crate) connections: AtomicU64,
    /// Pause between two requests of a driver.
    pub(crate) pace: Duration,
    /// Size of every eighth response.
    pub(crate) large: u64,
}

impl Load {
    /// Nothing running yet.
    pub(crate) fn new(stage: Stage, pace: Duration, large: u64) -> Arc<Self> {
        Arc::new(Self {
            stage,
            stop: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            pace,
            large,
        })
    }

    /// Starts `kept` connections that are kept and, for every host, two drivers that open one for each request.
    pub(crate) fn start(self: &Arc<Self>, kept: usize) -> JoinSet<Failures> {
        let mut drivers = JoinSet::new();
        let hosts = self.stage.hosts.len();
        for number in 0..kept + 2 * hosts {
            let driver = Driver {
                host: number % hosts,
                tls: (number / hosts).is_multiple_of(2),
                keep: number < kept,
                failures: Failures::default(),
            };
            drivers.spawn(driver.run(self.clone()));
        }
        drivers
    }

    /// Ends all drivers and adds up what went wrong.
    pub(crate) async fn finish(&self, drivers: JoinSet<Failures>) -> Failures {
        self.stop.store(true, Ordering::SeqCst);
        join(drivers).await
    }
}

/// Waits until all drivers have ended and adds up what went wrong.
pub(crate) async fn join(mut drivers: JoinSet<Failures>) -> Failures {
    let mut failures = Failures::default();
    while let Some(one) = drivers.join_next().await {
        failures.extend(one.expect("no driver panics"));
    }
    failures
}

struct Driver {
    host: usize,
    tls: bool,
    keep: bool,
    failures: Failures,
}

impl Driver {
    async fn run(mut self, load: Arc<Load>) -> Failures {
        let mut kept: Option<Connection> = None;
        let mut number = 0_u64;
        while !load.stop.load(Ordering::SeqCst) {
            number += 1;
            let begun = Instant::now();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match self.connect(&load, begun).await {
                    Some(connection) => connection,
                    // Refused once the end has come: this driver's work is done.
                    None if load.ending.load(Ordering::SeqCst) => break,
                    None => continue,
                },
            };
            let size = if number.is_multiple_of(8) { load.large } else { 0 };
            let reuse = self.ask(&load, &mut connection, size).await;
            if reuse && self.keep {
                kept = Some(connection);
            }
            tokio::time::sleep(load.pace).await;
        }
        self.failures
    }

    fn host<'a>(&self, load: &'a Load) -> &'a Host {
        &load.stage.hosts[self.host]
    }

    async fn connect(&mut self, load: &Load, begun: Instant) -> Option<Connection> {
        let portico = &load.stage.portico;
        let host = self.host(load);
        let address = if self.tls { portico.https() } else { portico.http() };
        let tcp = match TcpStream::connect(address).await {
            Ok(tcp) => tcp,
            Err(error) => {
                if !load.ending.load(Ordering::SeqCst) {
                    self.failures.add("refused connections", error.to_string());
                }
                return None;
            }
        };
        // An option that fails to be set costs time only.
        let _ = tcp.set_nodelay(true);
        let stream = if self.tls {
            let tls = Tls::accepting_any().without_resumption();
            match tls.over(tcp, &host.name).await {
                Ok(stream) => Stream::Tls(Box::new(stream)),
                Err(error) => {
                    self.failures.add("failed handshakes", error.to_string());
                    return None;
                }
            }
        } else {
            Stream::Plain(tcp)
        };
        load.connections.fetch_add(1, Ordering::Relaxed);
        if let Some(shown) = leaf(&stream) {
            match host.certificate.observe(&shown, begun) {
                Verdict::Fresh => {}
                Verdict::Stale(late) => self.failures.add("stale certificates", format!("{} {late:?}", host.name)),
                Verdict::Unknown => self.failures.add("foreign certificates", host.name.clone()),
            }
        }
        match Connection::http1(stream).await {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.failures.add("broken connections", error.to_string());
                None
            }
        }
    }

    /// One request; returns whether the connection may be used again.
    async fn ask(&mut self, load: &Load, connection: &mut Connection, size: u64) -> bool {
        let host = self.host(load);
        let call = Call::get("/path").host(&host.name);
        let call = if size > 0 { call.header("x-echo-size", &size.to_string()) } else { call };
        let begun = Instant::now();
        let answer = match connection.send(call.request()).await {
            Ok(answer) => answer,
            Err(error) => {
                let kind =
                    if self.keep { "socket errors on kept connections" } else { "socket errors on new connections" };
                self.failures.add(kind, format!("{error:?} after {:?}", begun.elapsed()));
                return false;
            }
        };
        load.requests.fetch_add(1, Ordering::Relaxed);
        self.judge(host, &answer, size, begun);
        answer.header("connection") != Some("close") && !connection.is_closed()
    }

    fn judge(&mut self, host: &Host, answer: &Answer, size: u64, begun: Instant) {
        if answer.status != 200 {
            self.failures.add("answers other than 200", answer.to_string());
            return;
        }
        if size > 0 && answer.body.len() as u64 != size {
            self.failures.add("truncated responses", format!("{} of {size} octets", answer.body.len()));
        }
        let backend = answer.backend().unwrap_or_default().to_owned();
        match host.backend.observe(&backend, begun) {
            Verdict::Fresh => {}
            Verdict::Stale(late) => {
                self.failures.add("stale answers", format!("{} from {backend} {late:?} after the write", host.name));
            }
            Verdict::Unknown => self.failures.add("foreign answers", format!("{} from {backend:?}", host.name)),
        }
    }
}
