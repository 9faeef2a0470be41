//! What Portico is meant to reach, beside what it reached.

use std::fmt::Write as _;

use crate::args::Settings;
use crate::figures::Figures;
use crate::measure;
use crate::peers::Kind;
use crate::scenario;

enum Against {
    /// No more than this share of what the best of these costs.
    Best(&'static [Kind], f64),
    /// No more than this.
    Fixed(f64),
}

use Against::{Best, Fixed};
use Kind::{Envoy, Haproxy, Nginx, Pingora, Relay};

const EVERY: &[Kind] = &[Nginx, Haproxy, Envoy, Pingora];

/// Scenario and limit. `hosts-1` and the relay excepted, Portico has a routing table of 10,000 hosts and all features on.
const TARGETS: &[(&str, Against)] = &[
    ("http", Best(EVERY, 1.0)),
    ("http", Best(&[Relay], 1.25)),
    ("https", Best(EVERY, 0.85)),
    ("handshake", Best(&[Nginx, Haproxy, Envoy], 0.7)),
    ("handshake", Best(&[Pingora], 0.9)),
    ("resumed", Best(&[Nginx, Haproxy, Envoy], 0.7)),
    ("resumed", Best(&[Pingora], 0.9)),
    ("h2", Best(EVERY, 1.0)),
    ("grpc", Best(&[Envoy], 0.8)),
    ("body", Best(EVERY, 0.65)),
    ("body-tls", Best(EVERY, 0.65)),
    ("idle", Fixed(2.0)),
    ("idle-tls", Fixed(8.0)),
    ("idle-h2", Best(EVERY, 1.0)),
];

/// The table of targets; what was not measured says so.
pub(crate) fn table(settings: &Settings, figures: &Figures) -> String {
    let mut page = String::from(
        "## Targets\n\n| scenario | target | Portico | the best of them | ratio | |\n|---|---|--:|--:|--:|---|\n",
    );
    for (name, against) in TARGETS {
        let Some(scenario) = settings.scenarios.iter().find(|scenario| scenario.name == *name) else { continue };
        let fixed = figures.driver_bound(name, &measure::kinds(settings, scenario));
        // Memory that shrinks while connections idle was given back by what came before: it says nothing of them.
        let own = figures.cost(name, Kind::Portico, fixed).filter(|cost| *cost > 0.0);
        let unit = if matches!(scenario.work, scenario::Work::Load { .. }) { "us" } else { "KB" };
        let (target, other, ratio, limit) = match against {
            Fixed(limit) => (format!("<= {limit} KB"), String::new(), own, *limit),
            Best(kinds, limit) => {
                let costs = kinds.iter().filter_map(|kind| Some((*kind, figures.cost(name, *kind, fixed)?)));
                let best = costs.min_by(|one, other| one.1.total_cmp(&other.1));
                let who = match kinds {
                    [one] => one.name().to_owned(),
                    _ if kinds.len() == EVERY.len() => "the best".to_owned(),
                    _ => format!("the best of {}", kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")),
                };
                let other = best.map_or(String::new(), |(kind, cost)| format!("{} {cost:.1} {unit}", kind.name()));
                let ratio = own.zip(best).map(|(own, (_, cost))| own / cost);
                (format!("<= {limit:.2} x {who}"), other, ratio, *limit)
            }
        };
        let verdict = ratio.map_or("not measured", |ratio| if ratio <= limit { "met" } else { "**missed**" });
        let own = own.map_or(String::new(), |own| format!("{own:.1} {unit}"));
        let shown = match against {
            Best(..) => ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
            Fixed(_) => String::new(),
        };
        // Writing to a string cannot fail.
        let _written = writeln!(page, "| `{name}` | {target} | {own} | {other} | {shown} | {verdict} |");
    }
    page
}
