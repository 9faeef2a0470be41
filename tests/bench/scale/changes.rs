//! Single changes: how long until the first request is served by one, and what processor time it takes.

use std::time::{Duration, Instant};

use portico_tests::Portico;
use portico_tests::client::{Call, Connection, Tls, get, leaf};
use tokio::time::{sleep, timeout};

use crate::cluster::{Cluster, TLS, host};
use crate::machine;

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Endpoint,
    Rule,
    Certificate,
}

/// All of them.
pub(crate) const KINDS: [Kind; 3] = [Kind::Endpoint, Kind::Rule, Kind::Certificate];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Rule => "rule",
            Self::Certificate => "certificate",
        }
    }
}

/// What shows that a change is in effect.
enum Sign {
    Body(String),
    Path(String),
    Leaf(Vec<u8>),
}

/// Pause between two changes: longer than the hold-off, so that each is a first one.
const PAUSE: Duration = Duration::from_millis(150);
/// Longest wait for a change.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for the first table and the answer by it; with the largest tables that takes longer than tests have patience.
pub(crate) async fn first(portico: &Portico, cluster: &Cluster) {
    let ready = async {
        while get(portico.addresses.status, "status", "/readyz").await.is_ok_and(|answer| answer.status != 200) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("the first table is there within two minutes");
    let last = cluster.len() - 1;
    wait(portico, last, &Sign::Path("/".to_owned())).await;
}

/// Times from the moment at which a file is moved into its place to the answer that shows it.
pub(crate) async fn latency(portico: &Portico, cluster: &mut Cluster, kind: Kind, samples: usize) -> Vec<Duration> {
    let mut took = Vec::with_capacity(samples);
    for sample in 0..samples {
        sleep(PAUSE).await;
        let number = application(cluster, sample);
        let sign = change(cluster, kind, number);
        let begun = Instant::now();
        cluster.write(number);
        wait(portico, number, &sign).await;
        took.push(begun.elapsed());
    }
    took
}

/// Processor time of a change in milliseconds, without requests: that of many, less that of as long a time without any.
/// An endpoint is looked at once more after a second; `rest` lets that be done, before and after.
pub(crate) async fn cost(portico: &Portico, cluster: &mut Cluster, kind: Kind, samples: usize, rest: Duration) -> f64 {
    let pid = portico.process.id();
    sleep(rest).await;
    let (idle, begun) = (machine::processor(pid), Instant::now());
    sleep(PAUSE * u32::try_from(samples).expect("few samples")).await;
    let idle = (machine::processor(pid) - idle) / begun.elapsed().as_secs_f64();
    let (busy, begun) = (machine::processor(pid), Instant::now());
    for sample in 0..samples {
        let number = application(cluster, sample);
        change(cluster, kind, number);
        cluster.write(number);
        sleep(PAUSE).await;
    }
    sleep(rest).await;
    let busy = machine::processor(pid) - busy - idle * begun.elapsed().as_secs_f64();
    busy.max(0.0) * 1000.0 / samples as f64
}

/// Another application each time, with TLS.
fn application(cluster: &Cluster, sample: usize) -> usize {
    let with_tls = cluster.len().div_ceil(TLS);
    sample * 7919 % with_tls * TLS
}

fn change(cluster: &mut Cluster, kind: Kind, number: usize) -> Sign {
    match kind {
        Kind::Endpoint => Sign::Body(cluster.move_endpoint(number)),
        Kind::Rule => Sign::Path(cluster.change_rule(number)),
        Kind::Certificate => Sign::Leaf(cluster.renew(number)),
    }
}

async fn wait(portico: &Portico, number: usize, sign: &Sign) {
    let name = host(number, 0);
    let asked = async {
        match sign {
            Sign::Leaf(expected) => {
                let tls = Tls::accepting_any().without_resumption();
                loop {
                    let stream = tls.connect(portico.https(), &name).await.expect("handshakes succeed");
                    if leaf(&stream).is_some_and(|leaf| *leaf == **expected) {
                        break;
                    }
                }
            }
            Sign::Body(_) | Sign::Path(_) => {
                let mut connection = Connection::plain(portico.http()).await.expect("it listens");
                let path = if let Sign::Path(path) = sign { path } else { "/" };
                let request = || Call::get(path).host(&name).request();
                loop {
                    let answer = connection.send(request()).await.expect("requests are answered");
                    match sign {
                        Sign::Body(body) if answer.text() == *body => break,
                        Sign::Path(_) if answer.status == 200 => break,
                        _ => sleep(Duration::from_micros(200)).await,
                    }
                }
            }
        }
    };
    timeout(PATIENCE, asked).await.expect("a change comes into effect within two minutes");
}
