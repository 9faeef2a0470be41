//! Everybody comes back at once.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::backend::Backend;
use crate::load::{Load, Shape};
use crate::row::Figures;
use crate::stage::{HOST, setup, site};

/// R30: 20,000 clients with a full handshake each, at one stroke.
///
/// They are oha's, which is built with optimisation, because the handshakes of clients take as much time as ours.
pub(crate) async fn reconnect() -> Figures {
    let clients = std::env::var("CROWD").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000_usize);
    let oha = spawn_blocking(oha).await.unwrap();
    let backend = Backend::start(2).await;
    let flags = ["--tls-handshake-timeout", "60s", "--first-byte-timeout", "60s"];
    let mut portico = setup().manifests(site(&[backend.address])).args(&flags).workers(2).start().await;
    let established = Load::start(2, &Shape { pace: Duration::from_millis(20), ..Shape::get(portico.http(), HOST) });
    let mut parts = Vec::new();
    for _ in 0..PROCESSES {
        let each = (clients / PROCESSES).to_string();
        let to = format!("{HOST}:443:{}:{}", portico.https().ip(), portico.https().port());
        let part = Command::new(&oha)
            .args([
                "-n",
                &each,
                "-c",
                &each,
                "--no-tui",
                "--output-format",
                "json",
                "--insecure",
                "-t",
                "60s",
                "--connect-timeout",
                "60s",
            ])
            .args(["--disable-keepalive", "--connect-to", &to, &format!("https://{HOST}/")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        parts.push(spawn_blocking(|| part.wait_with_output()));
    }
    let (mut good, mut slowest, mut errors) = (0, 0.0_f64, Vec::new());
    for part in futures_util::future::join_all(parts).await {
        let report: Value = serde_json::from_slice(&part.unwrap().unwrap().stdout).unwrap();
        good += report["statusCodeDistribution"]["200"].as_u64().unwrap_or(0);
        slowest = slowest.max(report["summary"]["slowest"].as_f64().unwrap_or(f64::INFINITY));
        let named = report["errorDistribution"].as_object().unwrap();
        let refused =
            report["statusCodeDistribution"].as_object().unwrap().iter().filter(|(status, _)| *status != "200");
        errors.extend(named.iter().chain(refused).map(|(what, count)| format!("{count} x {what}")));
    }
    let established = established.stop().await;
    let figures = Figures::default()
        .none(&format!("failed of {clients}"), (clients as u64).saturating_sub(good))
        .at_most("slowest", slowest, 10.0, " s")
        .holds("runs", !portico.process.ended())
        .none("err of those who were there", established.failed())
        .within("their p99", established.quantile(0.99), Duration::from_secs(1));
    if errors.is_empty() { figures } else { figures.note(errors.join(", ")) }
}

/// Processes that clients are spread over: one alone has not the descriptors.
const PROCESSES: usize = 4;

/// The load generator, built when it is not there yet.
fn oha() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bench/oha");
    let built = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(built.status.success(), "oha could not be built");
    String::from_utf8(built.stdout).unwrap().trim_end().to_owned()
}
