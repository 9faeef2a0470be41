//! Time from the start of a process to its first right answer, for the last host of its table.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::args::Settings;
use crate::figures::{Figures, Sample, Value};
use crate::peers::Kind;
use crate::scenario::{Needs, Scenario};
use crate::site::{self, Site};
use crate::{client, measure, process};

/// Measures one scenario.
pub(crate) async fn run(
    settings: &Settings,
    site: &Site,
    scenario: &'static Scenario,
    figures: &mut Figures,
) -> Result<()> {
    for round in 1..=settings.rounds {
        for kind in measure::kinds(settings, scenario) {
            let started = once(settings, site, scenario, kind).await;
            let Some(milliseconds) = figures.note(scenario.name, kind, started) else { continue };
            eprintln!("  {:<8} {round}  {milliseconds:.0} ms", kind.name());
            let value = Value::Start { milliseconds };
            figures.samples.push(Sample { scenario: scenario.name, kind, round, value });
        }
    }
    Ok(())
}

async fn once(settings: &Settings, site: &Site, scenario: &Scenario, kind: Kind) -> Result<f64> {
    let ports = process::free_ports()?;
    let hosts = scenario.hosts(kind, settings.hosts);
    let command = kind.command(settings, site, ports, hosts)?;
    let host = if kind.can(Needs::Hosts) { site::host(hosts - 1) } else { site::HOST.to_owned() };
    let begin = Instant::now();
    let mut proxy = kind.run(settings, site, ports, &command)?;
    while client::small(proxy.http, None, &host).await.is_err() {
        proxy.running.check()?;
        ensure!(begin.elapsed() < Duration::from_secs(60), "no answer within a minute");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}
