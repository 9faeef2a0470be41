//! What was measured, and medians of it.

use crate::peers::Kind;

/// What a driver says of a run of requests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Microseconds at the 50th, 99th and 99.9th percentile; nothing where the driver does not tell.
    pub(crate) latency: Option<[f64; 3]>,
}

impl Outcome {
    /// From all latencies, in microseconds.
    pub(crate) fn from_latencies(mut latencies: Vec<u64>, errors: u64) -> Self {
        latencies.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^52 microseconds")]
        let at = |permille: usize| {
            let index = (latencies.len() * permille / 1000).min(latencies.len().saturating_sub(1));
            latencies.get(index).copied().unwrap_or_default() as f64
        };
        Self { requests: latencies.len() as u64, errors, latency: Some([at(500), at(990), at(999)]) }
    }
}

/// How a run of requests was driven.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Phase {
    /// Each connection asks again as soon as it has its answer.
    Saturated,
    /// So many requests a second, whatever the proxy could do.
    Fixed(f64),
}

/// What one measurement found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    Load {
        phase: Phase,
        outcome: Outcome,
        /// Wall time and processor time of the proxy.
        seconds: f64,
        cpu_seconds: f64,
        /// Time that the proxy could have run, had the processor not been taken by somebody else.
        waited_seconds: f64,
    },
    /// Resident kilobytes that an idle connection costs.
    Idle { kilobytes: f64 },
    /// Milliseconds to the first answer.
    Start { milliseconds: f64 },
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) scenario: &'static str,
    pub(crate) kind: Kind,
    pub(crate) round: usize,
    pub(crate) value: Value,
}

/// Medians of the rounds of one proxy in one phase.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LoadFigures {
    /// Processor microseconds a request.
    pub(crate) cost: f64,
    pub(crate) rate: f64,
    /// Share of the wall time that the proxy ran.
    pub(crate) busy: f64,
    /// Share of the wall time that it waited for its processor, which others had.
    pub(crate) waited: f64,
    pub(crate) latency: Option<[f64; 3]>,
    /// The least and the greatest cost of a round.
    pub(crate) range: [f64; 2],
}

/// A proxy that wants its processor less than this waits for its driver, and its cost is not comparable with that of a saturated one.
pub(crate) const BUSY: f64 = 0.9;

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) samples: Vec<Sample>,
    /// What went wrong, for people.
    pub(crate) problems: Vec<String>,
}

impl Figures {
    /// Medians under load; nothing if there is no sample.
    pub(crate) fn load(&self, scenario: &str, kind: Kind, fixed: bool) -> Option<LoadFigures> {
        let runs: Vec<_> = self
            .of(scenario, kind)
            .filter_map(|value| match value {
                Value::Load { phase, outcome, seconds, cpu_seconds, waited_seconds } => (matches!(
                    phase,
                    Phase::Fixed(_)
                ) == fixed
                    && outcome.requests > 0)
                    .then_some((outcome, seconds, cpu_seconds, waited_seconds)),
                Value::Idle { .. } | Value::Start { .. } => None,
            })
            .collect();
        let middle = |figure: &dyn Fn(&(Outcome, f64, f64, f64)) -> f64| median(runs.iter().map(figure).collect());
        #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 requests")]
        let costs: Vec<f64> = runs.iter().map(|(outcome, _, cpu, _)| cpu * 1e6 / outcome.requests as f64).collect();
        let at = |index: usize| middle(&|(outcome, ..)| outcome.latency.map_or(f64::NAN, |latency| latency[index]));
        #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 requests")]
        Some(LoadFigures {
            range: [costs.iter().copied().fold(f64::MAX, f64::min), costs.iter().copied().fold(0.0, f64::max)],
            cost: median(costs)?,
            rate: middle(&|(outcome, seconds, ..)| outcome.requests as f64 / seconds)?,
            busy: middle(&|(_, seconds, cpu, _)| cpu / seconds)?,
            waited: middle(&|(_, seconds, _, waited)| waited / seconds)?,
            latency: runs.iter().all(|(outcome, ..)| outcome.latency.is_some()).then_some([at(0)?, at(1)?, at(2)?]),
        })
    }

    /// Whether the costs of a scenario are those at the fixed rate, because the driver was too slow for somebody.
    pub(crate) fn driver_bound(&self, scenario: &str, kinds: &[Kind]) -> bool {
        kinds
            .iter()
            .filter_map(|kind| self.load(scenario, *kind, false))
            .any(|figures| figures.busy + figures.waited < BUSY)
    }

    /// The figure that counts: processor microseconds, kilobytes or milliseconds.
    pub(crate) fn cost(&self, scenario: &str, kind: Kind, fixed: bool) -> Option<f64> {
        let other = self.of(scenario, kind).filter_map(|value| match value {
            Value::Load { .. } => None,
            Value::Idle { kilobytes } => Some(kilobytes),
            Value::Start { milliseconds } => Some(milliseconds),
        });
        median(other.collect()).or_else(|| self.load(scenario, kind, fixed).map(|figures| figures.cost))
    }

    /// Takes what a step could not do as a problem of a proxy in a scenario.
    pub(crate) fn note<T>(&mut self, scenario: &str, kind: Kind, result: anyhow::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let problem = format!("{scenario}, {}: {error:#}", kind.name());
                eprintln!("  {problem}");
                self.problems.push(problem);
                None
            }
        }
    }

    fn of(&self, scenario: &str, kind: Kind) -> impl Iterator<Item = Value> {
        self.samples
            .iter()
            .filter(move |sample| sample.scenario == scenario && sample.kind == kind)
            .map(|sample| sample.value)
    }
}

/// The middle one; the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(values[half - 1], values[half])),
        _ => Some(values[half]),
    }
}
