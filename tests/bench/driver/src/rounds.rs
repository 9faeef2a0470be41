//! Requests: everybody in turn, round after round, first as fast as it goes and then at one rate for all.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::args::Settings;
use crate::external::{self, Aim};
use crate::figures::{Figures, Outcome, Phase, Sample, Value};
use crate::peers::Proxy;
use crate::scenario::{Driver, Scenario, Work};
use crate::site::{self, Site};
use crate::{client, load, measure, process};

/// The share of what the slowest proxy can do that all are asked for at the fixed rate.
const SHARE: f64 = 0.5;

/// Seconds of a smoke where one was not enough.
const PATIENCE: u64 = 10;

/// Measures one scenario.
pub(crate) async fn run(
    settings: &Settings,
    site: &Site,
    scenario: &'static Scenario,
    figures: &mut Figures,
) -> Result<()> {
    let Work::Load { driver, tls, path, connections } = scenario.work else { return Ok(()) };
    let session = Session { settings, site, scenario, driver, tls, path, connections };
    let mut proxies = Vec::new();
    for proxy in measure::proxies(settings, site, scenario, figures).await {
        let tried = session.preflight(&proxy).await;
        let tried = tried.context("what is to be measured does not work");
        if figures.note(scenario.name, proxy.kind, tried).is_some() {
            proxies.push(proxy);
        }
    }
    for proxy in proxies.iter().filter(|_| !settings.smoke) {
        // Connections to the backend, caches and heaps come to be before anything is measured.
        let warm = session.measure(proxy, Phase::Saturated, 1).await;
        figures.note(scenario.name, proxy.kind, warm);
    }
    session.rounds(&proxies, Phase::Saturated, settings.rounds, figures).await;
    if driver == Driver::ManyHosts {
        return Ok(());
    }
    let kinds: Vec<_> = proxies.iter().map(|proxy| proxy.kind).collect();
    let rates = kinds.iter().filter_map(|kind| figures.load(scenario.name, *kind, false)).map(|figures| figures.rate);
    let slowest = rates.fold(f64::MAX, f64::min);
    if slowest == f64::MAX {
        return Ok(());
    }
    // Costs at the fixed rate are needed as exactly as the others when they are to be compared.
    let rounds = if figures.driver_bound(scenario.name, &kinds) { settings.rounds } else { 1 };
    session.rounds(&proxies, Phase::Fixed(two_digits(slowest * SHARE)), rounds, figures).await;
    Ok(())
}

struct Session<'a> {
    settings: &'a Settings,
    site: &'a Site,
    scenario: &'static Scenario,
    driver: Driver,
    tls: bool,
    path: &'static str,
    connections: u32,
}

