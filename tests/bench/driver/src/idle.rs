//! Memory of idle connections: everybody holds them at the same time, each in a fresh process that has come to rest.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

use crate::args::Settings;
use crate::figures::{Figures, Sample, Value};
use crate::measure;
use crate::peers::Proxy;
use crate::scenario::Scenario;
use crate::site::Site;

/// Connections that come and go first, so that what a process needs once is not counted.
const WARM: usize = 64;
/// Longest time that the driver may need for all connections.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long memory has to stand still before anything counts, and the longest wait for that.
const REST: Duration = Duration::from_secs(3);
const RESTLESS: Duration = Duration::from_secs(20);
/// Kilobytes that are no movement.
const STILL: u64 = 64;

/// Measures one scenario; one round is enough, memory is no matter of luck.
pub(crate) async fn run(
    settings: &Settings,
    site: &Site,
    scenario: &'static Scenario,
    alpn: Option<&'static str>,
    figures: &mut Figures,
) -> Result<()> {
    let proxies = measure::proxies(settings, site, scenario, figures).await;
    let mut held = Vec::new();
    for proxy in &proxies {
        let port = proxy.port(alpn.is_some(), "/");
        let holding = async {
            drop(Holder::start(settings, port, alpn, WARM).await?);
            let before = rested(proxy).await?;
            anyhow::Ok((before, Holder::start(settings, port, alpn, settings.idle_connections).await?))
        };
        let holding = holding.await;
        if let Some((before, holder)) = figures.note(scenario.name, proxy.kind, holding) {
            held.push((proxy, before, holder));
        }
    }
    tokio::time::sleep(Duration::from_secs(settings.idle_seconds)).await;
    for (proxy, before, mut holder) in held {
        let after = proxy.running.resident()?;
        #[expect(clippy::cast_precision_loss, reason = "kilobytes are far below 2^52")]
        let kilobytes = (after as f64 - before as f64) / settings.idle_connections as f64;
        // All of them still work.
        let again = holder.again().await;
        figures.note(scenario.name, proxy.kind, again);
        eprintln!("  {:<8} {kilobytes:.1} KB", proxy.kind.name());
        let value = Value::Idle { kilobytes };
        figures.samples.push(Sample { scenario: scenario.name, kind: proxy.kind, round: 1, value });
    }
    Ok(())
}

/// Resident memory once it stands still: what a start needed is given back late, and would be taken off what connections
/// need if it went while they come.
async fn rested(proxy: &Proxy) -> Result<u64> {
    let (begin, mut since, mut before) = (Instant::now(), Instant::now(), proxy.running.resident()?);
    while since.elapsed() < REST && begin.elapsed() < RESTLESS {
        tokio::time::sleep(REST / 10).await;
        let now = proxy.running.resident()?;
        if now.abs_diff(before) > STILL {
            (since, before) = (Instant::now(), now);
        }
    }
    proxy.running.resident()
}

/// A driver that holds connections until it is dropped.
struct Holder {
    // Dropping it ends the process.
    _child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    async fn start(settings: &Settings, port: u16, alpn: Option<&str>, connections: usize) -> Result<Self> {
        let mut child = Command::new("taskset")
            .args(["-c", &settings.load_cpu])
            .arg(std::env::current_exe()?)
            .args(["load", "idle", alpn.unwrap_or("plain"), &port.to_string(), &connections.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("it was piped")?;
        let output = child.stdout.take().context("it was piped")?;
        let mut holder = Self { _child: child, input, lines: BufReader::new(output).lines() };
        holder.ready().await?;
        Ok(holder)
    }

    async fn again(&mut self) -> Result<()> {
        self.input.write_all(b"again\n").await?;
        self.ready().await
    }

    async fn ready(&mut self) -> Result<()> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line =
            line.with_context(|| format!("the connections were not ready within {} s", PATIENCE.as_secs()))??;
        ensure!(line.as_deref() == Some("ready"), "the connections could not be held");
        Ok(())
    }
}
