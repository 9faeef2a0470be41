//! What `bench run` may be told.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::peers::{self, Kind};
use crate::scenario::{self, Scenario};

/// Settings of a run.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Who is measured, in the order of the tables.
    pub(crate) peers: Vec<Kind>,
    /// What is measured.
    pub(crate) scenarios: Vec<&'static Scenario>,
    /// Seconds of one measurement.
    pub(crate) seconds: u64,
    /// Measurements of each proxy in each scenario.
    pub(crate) rounds: usize,
    /// Seconds that idle connections idle before their memory is read.
    pub(crate) idle_seconds: u64,
    /// Idle connections of each proxy.
    pub(crate) idle_connections: usize,
    /// Hosts in Portico's routing table wherever a scenario does not say otherwise.
    pub(crate) hosts: usize,
    /// The binary of Portico.
    pub(crate) portico: PathBuf,
    /// Where what `tests/bench/run` installs lies.
    pub(crate) cache: PathBuf,
    /// `tests/bench`.
    pub(crate) bench: PathBuf,
    /// The processor of the proxies, and those of everything else, as `taskset` writes them.
    pub(crate) proxy_cpu: String,
    pub(crate) load_cpu: String,
    /// Only shows that everything runs: no figures are kept.
    pub(crate) smoke: bool,
}

impl Settings {
    /// Reads the command line; `tests/bench/run` always gives `--bench` and `--cache`.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut settings = Self {
            peers: peers::ALL.to_vec(),
            scenarios: scenario::ALL.iter().collect(),
            seconds: 3,
            rounds: 3,
            idle_seconds: 10,
            idle_connections: 2000,
            hosts: 10_000,
            portico: PathBuf::from("target/release/portico"),
            cache: PathBuf::new(),
            bench: PathBuf::new(),
            proxy_cpu: "0".to_owned(),
            load_cpu: "1".to_owned(),
            smoke: false,
        };
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            if flag == "--smoke" {
                settings.smoke();
                continue;
            }
            let value = rest.next().with_context(|| format!("{flag} wants a value, or is not known"))?;
            match flag.as_str() {
                "--peers" => settings.peers = names(value, peers::ALL.iter().copied(), |kind| kind.name())?,
                "--scenarios" => settings.scenarios = names(value, scenario::ALL.iter(), |scenario| scenario.name)?,
                "--seconds" => settings.seconds = number(flag, value)?,
                "--rounds" => settings.rounds = usize::try_from(number(flag, value)?)?,
                "--idle-seconds" => settings.idle_seconds = number(flag, value)?,
                "--idle-connections" => settings.idle_connections = usize::try_from(number(flag, value)?)?,
                "--hosts" => settings.hosts = usize::try_from(number(flag, value)?)?,
                "--portico" => settings.portico = value.into(),
                "--cache" => settings.cache = value.into(),
                "--bench" => settings.bench = value.into(),
                "--proxy-cpu" => settings.proxy_cpu.clone_from(value),
                "--load-cpu" => settings.load_cpu.clone_from(value),
                _ => bail!("{flag} is not known; the top of tests/bench/run tells what is"),
            }
        }
        Ok(settings)
    }

    fn smoke(&mut self) {
        self.smoke = true;
        self.seconds = 1;
        self.rounds = 1;
        self.idle_seconds = 1;
        self.idle_connections = 200;
    }
}

fn number(flag: &str, value: &str) -> Result<u64> {
    let number = value.parse().with_context(|| format!("{flag} wants a whole number, not {value}"))?;
    if number == 0 {
        bail!("{flag} wants at least 1");
    }
    Ok(number)
}

/// Picks by name, keeping the order of the list and not of the words.
fn names<T: Copy>(value: &str, all: impl Iterator<Item = T>, name: impl Fn(T) -> &'static str) -> Result<Vec<T>> {
    let all: Vec<T> = all.collect();
    for word in value.split(',') {
        if !all.iter().any(|one| name(*one) == word) {
            let known: Vec<_> = all.iter().map(|one| name(*one)).collect();
            bail!("{word} is not known; there are: {}", known.join(","));
        }
    }
    Ok(all.into_iter().filter(|one| value.split(',').any(|word| word == name(*one))).collect())
}
