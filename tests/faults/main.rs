//! The fault table as a program: each row makes one thing fail, measures, and prints its figures beside their targets.
//!
//! Rows are named in `rows.tsv`, which says for each which proof it has: a function here, or a test on a cluster, which
//! `tests/faults/run` starts. Without arguments the quick rows run; a list of ids runs those.

#![expect(clippy::unwrap_used, reason = "a row that cannot go on fails where it stands")]
#![expect(clippy::print_stdout, reason = "the figures are the product")]

mod backend;
mod cgroup;
mod clock;
mod crowd;
mod drain;
mod load;
mod logs;
mod mixed;
mod names;
mod network;
mod panics;
mod row;
mod scarcity;
mod soak;
mod stage;
mod swaps;
mod table;
mod toxic;
mod upstream;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use futures_util::FutureExt as _;
use row::Figures;
use table::{Row, When};

fn main() -> ExitCode {
    let rows = table::rows();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen: Vec<&Row> = rows.iter().filter(|row| is_chosen(row, &wanted)).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut missed = 0;
    if wanted.iter().any(|name| name == "mixed") {
        let figures = runtime.block_on(mixed::changes());
        println!("mixed  {figures}  {}", if figures.met() { "met" } else { "MISSED" });
        missed += usize::from(!figures.met());
    }
    for row in chosen {
        let Some(figures) = runtime.block_on(run(row)) else { continue };
        println!("{}  {}  {}", row.id, figures, if figures.met() { "met" } else { "MISSED" });
        missed += usize::from(!figures.met());
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_chosen(row: &Row, wanted: &[String]) -> bool {
    if wanted.is_empty() { row.when == When::Quick } else { wanted.contains(&row.id) }
}

/// Runs a row that has its proof here. One that panics is broken, and says so as its figure.
async fn run(row: &Row) -> Option<Figures> {
    let proof = table::proof(&row.proof)?;
    let ended = AssertUnwindSafe(proof()).catch_unwind().await;
    Some(ended.unwrap_or_else(|_| Figures::broken(&"it panicked, as told above")))
}
