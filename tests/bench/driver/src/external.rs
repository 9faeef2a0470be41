//! wrk, oha and h2load: how they are called and what their output means.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::figures::Outcome;
use crate::site::HOST;

/// Where requests go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim<'a> {
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) path: &'a str,
    pub(crate) connections: u32,
    pub(crate) seconds: u64,
}

impl Aim<'_> {
    fn url(&self, host: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{host}:{}{}", self.port, self.path)
    }
}

/// wrk, as fast as it goes.
pub(crate) fn wrk(aim: Aim<'_>, script: Option<&Path>) -> Vec<String> {
    let mut command = words(&format!("wrk -t1 -c{} -d{}s --timeout 10s", aim.connections, aim.seconds));
    command.extend(["-H".to_owned(), format!("Host: {HOST}")]);
    if let Some(script) = script {
        command.extend(["-s".to_owned(), script.display().to_string()]);
    }
    command.push(aim.url("127.0.0.1"));
    command
}

/// What wrk printed.
pub(crate) fn wrk_outcome(text: &str) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for line in text.lines().map(str::trim) {
        if let Some((requests, _)) = line.split_once(" requests in ") {
            outcome.requests = requests.parse()?;
        } else if let Some(errors) = line.strip_prefix("Socket errors: ") {
            let counts = errors.split(", ").filter_map(|one| one.rsplit(' ').next()?.parse::<u64>().ok());
            outcome.errors += counts.sum::<u64>();
        } else if let Some(others) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            outcome.errors += others.parse::<u64>()?;
        }
    }
    answered(outcome, text)
}

/// oha at a fixed rate; latency counts from when a request was due.
pub(crate) fn oha(oha: &Path, aim: Aim<'_>, rate: f64, body: Option<&Path>) -> Vec<String> {
    let mut command = vec![oha.display().to_string()];
    command.extend(words(&format!(
        "--no-tui --output-format json --insecure --latency-correction -c {} -z {}s -q {rate:.0} \
         --connect-to {HOST}:{port}:127.0.0.1:{port}",
        aim.connections,
        aim.seconds,
        port = aim.port
    )));
    if let Some(body) = body {
        command.extend(["-m".to_owned(), "POST".to_owned(), "-D".to_owned(), body.display().to_string()]);
    }
    command.push(aim.url(HOST));
    command
}

/// What oha printed.
pub(crate) fn oha_outcome(text: &str) -> Result<Outcome> {
    let value: Value = serde_json::from_str(text).with_context(|| format!("oha printed: {text}"))?;
    let counts = |key: &str, counted: &dyn Fn(&str) -> bool| -> u64 {
        let Some(Value::Object(counts)) = value.get(key) else { return 0 };
        counts.iter().filter(|(name, _)| counted(name)).filter_map(|(_, count)| count.as_u64()).sum()
    };
    let micros = |name: &str| value["latencyPercentiles"][name].as_f64().unwrap_or(f64::NAN) * 1e6;
    let outcome = Outcome {
        requests: counts("statusCodeDistribution", &|status| status.starts_with('2')),
        // Requests that are under way at the end are cut off; nobody is to blame.
        errors: counts("statusCodeDistribution", &|status| !status.starts_with('2'))
            + counts("errorDistribution", &|error| error != "aborted due to deadline"),
        latency: Some([micros("p50"), micros("p99"), micros("p99.9")]),
    };
    answered(outcome, text)
}

/// h2load, as fast as it goes or at a rate; `message` is the body of a gRPC request, `log` gets the latencies.
pub(crate) fn h2load(aim: Aim<'_>, streams: u32, rate: Option<f64>, message: Option<&Path>, log: &Path) -> Vec<String> {
    let mut command = words(&format!(
        "h2load -t1 -c{} -m{streams} -D{} --connect-to=127.0.0.1:{} --log-file={}",
        aim.connections,
        aim.seconds,
        aim.port,
        log.display()
    ));
    if let Some(rate) = rate {
        command.push(format!("--rps={:.1}", rate / f64::from(aim.connections)));
    }
    if let Some(message) = message {
        command.extend(words(&format!("-d {} -H te:trailers -H content-type:application/grpc", message.display())));
    }
    command.push(aim.url(HOST));
    command
}

/// What h2load printed, and its log.
pub(crate) fn h2load_outcome(text: &str, log: &Path) -> Result<Outcome> {
    let line = text.lines().find_map(|line| line.strip_prefix("requests: ")).context("h2load printed no requests")?;
    let count = |word: &str| {
        let field = line.split(", ").find(|field| field.ends_with(word));
        field.and_then(|field| field.split(' ').next()?.parse::<u64>().ok()).unwrap_or_default()
    };
    let mut latencies = Vec::new();
    for line in fs::read_to_string(log)?.lines() {
        if let Some(micros) = line.rsplit('\t').next().and_then(|field| field.parse().ok()) {
            latencies.push(micros);
        }
    }
    let statuses = text.lines().find_map(|line| line.strip_prefix("status codes: ")).unwrap_or_default();
    let others = statuses.split(", ").filter(|field| !field.ends_with("2xx"));
    let others: u64 = others.filter_map(|field| field.split(' ').next()?.parse::<u64>().ok()).sum();
    let latency = Outcome::from_latencies(latencies, 0).latency;
    let errors = count(" errored") + count(" timeout") + others;
    answered(Outcome { requests: count(" succeeded"), errors, latency }, text)
}

fn answered(outcome: Outcome, text: &str) -> Result<Outcome> {
    if outcome.requests == 0 {
        bail!("not one request was answered: {}", text.chars().take(300).collect::<String>());
    }
    Ok(outcome)
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
