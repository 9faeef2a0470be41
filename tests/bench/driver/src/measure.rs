//! A run from its beginning to its tables.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::args::Settings;
use crate::figures::Figures;
use crate::peers::{Kind, Proxy};
use crate::process::{self, Running};
use crate::scenario::{Scenario, Work};
use crate::site::{Backends, Site};
use crate::{idle, machine, report, rounds, start};

/// Runs what the command line asks for.
pub(crate) async fn run(arguments: &[String]) -> Result<()> {
    let settings = Settings::parse(arguments)?;
    let begin = std::time::Instant::now();
    let setup = machine::describe(&settings, arguments).await?;
    let [backend, echo, grpc] = process::free_ports()?;
    let site = Site::make(settings.bench.join("peers"), Backends { backend, echo, grpc })?;
    let backends = backends(&settings, &site).await?;

    let mut figures = Figures::default();
    for scenario in &settings.scenarios {
        eprintln!("{}: {}", scenario.name, scenario.title);
        match scenario.work {
            Work::Load { .. } => rounds::run(&settings, &site, scenario, &mut figures).await?,
            Work::Idle { alpn } => idle::run(&settings, &site, scenario, alpn, &mut figures).await?,
            Work::Start => start::run(&settings, &site, scenario, &mut figures).await?,
        }
    }
    drop(backends);

    eprintln!("{} s", begin.elapsed().as_secs());
    if settings.smoke {
        println!("{}", report::tables(&settings, &figures));
    } else {
        let directory = report::write(&settings, &figures, &setup, begin.elapsed())?;
        println!("{}", directory.display());
    }
    if figures.problems.is_empty() {
        return Ok(());
    }
    bail!("{} problems, told above", figures.problems.len())
}

/// Starts what stands behind the proxies, on the processors of the load.
async fn backends(settings: &Settings, site: &Site) -> Result<Vec<Running>> {
    let Backends { backend, echo, grpc } = site.backends;
    let path = site.render("backend/nginx.conf", "backend.conf", [0, 0], &[])?;
    let work = site.work.path().display().to_string();
    let nginx = ["nginx", "-c", &path, "-p", &work].map(str::to_owned);
    let own = std::env::current_exe()?.display().to_string();
    let own = [own, "backend".to_owned(), echo.to_string(), grpc.to_string()];
    let cpus = &settings.load_cpu;
    let mut running = vec![
        Running::start("the backend nginx", cpus, &nginx, &site.path("backend.out"))?,
        Running::start("the backend", cpus, &own, &site.path("backend.own"))?,
    ];
    for port in [backend, echo, grpc] {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while let Err(error) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
            for one in &mut running {
                one.check()?;
            }
            if tokio::time::Instant::now() > deadline {
                return Err(error).context("a backend does not listen");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(running)
}

/// Who takes part in a scenario.
pub(crate) fn kinds(settings: &Settings, scenario: &Scenario) -> Vec<Kind> {
    settings.peers.iter().copied().filter(|kind| kind.can(scenario.needs)).collect()
}

/// Starts everybody who takes part, and waits until all of them answer; who cannot is left out and noted.
pub(crate) async fn proxies(
    settings: &Settings,
    site: &Site,
    scenario: &Scenario,
    figures: &mut Figures,
) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for kind in kinds(settings, scenario) {
        let hosts = scenario.hosts(kind, settings.hosts);
        let started = async {
            let mut proxy = kind.start(settings, site, hosts)?;
            let ready = proxy.ready(hosts).await;
            ready.with_context(|| said(site, kind))?;
            anyhow::Ok(proxy)
        };
        let started = started.await;
        proxies.extend(figures.note(scenario.name, kind, started));
    }
    proxies
}

/// The end of what a proxy printed.
fn said(site: &Site, kind: Kind) -> String {
    let log = std::fs::read_to_string(site.path(&format!("{}.log", kind.name()))).unwrap_or_default();
    let lines: Vec<_> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
