//! Runs everything that proves the threat table and prints a line for each row: `tests/run threats`.
//!
//! | flag | effect |
//! |---|---|
//! | `--cluster` | runs the suites on a whole Kubernetes as well (root, and time); `PORTICO_STATIC` names a binary for it |
//! | `--ran LOG` | the same, but looks up in a kept output of `tests/e2e/run` what became of the suites |
//! | `--scripts` | runs the scripts that need tools from outside, such as testssl |
//! | `--differential` | puts nginx, HAProxy, Go and Node behind Portico |
//! | `--only A,B07` | families or rows |
//!
//! Invariant: a row passes only when every test that is named for it ran and passed; what was not run is told.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report is what it prints")]

mod run;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use portico_tests::rows::{self, Row};

/// What became of a row.
enum Verdict {
    Pass,
    NotApplicable(String),
    NotRun(String),
    Fail(String),
}

fn main() -> ExitCode {
    match report() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tests/run threats: {error}");
            ExitCode::from(2)
        }
    }
}

/// What was asked for.
#[derive(Default)]
struct Options {
    cluster: bool,
    ran: Option<PathBuf>,
    scripts: bool,
    differential: bool,
    only: Vec<String>,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--cluster" => options.cluster = true,
                "--ran" => {
                    options.cluster = true;
                    options.ran = Some(arguments.next().ok_or("--ran needs a file")?.into());
                }
                "--scripts" => options.scripts = true,
                "--differential" => options.differential = true,
                "--only" => {
                    let rows = arguments.next().ok_or("--only needs rows such as A01,B")?;
                    options.only = rows.split(',').map(str::to_owned).collect();
                }
                _ => {
                    let known = "--cluster, --ran, --scripts, --differential and --only";
                    return Err(format!("{argument} is not known; there are {known}"));
                }
            }
        }
        Ok(options)
    }

    fn wants(&self, row: &Row) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| row.id.starts_with(only.as_str()))
    }
}

fn report() -> Result<bool, String> {
    let options = Options::read()?;
    let top = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut rows = rows::read(&top)?;
    rows.retain(|row| options.wants(row));
    let results = run::all(&top, &rows, &options)?;
    let mut totals = BTreeMap::from([("passed", 0), ("failed", 0), ("not applicable", 0), ("not run", 0)]);
    for row in &rows {
        let (total, line) = match verdict(row, &results) {
            Verdict::Pass => ("passed", "pass".to_owned()),
            Verdict::NotApplicable(reason) => ("not applicable", format!("not applicable: {reason}")),
            Verdict::NotRun(reason) => ("not run", format!("not run: {reason}")),
            Verdict::Fail(reason) => ("failed", format!("FAIL {reason}")),
        };
        *totals.entry(total).or_default() += 1;
        let note = row.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
        println!("{} {line} - {}{note}", row.id, row.title);
    }
    let differential = !options.differential || run::differential(&top);
    if options.differential {
        println!("differential {}", if differential { "pass" } else { "FAIL" });
    }
    println!(
        "{} rows: {} passed, {} failed, {} not applicable, {} not run",
        rows.len(),
        totals["passed"],
        totals["failed"],
        totals["not applicable"],
        totals["not run"]
    );
    Ok(totals["failed"] == 0 && differential)
}

fn verdict(row: &Row, results: &run::Results) -> Verdict {
    if let Some(reason) = &row.not_applicable {
        return Verdict::NotApplicable(reason.clone());
    }
    if let Some(what) = &row.lacks {
        return Verdict::Fail(format!("there is no {what}"));
    }
    let mut proofs: Vec<String> = row.tests.clone();
    if row.threats {
        let prefix = format!("portico/threats/{}::", row.id);
        let own: Vec<String> = results.passed.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
        if own.is_empty() {
            return Verdict::Fail("no test of the target threats bears its name".to_owned());
        }
        proofs.extend(own);
    }
    proofs.extend(row.cluster.iter().chain(&row.scripts).cloned());
    let mut missing = Vec::new();
    for proof in proofs {
        match results.passed.get(&proof) {
            Some(true) => {}
            Some(false) => return Verdict::Fail(proof),
            None => match results.left_out.get(&proof) {
                Some(reason) => missing.push(reason.clone()),
                None => return Verdict::Fail(format!("{proof} did not run")),
            },
        }
    }
    match missing.first() {
        Some(reason) => Verdict::NotRun(reason.clone()),
        None => Verdict::Pass,
    }
}
