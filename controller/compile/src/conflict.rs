//! Claims that cannot both be served: the oldest stands, and whoever loses learns to whom.
//!
//! Two kinds. The same host, path type and path twice: the later claim is left out. Different claims that take the same
//! requests (`/foo` and `/foo/` as Prefix, a Prefix and an ImplementationSpecific): both stay in the table, where the
//! order of preference decides as it does for any request, and the one that no request can reach is marked.

use std::collections::HashMap;

use portico_shared::Code;
use portico_shared::ir::HostPattern;

use crate::ingress::path::{PathKey, PathType};
use crate::ingress::{Claim, Draft, Ours, name};
use crate::report::{Problem, Reporter, Subject};

/// Settles the claims of every host.
pub(crate) fn settle(draft: &mut Draft<'_>, report: &mut Reporter) {
    let Draft { ours, hosts, .. } = draft;
    for (pattern, host) in hosts.iter_mut().filter(|(_, host)| host.unsettled) {
        report.turn_to(Subject::Host(pattern.clone()));
        let claims = drop_repetitions(ours, pattern, std::mem::take(&mut host.claims), report);
        host.claims = mark_shadowed(ours, pattern, claims, report);
    }
}

/// Whether two claims ask for the same requests, so that they have to be settled. Asked as claims are made, while they
/// are at hand; nearly all hosts have nothing to settle.
pub(crate) fn meet(a: &PathKey, b: &PathKey) -> bool {
    match [a, b].map(|key| key.kind == PathType::Exact) {
        [true, true] => a.path == b.path,
        [false, false] => elements(&a.path) == elements(&b.path),
        _ => false,
    }
}

fn drop_repetitions<'a>(
    ours: &[Ours<'_>],
    pattern: &HostPattern,
    claims: Vec<Claim<'a>>,
    report: &mut Reporter,
) -> Vec<Claim<'a>> {
    let mut first: HashMap<PathKey, usize> = HashMap::with_capacity(claims.len());
    let mut kept: Vec<Claim<'a>> = Vec::with_capacity(claims.len());
    for claim in claims {
        let Some(&winner) = first.get(&claim.key) else {
            first.insert(claim.key.clone(), kept.len());
            kept.push(claim);
            continue;
        };
        let winner = &kept[winner];
        let message = format!(
            "{} {} on {} is already claimed by {} {} (route {}); this path is left out",
            claim.key.kind.as_str(),
            claim.key.path,
            described(pattern),
            ours[winner.ours].reference(),
            winner.field(),
            name::of_path(ours[winner.ours].reference(), pattern, &winner.key),
        );
        let problem = Problem::warning(Code::PathConflict, claim.field(), message);
        let rule = if claim.ours == winner.ours { "the first stands" } else { "the older Ingress stands" };
        report.add(ours[claim.ours].object, problem.hint(format!("remove one of the two; {rule}")));
    }
    kept
}

fn mark_shadowed<'a>(
    ours: &[Ours<'_>],
    pattern: &HostPattern,
    mut claims: Vec<Claim<'a>>,
    report: &mut Reporter,
) -> Vec<Claim<'a>> {
    // By what a prefix takes (its path without one trailing slash), the claim that a request prefers.
    let mut best: HashMap<&str, usize> = HashMap::with_capacity(claims.len());
    for (place, claim) in claims.iter().enumerate().filter(|(_, claim)| claim.key.kind != PathType::Exact) {
        let slot = best.entry(elements(&claim.key.path)).or_insert(place);
        if preference(&claim.key) > preference(&claims[*slot].key) {
            *slot = place;
        }
    }
    let losers: Vec<(usize, usize)> = claims
        .iter()
        .enumerate()
        .filter(|(_, claim)| claim.key.kind != PathType::Exact)
        .map(|(place, claim)| (place, best[elements(&claim.key.path)]))
        .filter(|(place, winner)| place != winner)
        .collect();
    for (loser, winner) in losers {
        claims[loser].shadowed = true;
        let (claim, winner) = (&claims[loser], &claims[winner]);
        let reason = if claim.key.path == winner.key.path {
            "Prefix goes before ImplementationSpecific"
        } else {
            "it takes the same requests and the longer string wins"
        };
        let message = format!(
            "{} {} on {} is never reached: {} {} of {} {} (route {}) takes its place; {reason}",
            claim.key.kind.as_str(),
            claim.key.path,
            described(pattern),
            winner.key.kind.as_str(),
            winner.key.path,
            ours[winner.ours].reference(),
            winner.field(),
            name::of_path(ours[winner.ours].reference(), pattern, &winner.key),
        );
        let problem = Problem::warning(Code::RuleShadowed, claim.field(), message);
        report.add(ours[claim.ours].object, problem.hint("remove one of the two, or give them different paths"));
    }
    claims
}

/// What a prefix is compared by: its path, one trailing slash ignored.
fn elements(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// Which of two prefixes that take the same requests a request prefers: the longer string, then Prefix.
fn preference(key: &PathKey) -> (usize, bool) {
    (key.path.len(), key.kind == PathType::Prefix)
}

fn described(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Any => "any host".to_owned(),
        pattern => format!("host {pattern}"),
    }
}
