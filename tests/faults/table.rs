//! Which rows there are and what proves each. Invariant: `rows.tsv` names R01 to R34, each once, and every proof exists.

use std::future::Future;
use std::pin::Pin;

use crate::row::Figures;
use crate::{clock, crowd, drain, logs, names, network, panics, scarcity, soak, swaps, upstream};

/// One row.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) when: When,
    /// `faults:MODULE::FUNCTION` or `e2e:SUITE:TEST`.
    pub(crate) proof: String,
}

/// When a row is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// With all other tests: seconds, and no rights.
    Quick,
    /// By `tests/faults/run`: up to minutes, as root.
    Full,
    /// When asked to.
    Long,
    /// On a cluster.
    Cluster,
}

/// A running proof.
pub(crate) type Running = Pin<Box<dyn Future<Output = Figures>>>;
/// What proves a row.
pub(crate) type Proof = fn() -> Running;

/// All rows, in order.
///
/// # Panics
/// When one is missing, double, or has no proof.
pub(crate) fn rows() -> Vec<Row> {
    let lines = include_str!("rows.tsv").lines().filter(|line| !line.starts_with('#'));
    let rows: Vec<Row> = lines.map(parse).collect();
    let ids: Vec<_> = rows.iter().map(|row| row.id.clone()).collect();
    let expected: Vec<_> = (1..=34).map(|number| format!("R{number:02}")).collect();
    assert_eq!(ids, expected, "rows.tsv names each row once");
    for row in &rows {
        let here = row.when != When::Cluster;
        assert!(!here || proof(&row.proof).is_some(), "{}: there is no {}", row.id, row.proof);
        assert!(here || row.proof.starts_with("e2e:"), "{}: {} is on no cluster", row.id, row.proof);
    }
    rows
}

fn parse(line: &str) -> Row {
    let fields: Vec<&str> = line.split('\t').collect();
    let [id, when, proof, _target] = fields[..] else { panic!("not four fields: {line}") };
    let when = match when {
        "quick" => When::Quick,
        "full" => When::Full,
        "long" => When::Long,
        "cluster" => When::Cluster,
        other => panic!("{id}: when is {other}?"),
    };
    Row { id: id.to_owned(), when, proof: proof.to_owned() }
}

/// The proof of that name, if it is here.
pub(crate) fn proof(name: &str) -> Option<Proof> {
    let known: &[(&str, Proof)] = &[
        ("upstream::refusing", || Box::pin(upstream::refusing())),
        ("upstream::reset_before_head", || Box::pin(upstream::reset_before_head())),
        ("upstream::reset_mid_body", || Box::pin(upstream::reset_mid_body())),
        ("upstream::slow_head", || Box::pin(upstream::slow_head())),
        ("upstream::trickle", || Box::pin(upstream::trickle())),
        ("upstream::stale_keep_alive", || Box::pin(upstream::stale_keep_alive())),
        ("network::black_hole", || Box::pin(network::black_hole())),
        ("network::half_open", || Box::pin(network::half_open())),
        ("swaps::at_full_load", || Box::pin(swaps::at_full_load())),
        ("scarcity::descriptors", || Box::pin(scarcity::descriptors())),
        ("scarcity::memory", || Box::pin(scarcity::memory())),
        ("scarcity::processor", || Box::pin(scarcity::processor())),
        ("clock::jumps", || Box::pin(clock::jumps())),
        ("logs::blocked", || Box::pin(logs::blocked())),
        ("drain::sigterm", || Box::pin(drain::sigterm())),
        ("drain::rolling", || Box::pin(drain::rolling())),
        ("drain::long_lived", || Box::pin(drain::long_lived())),
        ("panics::handler", || Box::pin(panics::handler())),
        ("panics::compile", || Box::pin(panics::compile())),
        ("names::failure", || Box::pin(names::failure())),
        ("crowd::reconnect", || Box::pin(crowd::reconnect())),
        ("soak::flat", || Box::pin(soak::flat())),
    ];
    let name = name.strip_prefix("faults:")?;
    known.iter().find(|(known, _)| *known == name).map(|(_, proof)| *proof)
}
