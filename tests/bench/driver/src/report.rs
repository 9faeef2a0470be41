//! What a run leaves behind: every sample, the setup, and a page of tables.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::args::Settings;
use crate::figures::{BUSY, Figures, LoadFigures, Phase, Value};
use crate::peers::Kind;
use crate::scenario::{Scenario, Work};
use crate::{measure, targets};

/// Share of the time that a proxy may wait for its processor before the page says so.
const DISTURBED: f64 = 0.05;

/// Writes `runs/<date>/`; gives its path from the checkout.
pub(crate) fn write(settings: &Settings, figures: &Figures, setup: &str, took: Duration) -> Result<PathBuf> {
    let runs = settings.bench.join("runs");
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]).output()?;
    let date = String::from_utf8(date.stdout)?.trim().to_owned();
    let mut directory = runs.join(&date);
    for number in 2.. {
        if !directory.exists() {
            break;
        }
        directory = runs.join(format!("{date}-{number}"));
    }
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("raw.csv"), raw(figures))?;
    fs::write(directory.join("setup.md"), format!("{setup}| the run took | {} s |\n", took.as_secs()))?;
    fs::write(directory.join("summary.md"), tables(settings, figures))?;
    Ok(directory)
}

fn raw(figures: &Figures) -> String {
    let mut page = String::from(
        "scenario,peer,round,phase,fixed_rate,requests,errors,seconds,cpu_us,waited_us,p50_us,p99_us,p999_us,idle_kb,start_ms\n",
    );
    for sample in &figures.samples {
        let rest = match sample.value {
            Value::Load { phase, outcome, seconds, cpu_seconds, waited_seconds } => {
                let (phase, rate) = match phase {
                    Phase::Saturated => ("saturated", String::new()),
                    Phase::Fixed(rate) => ("fixed", rate.to_string()),
                };
                let [p50, p99, p999] =
                    outcome.latency.map_or_else(Default::default, |latency| latency.map(|at| format!("{at:.0}")));
                let (cpu, waited) = (cpu_seconds * 1e6, waited_seconds * 1e6);
                let (requests, errors) = (outcome.requests, outcome.errors);
                format!("{phase},{rate},{requests},{errors},{seconds:.3},{cpu:.0},{waited:.0},{p50},{p99},{p999},,")
            }
            Value::Idle { kilobytes } => format!("idle,,,,,,,,,,{kilobytes:.2},"),
            Value::Start { milliseconds } => format!("start,,,,,,,,,,,{milliseconds:.1}"),
        };
        // Writing to a string cannot fail.
        let _written = writeln!(page, "{},{},{},{rest}", sample.scenario, sample.kind.name(), sample.round);
    }
    page
}

/// The tables of all scenarios, and of the targets.
pub(crate) fn tables(settings: &Settings, figures: &Figures) -> String {
    let mut page = format!(
        "# Portico beside others\n\n\
         Medians of {} x {} s, proxies in turn, each alone on one processor while it is driven; drivers and \
         backends on the other. [Setup](setup.md), [every sample](raw.csv), \
         [how it is measured and what is unfair](../../README.md).\n\n\
         Cost is processor time of the proxy for each request, kernel included. The ratio is Portico's cost over the \
         other's: below 1, Portico is cheaper. A proxy that wants its processor less than {:.0} % of the time waits for its driver; then the \
         costs at the fixed rate are the ones to compare, and are set in bold.\n\n",
        settings.rounds,
        settings.seconds,
        BUSY * 100.0
    );
    page.push_str(&targets::table(settings, figures));
    for scenario in &settings.scenarios {
        // Writing to a string cannot fail.
        let _written = write!(page, "\n## {} (`{}`)\n\n", scenario.title, scenario.name);
        page.push_str(&match scenario.work {
            Work::Load { .. } => load(settings, figures, scenario),
            Work::Idle { .. } => single(settings, figures, scenario, "KB each"),
            Work::Start => single(settings, figures, scenario, "ms"),
        });
    }
    if !figures.problems.is_empty() {
        page.push_str("\n## Problems\n\n");
        for problem in &figures.problems {
            let _written = writeln!(page, "- {}", problem.replace('\n', " "));
        }
    }
    page
}

fn load(settings: &Settings, figures: &Figures, scenario: &Scenario) -> String {
    let kinds = measure::kinds(settings, scenario);
    let bound = figures.driver_bound(scenario.name, &kinds);
    let rate = figures.samples.iter().rev().find_map(|sample| match sample.value {
        Value::Load { phase: Phase::Fixed(rate), .. } if sample.scenario == scenario.name => Some(rate),
        _ => None,
    });
    let mut page = String::from("| | cost, us | ratio | range, us | requests/s | busy |");
    if let Some(rate) = rate {
        let _written = write!(page, " at {rate}/s: cost, us | ratio | p50, us | p99 | p99.9 |");
    }
    page.push_str("\n|---|--:|--:|--:|--:|--:|");
    page.push_str(if rate.is_some() { "--:|--:|--:|--:|--:|\n" } else { "\n" });
    let own = [false, true].map(|fixed| figures.load(scenario.name, Kind::Portico, fixed).map(|own| own.cost));
    let mut disturbed: f64 = 0.0;
    for kind in kinds {
        let Some(full) = figures.load(scenario.name, kind, false) else { continue };
        disturbed = disturbed.max(full.waited);
        let bold = |fixed: bool, text: String| if fixed == bound { format!("**{text}**") } else { text };
        let _written = write!(
            page,
            "| {} | {} | {} | {:.1}-{:.1} | {:.0} | {:.0} % |",
            kind.name(),
            bold(false, format!("{:.1}", full.cost)),
            bold(false, ratio(own[0], Some(full.cost))),
            full.range[0],
            full.range[1],
            full.rate,
            full.busy * 100.0
        );
        if rate.is_some() {
            let paced = figures.load(scenario.name, kind, true);
            let cost = paced.map_or("-".to_owned(), |paced| format!("{:.1}", paced.cost));
            let latency = paced.and_then(|paced: LoadFigures| paced.latency);
            let [p50, p99, p999] = latency.map_or(["-"; 3].map(str::to_owned), |at| at.map(|at| format!("{at:.0}")));
            let ratio = bold(true, ratio(own[1], paced.map(|paced| paced.cost)));
            let _written = write!(page, " {} | {ratio} | {p50} | {p99} | {p999} |", bold(true, cost));
        }
        page.push('\n');
    }
    if disturbed > DISTURBED {
        let _written = writeln!(
            page,
            "\nThe machine was not quiet: a proxy waited up to {:.0} % of the time for its processor.",
            disturbed * 100.0
        );
    }
    page
}

fn single(settings: &Settings, figures: &Figures, scenario: &Scenario, unit: &str) -> String {
    let mut page = format!("| | {unit} | ratio |\n|---|--:|--:|\n");
    let own = figures.cost(scenario.name, Kind::Portico, false);
    for kind in measure::kinds(settings, scenario) {
        let Some(cost) = figures.cost(scenario.name, kind, false) else { continue };
        let _written = writeln!(page, "| {} | {cost:.1} | {} |", kind.name(), ratio(own, Some(cost)));
    }
    page
}

fn ratio(own: Option<f64>, other: Option<f64>) -> String {
    own.zip(other).map_or("-".to_owned(), |(own, other)| format!("{:.2}", own / other))
}
