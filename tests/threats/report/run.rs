//! Runs the proofs: one `cargo test` for each target with just the tests that are named, one suite run for each suite.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use portico_tests::rows::Row;

use crate::Options;

/// What ran and whether it passed, and what was not run and why.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) passed: BTreeMap<String, bool>,
    pub(crate) left_out: BTreeMap<String, String>,
}

/// Runs everything that the rows name.
pub(crate) fn all(top: &Path, rows: &[Row], options: &Options) -> Result<Results, String> {
    let mut results = Results::default();
    let mut targets: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.not_applicable.is_none()) {
        if row.threats {
            targets.entry(("portico".to_owned(), "threats".to_owned())).or_default().insert(format!("{}::", row.id));
        }
        for test in &row.tests {
            let mut parts = test.splitn(3, '/');
            let (Some(package), Some(target), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(format!("{}: {test:?} is not package/target/name", row.id));
            };
            targets.entry((package.to_owned(), target.to_owned())).or_default().insert(name.to_owned());
        }
    }
    for ((package, target), names) in targets {
        cargo(top, &package, &target, &names, &mut results)?;
    }
    let mut suites: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for test in rows.iter().flat_map(|row| &row.cluster) {
        if options.cluster {
            let (suite, name) = test.split_once('/').ok_or_else(|| format!("{test:?} is not suite/Name"))?;
            suites.entry(suite).or_default().insert(name);
        } else {
            results.left_out.insert(test.clone(), "needs --cluster".to_owned());
        }
    }
    for (suite, names) in suites {
        cluster(top, suite, &names, options.ran.as_deref(), &mut results)?;
    }
    for script in rows.iter().flat_map(|row| &row.scripts) {
        if !options.scripts {
            results.left_out.insert(script.clone(), "needs --scripts".to_owned());
        } else if !results.passed.contains_key(script) {
            let mut words = script.split(' ');
            let program = format!("tests/{}", words.next().unwrap_or_default());
            let arguments: Vec<&str> = words.collect();
            match Command::new(top.join(program)).args(arguments).current_dir(top).stdin(Stdio::null()).status() {
                // What the scripts say when something is missing that they need.
                Ok(status) if status.code() == Some(2) => {
                    let reason = format!("tests/{script} lacks something that it needs, as it said");
                    results.left_out.insert(script.clone(), reason);
                }
                status => drop(results.passed.insert(script.clone(), status.is_ok_and(|status| status.success()))),
            }
        }
    }
    Ok(results)
}

/// The runs with other upstreams behind.
pub(crate) fn differential(top: &Path) -> bool {
    succeeds(top, "tests/threats/differential/run", &[])
}

fn succeeds(top: &Path, program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(top.join(program)).args(arguments).current_dir(top).stdin(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs the named tests of one suite in one cluster, or looks them up in the log of a run, and notes each.
fn cluster(
    top: &Path,
    suite: &str,
    names: &BTreeSet<&str>,
    ran: Option<&Path>,
    results: &mut Results,
) -> Result<(), String> {
    eprintln!("cluster {suite}: {} names", names.len());
    let text = match ran {
        Some(log) => std::fs::read_to_string(log).map_err(|error| format!("{}: {error}", log.display()))?,
        None => suite_run(top, suite, names)?,
    };
    // A run of several suites has each below its name.
    let own = text.split("\n== ").find(|part| part.lines().next() == Some(suite)).unwrap_or_default();
    let passed: BTreeSet<&str> =
        own.lines().filter_map(|line| line.strip_prefix("--- PASS: ")?.split(' ').next()).collect();
    for name in names {
        results.passed.insert(format!("{suite}/{name}"), passed.contains(name));
    }
    Ok(())
}

/// What a run of these tests prints.
fn suite_run(top: &Path, suite: &str, names: &BTreeSet<&str>) -> Result<String, String> {
    let pattern = format!("^({})$", names.iter().copied().collect::<Vec<_>>().join("|"));
    let mut command = Command::new(top.join("tests/e2e/run"));
    command.args(["--run", &pattern, suite]).current_dir(top);
    if let Some(binary) = std::env::var_os("PORTICO_STATIC") {
        command.arg("--portico").arg(binary);
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("tests/e2e/run cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        eprintln!("{text}");
    }
    Ok(text)
}

/// Runs the named tests of one target and notes each.
fn cargo(
    top: &Path,
    package: &str,
    target: &str,
    names: &BTreeSet<String>,
    results: &mut Results,
) -> Result<(), String> {
    let mut command = Command::new("cargo");
    command.current_dir(top).args(["test", "--locked", "--package", package]);
    match target {
        "lib" => command.arg("--lib"),
        other => command.args(["--test", other]),
    };
    command.arg("--");
    if target != "threats" {
        command.arg("--exact").args(names);
    } else if names.len() == 1 {
        // That harness takes one filter; with several rows all of its tests run.
        command.args(names);
    }
    eprintln!("{package}/{target}: {} names", names.len());
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut seen = 0;
    for line in text.lines() {
        let Some((name, passed)) = outcome(line) else { continue };
        seen += 1;
        results.passed.insert(format!("{package}/{target}/{name}"), passed);
    }
    if !output.status.success() {
        // What failed says why only here.
        let tail = text.find("\nfailures:").map_or("", |at| &text[at..]);
        eprintln!("{tail}");
        if seen == 0 {
            eprintln!("{package}/{target} did not run");
        }
    }
    Ok(())
}

/// Name and result in a line such as `test A01::x ... ok`.
fn outcome(line: &str) -> Option<(&str, bool)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match result.trim() {
        "ok" => Some((name.trim(), true)),
        "FAILED" => Some((name.trim(), false)),
        _ => None,
    }
}
