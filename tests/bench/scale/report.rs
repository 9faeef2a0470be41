//! Figures as they come, and as they are kept: every sample, the machine, and a table with the targets beside it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::machine;

/// All figures.
#[derive(Debug)]
pub(crate) struct Report {
    raw: String,
    table: String,
    kept: bool,
    /// The 99th percentile of traffic in quiet, of the size that is being measured.
    quiet: f64,
}

/// What is promised at 10,000 Ingresses, in words and as the most that the 99th percentile, or the one figure, may be. What a
/// source has, it gathered for 10 ms; traffic is held against what it is in quiet.
const TARGETS: [(&str, &str, f64); 7] = [
    ("first table, from the start of the process", "<= 1500 ms", 1500.0),
    ("resident memory after the first table", "<= 100 MB", 100.0),
    ("resident memory at the end", "<= 100 MB", 100.0),
    ("one endpoint, until served", "p99 <= 10 + 10 ms", 20.0),
    ("one rule, until served", "p99 <= 10 + 50 ms", 60.0),
    ("one certificate, until served", "p99 <= 10 + 50 ms", 60.0),
    (CHURNED, "p99 <= 1.1 times quiet", 1.1),
];

/// Traffic without changes.
pub(crate) const QUIET: &str = "traffic, quiet";
/// Traffic with them.
pub(crate) const CHURNED: &str = "traffic, 100 endpoint changes a second";

impl Report {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let table = "| Ingresses | what | p50 | p99 | target |\n|--:|---|--:|--:|---|\n".to_owned();
        print!("{table}");
        Self { raw: "ingresses,what,unit,value\n".to_owned(), table, kept: arguments.kept, quiet: f64::NAN }
    }

    /// Times of one kind, in milliseconds.
    pub(crate) fn add(&mut self, count: usize, what: &str, unit: &str, samples: &[Duration]) {
        let mut values: Vec<_> = samples.iter().map(|sample| sample.as_secs_f64() * 1000.0).collect();
        for value in &values {
            writeln!(self.raw, "{count},\"{what}\",{unit},{value:.3}").expect("writing to a string never fails");
        }
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values.get(((values.len() as f64 * share).ceil() as usize).saturating_sub(1));
        let [half, most] = [0.5, 0.99].map(|share| at(share).copied().unwrap_or(f64::NAN));
        if what == QUIET {
            self.quiet = most;
        }
        self.line(count, what, &format!("{half:.2} {unit}"), &format!("{most:.2} {unit}"), most);
    }

    /// One figure.
    pub(crate) fn value(&mut self, count: usize, what: &str, unit: &str, value: f64) {
        writeln!(self.raw, "{count},\"{what}\",{unit},{value:.3}").expect("writing to a string never fails");
        self.line(count, what, &format!("{value:.2} {unit}"), "", value);
    }

    fn line(&mut self, count: usize, what: &str, half: &str, most: &str, figure: f64) {
        let target = TARGETS.iter().find(|(known, ..)| count == 10_000 && *known == what);
        let target = target.map_or(String::new(), |(_, words, bound)| {
            let bound = if what == CHURNED { bound * self.quiet } else { *bound };
            format!("{words}: {}", if figure <= bound { "met" } else { "missed" })
        });
        let line = format!("| {count} | {what} | {half} | {most} | {target} |\n");
        print!("{line}");
        self.table += &line;
    }

    /// Keeps the figures in a folder of this day, unless they are of a smoke.
    pub(crate) fn finish(&self, arguments: &Arguments) {
        if !self.kept {
            return;
        }
        let say = |program: &str, words: &[&str]| {
            let output = Command::new(program).args(words).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
        };
        let folder = Path::new("tests/bench/runs").join(format!("{}-scale", say("date", &["+%F"])));
        std::fs::create_dir_all(&folder).expect("the checkout can be written to");
        let setup = format!(
            "# Setup\n\n- {}\n- Portico {} ({}), one worker\n- {} changes of each kind, each of another Ingress, 150 ms \
             apart; a file is moved into its place and requests are sent until one shows the change\n- the directory \
             source gathers notices for 10 ms before it reads a file, which is part of every time until served\n- nginx \
             and HAProxy: {}; {}\n- drivers and backends share the processors with the proxy\n",
            machine::describe(),
            say(&arguments.portico, &["--version"]),
            say("git", &["log", "-1", "--format=%h"]),
            arguments.samples,
            say("sh", &["-c", "nginx -v 2>&1"]),
            say("sh", &["-c", "haproxy -v | head -1"]),
        );
        let summary = format!(
            "# The control side at scale\n\nEach Ingress has two hosts of two paths and a Service of ten endpoints; every \
             fourth has TLS. Times are from the moment at which a file is in its place, for nginx and HAProxy from the \
             signal, to the first answer by it.\n\n{}",
            self.table
        );
        for (name, text) in [("raw.csv", &self.raw), ("setup.md", &setup), ("summary.md", &summary)] {
            std::fs::write(folder.join(name), text).expect("the checkout can be written to");
        }
        println!("kept in {}", folder.display());
    }
}
