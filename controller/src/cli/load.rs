//! Manifests read once and compiled: what `check`, `routes` and `explain` speak of.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use portico_compile::{Options, Snapshot};
use portico_shared::table::RoutingTable;
use portico_shared::{Report, Severity};

use super::paint::Paint;
use crate::source::directory::{Limits, Listing, read_once};
use crate::view::Served;

/// The table of some manifests and everything found on the way.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Files read.
    pub(super) files: usize,
    /// Objects accepted.
    pub(super) objects: usize,
    /// Problems of files, of objects and of their compile.
    pub(super) report: Report,
    snapshot: Snapshot,
    table: RoutingTable,
}

impl Loaded {
    /// The table with what is needed to explain it.
    pub(super) fn served(&self) -> Served<'_> {
        Served { table: &self.table, report: &self.report, snapshot: &self.snapshot, live: false }
    }
}

/// Reads files and directories and compiles what is in them.
pub(super) fn read(paths: &[PathBuf], options: Options) -> Result<Loaded> {
    let Listing { files, objects, mut diagnostics } = read_once(paths, Limits::default())?;
    let count = objects.len();
    let snapshot = Snapshot::from_objects(objects, Arc::new(options), now());
    let compiled = portico_compile::compile(&snapshot);
    diagnostics.extend_from_slice(compiled.report.diagnostics());
    let endpoints = compiled.endpoints;
    let table = RoutingTable::build(compiled.ir, &RoutingTable::empty(), |name| endpoints.get(name).cloned());
    Ok(Loaded { files, objects: count, report: Report::new(diagnostics), snapshot, table })
}

/// Says on stderr that there is more to know than the answer.
pub(super) fn warn(loaded: &Loaded) -> Result<()> {
    let errors = loaded.report.diagnostics().iter().filter(|it| it.severity == Severity::Error).count();
    if errors > 0 {
        let what = if errors == 1 { "1 error" } else { &format!("{errors} errors") };
        let what = Paint::for_stderr().bad(what);
        writeln!(io::stderr(), "portico: {what} in these manifests, see `portico check`")?;
    }
    Ok(())
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
