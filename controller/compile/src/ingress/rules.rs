//! Rules: which Ingress owns a host, and which paths are asked for there.

use portico_shared::Code;
use portico_shared::ir::HostPattern;

use super::path::{PathKey, Paths};
use super::{Claim, Draft, Host, Ours, Rule};
use crate::conflict;
use crate::report::{Problem, Reporter, Subject};
use crate::snapshot::HostOwnership;

/// Gathers the hosts of all rules with their claims. The oldest Ingress with a rule for a host owns it.
pub(crate) fn claim(draft: &mut Draft<'_>, ownership: HostOwnership, paths: &mut Paths, report: &mut Reporter) {
    let Draft { scope, ours, hosts, .. } = draft;
    hosts.reserve(ours.iter().map(|ingress| ingress.rules.len()).sum());
    for (place, ingress) in ours.iter().enumerate() {
        for rule in ingress.rules.iter().filter(|rule| scope.holds(&rule.pattern)) {
            report.turn_to(Subject::Host(rule.pattern.clone()));
            let host = hosts.entry(rule.pattern.clone()).or_insert_with(|| Host::new(place));
            let owner = &ours[host.owner];
            if ownership == HostOwnership::Namespace && owner.namespace() != ingress.namespace() {
                report.add(ingress.object, owned_elsewhere(rule, owner));
            } else {
                claim_paths(place, ingress, rule, host, paths, report);
            }
        }
    }
}

/// Claims that are compared with a new one; of more it is taken for granted that some meet.
const FEW: usize = 8;

impl<'a> Host<'a> {
    fn claim(&mut self, claim: Claim<'a>) {
        self.unsettled |=
            self.claims.len() > FEW || self.claims.iter().any(|other| conflict::meet(&other.key, &claim.key));
        self.claims.push(claim);
    }

    fn new(owner: usize) -> Self {
        Self { owner, claims: Vec::new(), fallback: None, certificate: None, unsettled: false, tls: false }
    }
}

fn claim_paths<'a>(
    place: usize,
    ingress: &Ours<'a>,
    rule: &Rule<'a>,
    host: &mut Host<'a>,
    paths: &mut Paths,
    report: &mut Reporter,
) {
    // Without `http` the rule only makes the host exist; its misses go to default backends.
    let Some(http) = rule.http else { return };
    if http.paths.is_empty() {
        let field = format!("spec.rules[{}].http.paths", rule.index);
        let problem = Problem::error(Code::ObjectInvalid, field, "the rule has no path; its host answers 404");
        report.add(ingress.object, problem.hint("add a path, or remove http to use the default backend"));
    }
    if host.claims.is_empty() {
        host.claims.reserve_exact(http.paths.len());
    }
    for (index, path) in http.paths.iter().enumerate() {
        match PathKey::read(path, paths) {
            Ok(key) => host.claim(Claim {
                ours: place,
                rule: rule.index,
                path: index,
                key,
                backend: &path.backend,
                shadowed: false,
            }),
            Err(problem) => {
                report.add(ingress.object, problem.under(&format!("spec.rules[{}].http.paths[{index}]", rule.index)));
            }
        }
    }
}

fn owned_elsewhere(rule: &Rule<'_>, owner: &Ours<'_>) -> Problem {
    let host = match &rule.pattern {
        HostPattern::Any => "every host without a rule of its own".to_owned(),
        pattern => format!("host {pattern}"),
    };
    let message =
        format!("{host} belongs to namespace {}, by {}; the rule is left out", owner.namespace(), owner.reference());
    Problem::warning(Code::HostConflict, format!("spec.rules[{}].host", rule.index), message)
        .hint("use another host, or have the operator share hosts between namespaces")
}
