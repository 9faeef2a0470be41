//! Everybody comes back at once.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portico_tests::client::{Call, Tls};
use tokio::task::JoinSet;

use crate::backend::Backend;
use crate::load::{Load, Shape};
use crate::row::Figures;
use crate::stage::{HOST, setup, site};

/// Processes that clients are spread over: one alone has not the descriptors.
const PROCESSES: usize = 4;

/// R30: 20,000 clients with a full handshake each, at one stroke.
pub(crate) async fn reconnect() -> Figures {
    let clients = std::env::var("CROWD").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000_usize);
    let backend = Backend::start(2).await;
    let flags = ["--tls-handshake-timeout", "60s", "--first-byte-timeout", "60s"];
    let mut portico = setup().manifests(site(&[backend.address])).args(&flags).workers(2).start().await;
    let established = Load::start(2, &Shape { pace: Duration::from_millis(20), ..Shape::get(portico.http(), HOST) });
    let mut parts = JoinSet::new();
    for _ in 0..PROCESSES {
        let part = Command::new(std::env::current_exe().unwrap())
            .env("CROWD_PART", (clients / PROCESSES).to_string())
            .env("CROWD_TO", portico.https().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        parts.spawn_blocking(move || part.wait_with_output());
    }
    let (mut failed, mut slowest) = (0, 0);
    while let Some(part) = parts.join_next().await {
        let text = String::from_utf8(part.unwrap().unwrap().stdout).unwrap();
        let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        failed += numbers[0];
        slowest = slowest.max(numbers[1]);
    }
    let established = established.stop().await;
    Figures::default()
        .none(&format!("failed of {clients}"), failed)
        .at_most("slowest", Duration::from_millis(slowest).as_secs_f64(), 10.0, " s")
        .holds("runs", !portico.process.ended())
        .none("err of those who were there", established.failed())
        .within("their p99", established.quantile(0.99), Duration::from_secs(1))
}

/// One process's part of the crowd: prints failures and the slowest in milliseconds.
pub(crate) async fn part() {
    let clients: usize = std::env::var("CROWD_PART").unwrap().parse().unwrap();
    let to: SocketAddr = std::env::var("CROWD_TO").unwrap().parse().unwrap();
    let tls = Arc::new(Tls::accepting_any().without_resumption());
    let mut all = JoinSet::new();
    for _ in 0..clients {
        let tls = tls.clone();
        all.spawn(async move {
            let begun = Instant::now();
            let answer = Call::get("/").host(HOST).header("connection", "close").to_tls(to, &tls).await;
            (answer.is_ok_and(|answer| answer.status == 200), begun.elapsed())
        });
    }
    let (mut failed, mut slowest) = (0, Duration::ZERO);
    while let Some(one) = all.join_next().await {
        let (good, took) = one.unwrap();
        failed += u64::from(!good);
        slowest = slowest.max(took);
    }
    println!("{failed} {}", slowest.as_millis());
}
