//! Default backends: of an Ingress with rules for its hosts, of one without rules for everything.

use portico_shared::Code;
use portico_shared::ir::HostPattern;

use super::{Draft, Fallback, Ours};
use crate::report::{Problem, Reporter, Subject};

/// Field of the default backend.
pub(crate) const FIELD: &str = "spec.defaultBackend";

/// Gives each host the default backend of its oldest Ingress that has one, and all other misses that of the oldest
/// Ingress without rules. Host-level settings come from the host's own namespace only.
pub(crate) fn claim(draft: &mut Draft<'_>, report: &mut Reporter) {
    let Draft { ours, hosts, fallback, .. } = draft;
    for (place, ingress) in ours.iter().enumerate() {
        let Some(backend) = ingress.default_backend() else { continue };
        let candidate = Fallback { ours: place, backend };
        if !ingress.has_rules() {
            report.turn_to(Subject::Rest);
            stand(fallback, candidate, ours, "every request that no rule takes", report);
            continue;
        }
        let mut previous: Option<&HostPattern> = None;
        for rule in &ingress.rules {
            // Rules of one host mostly stand together.
            if previous.replace(&rule.pattern) == Some(&rule.pattern) {
                continue;
            }
            let Some(host) = hosts.get_mut(&rule.pattern) else { continue };
            report.turn_to(Subject::Host(rule.pattern.clone()));
            let described = match &rule.pattern {
                HostPattern::Any => "hosts without a rule of their own".to_owned(),
                pattern => format!("host {pattern}"),
            };
            if ours[host.owner].namespace() == ingress.namespace() {
                stand(&mut host.fallback, candidate, ours, &described, report);
            } else {
                let owner = &ours[host.owner];
                let message = format!(
                    "{described} belongs to namespace {}, by {}; this default backend is not used there",
                    owner.namespace(),
                    owner.reference()
                );
                let problem = Problem::warning(Code::HostConflict, FIELD, message);
                report.add(ingress.object, problem.hint("write a rule with path / instead"));
            }
        }
    }
}

/// Takes a free slot; reports when it is taken for another backend.
fn stand<'a>(
    slot: &mut Option<Fallback<'a>>,
    candidate: Fallback<'a>,
    ours: &[Ours<'_>],
    described: &str,
    report: &mut Reporter,
) {
    let Some(taken) = *slot else {
        *slot = Some(candidate);
        return;
    };
    let (winner, ingress) = (&ours[taken.ours], &ours[candidate.ours]);
    if winner.namespace() == ingress.namespace() && taken.backend == candidate.backend {
        return;
    }
    let message =
        format!("{described} already has the default backend of {}; this one is not used there", winner.reference());
    let problem = Problem::warning(Code::HostConflict, FIELD, message);
    report.add(ingress.object, problem.hint("remove one of the two; the older Ingress stands"));
}