impl Session<'_> {
    async fn rounds(&self, proxies: &[Proxy], phase: Phase, rounds: usize, figures: &mut Figures) {
        let name = self.scenario.name;
        for round in 1..=rounds {
            for proxy in proxies {
                let mut measured = self.measure(proxy, phase, self.settings.seconds).await;
                if self.settings.smoke && measured.is_err() {
                    // On a busy machine a second may pass without one answer.
                    measured = self.measure(proxy, phase, PATIENCE).await;
                }
                let Some(value) = figures.note(name, proxy.kind, measured) else { continue };
                if let Value::Load { outcome, seconds, cpu_seconds, .. } = value {
                    report(proxy, phase, round, outcome, seconds, cpu_seconds);
                    if outcome.errors > 0 {
                        let problem = format!("{name}, {}: {} errors", proxy.kind.name(), outcome.errors);
                        figures.problems.push(problem);
                    }
                }
                figures.samples.push(Sample { scenario: name, kind: proxy.kind, round, value });
            }
        }
    }

    /// One run of a driver, and what the proxy has cost meanwhile.
    async fn measure(&self, proxy: &Proxy, phase: Phase, seconds: u64) -> Result<Value> {
        let (command, log) = self.command(proxy, phase, seconds)?;
        let (ran, begin) = (proxy.running.ran()?, Instant::now());
        let text = process::output(&self.settings.load_cpu, &command).await?;
        let (after, seconds) = (proxy.running.ran()?, begin.elapsed().as_secs_f64());
        let outcome = match (self.driver, phase) {
            (Driver::Http2 { .. } | Driver::Grpc { .. }, _) => external::h2load_outcome(&text, &log)?,
            (Driver::Handshake { .. } | Driver::WebSocket, _) => load::outcome(&text)?,
            (_, Phase::Saturated) => external::wrk_outcome(&text)?,
            (_, Phase::Fixed(_)) => external::oha_outcome(&text)?,
        };
        let [cpu_seconds, waited_seconds] = after.since(&ran).map(|spent| spent.as_secs_f64());
        Ok(Value::Load { phase, outcome, seconds, cpu_seconds, waited_seconds })
    }

    /// The driver's command, and the file into which it logs, if it does.
    fn command(&self, proxy: &Proxy, phase: Phase, seconds: u64) -> Result<(Vec<String>, PathBuf)> {
        let port = proxy.port(self.tls, self.path);
        let aim = Aim { port, tls: self.tls, path: self.path, connections: self.connections, seconds };
        let log = self.site.path("h2load.log");
        let rate = match phase {
            Phase::Saturated => None,
            Phase::Fixed(rate) => Some(rate),
        };
        let oha = self.settings.cache.join("oha");
        let upload = self.site.path("upload");
        let command = match (self.driver, rate) {
            (Driver::Http1, None) => external::wrk(aim, None),
            (Driver::Http1, Some(rate)) => external::oha(&oha, aim, rate, None),
            (Driver::Upload, None) => external::wrk(aim, Some(&self.site.upload_script()?)),
            (Driver::Upload, Some(rate)) => external::oha(&oha, aim, rate, Some(&upload)),
            (Driver::ManyHosts, _) => {
                let hosts = self.scenario.hosts(proxy.kind, self.settings.hosts);
                external::wrk(aim, Some(&self.site.host_script(hosts)?))
            }
            (Driver::Http2 { streams }, rate) => external::h2load(aim, streams, rate, None, &log),
            (Driver::Grpc { streams }, rate) => {
                let message: &Path = &self.site.path("message");
                external::h2load(aim, streams, rate, Some(message), &log)
            }
            (Driver::Handshake { resumed: true }, rate) => self.own(&["handshake", "resumed"], aim, rate)?,
            (Driver::Handshake { resumed: false }, rate) => self.own(&["handshake", "full"], aim, rate)?,
            (Driver::WebSocket, rate) => self.own(&["websocket"], aim, rate)?,
        };
        Ok((command, log))
    }

    fn own(&self, kind: &[&str], aim: Aim<'_>, rate: Option<f64>) -> Result<Vec<String>> {
        let mut command = vec![std::env::current_exe()?.display().to_string(), "load".to_owned()];
        command.extend(kind.iter().map(|word| (*word).to_owned()));
        command.extend([
            aim.port.to_string(),
            aim.connections.to_string(),
            aim.seconds.to_string(),
            rate.unwrap_or_default().to_string(),
        ]);
        Ok(command)
    }

    /// One request as the driver will make them, whose answer is looked at as no driver does.
    async fn preflight(&self, proxy: &Proxy) -> Result<()> {
        let port = proxy.port(self.tls, self.path);
        let alpn = match self.driver {
            Driver::Http2 { .. } | Driver::Grpc { .. } => Some("h2"),
            Driver::WebSocket => return load::websocket_once(port).await,
            _ => self.tls.then_some("http/1.1"),
        };
        let uri = match alpn {
            Some("h2") => format!("https://{}{}", site::HOST, self.path),
            _ => self.path.to_owned(),
        };
        let message = Bytes::from(std::fs::read(self.site.path("message"))?);
        let mut request = Request::builder().uri(uri);
        if alpn != Some("h2") {
            request = request.header("host", site::HOST);
        }
        let (request, wanted) = match self.driver {
            Driver::Grpc { .. } => {
                let request = request.method("POST").header("content-type", "application/grpc");
                (request.header("te", "trailers").body(Full::new(message.clone()))?, message)
            }
            Driver::Upload => {
                let body = Full::new(Bytes::from(vec![b'u'; site::LARGE]));
                (request.method("POST").body(body)?, Bytes::from(format!("{}\n", site::LARGE)))
            }
            _ if self.path == "/body" => (request.body(Full::default())?, Bytes::from(vec![b'x'; site::LARGE])),
            _ => (request.body(Full::default())?, Bytes::from_static(site::SMALL.as_bytes())),
        };
        let answer = client::ask(port, alpn, request).await?;
        ensure!(answer.status == 200, "the status is {}", answer.status);
        ensure!(answer.body == wanted, "the body has {} octets and is not the backend's", answer.body.len());
        if matches!(self.driver, Driver::Grpc { .. }) {
            let status = answer.trailers.get("grpc-status").map(http::HeaderValue::as_bytes);
            ensure!(status == Some(b"0"), "the trailers are {:?}", answer.trailers);
        }
        Ok(())
    }
}

fn report(proxy: &Proxy, phase: Phase, round: usize, outcome: Outcome, seconds: f64, cpu: f64) {
    let phase = match phase {
        Phase::Saturated => "saturated".to_owned(),
        Phase::Fixed(rate) => format!("{rate}/s"),
    };
    #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 requests")]
    let requests = outcome.requests as f64;
    eprintln!(
        "  {:<8} {phase:<10} {round}  {:>8.0}/s {:>8.2} us {:>4.0} % busy  {} errors",
        proxy.kind.name(),
        requests / seconds,
        cpu * 1e6 / requests,
        cpu / seconds * 100.0,
        outcome.errors
    );
}

/// Down to two digits that are not 0, so that people can read it.
fn two_digits(rate: f64) -> f64 {
    let unit = 10_f64.powf(rate.log10().floor() - 1.0);
    ((rate / unit).floor() * unit).max(1.0).round()
}
