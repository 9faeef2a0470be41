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
    for row in rows {
        for test in &row.cluster {
            if !options.cluster {
                results.left_out.insert(test.clone(), "needs --cluster".to_owned());
            } else if !results.passed.contains_key(test) {
                let (suite, name) = test.split_once('/').ok_or_else(|| format!("{test:?} is not suite/Name"))?;
                let passed = succeeds(top, "tests/e2e/run", &["--run", &format!("^{name}$"), suite]);
                results.passed.insert(test.clone(), passed);
            }
        }
        for script in &row.scripts {
            if !options.scripts {
                results.left_out.insert(script.clone(), "needs --scripts".to_owned());
            } else if !results.passed.contains_key(script) {
                let mut words = script.split(' ');
                let program = format!("tests/{}", words.next().unwrap_or_default());
                let arguments: Vec<&str> = words.collect();
                results.passed.insert(script.clone(), succeeds(top, &program, &arguments));
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
