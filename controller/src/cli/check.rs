//! `portico check`: what is wrong with manifests.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use super::args::{CheckArgs, Format};
use super::load::Loaded;
use super::paint::Paint;
use super::show::diagnostics::{diagnostics, tally};
use super::{Answer, load, settings, write_out};
use crate::view::Place;
use crate::view::diagnostics::{DiagnosticView, DiagnosticsView};

/// The answer for programs.
#[derive(Serialize)]
struct Findings {
    /// Files read.
    files: usize,
    /// Objects in them that were accepted.
    objects: usize,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<DiagnosticView>,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<Answer> {
    let loaded = load::read(&args.paths, settings::options(&args.ingress))?;
    write_out(&match args.format {
        Format::Text => text(&loaded, Paint::for_stdout()),
        Format::Json => json(&loaded)?,
    })?;
    Ok(if loaded.report.has_errors() { Answer::No } else { Answer::Yes })
}

/// The diagnostics and one line that sums them up.
pub(super) fn text(loaded: &Loaded, paint: Paint) -> String {
    let all = DiagnosticsView::new(1, &loaded.report).diagnostics;
    let lines = Lines::of(&all);
    let mut out = diagnostics(&all, paint, |place| lines.get(place));
    let found = match tally(&all).as_str() {
        "" => paint.good("nothing to report"),
        tally if loaded.report.has_errors() => paint.bad(tally),
        tally => paint.doubtful(tally),
    };
    let (files, objects) = (loaded.files, loaded.objects);
    let plural = |number: usize| if number == 1 { "" } else { "s" };
    out.push_str(&format!("{objects} object{} in {files} file{}: {found}\n", plural(objects), plural(files)));
    out
}

fn json(loaded: &Loaded) -> anyhow::Result<String> {
    let all = DiagnosticsView::new(1, &loaded.report).diagnostics;
    let number = |severity: &str| all.iter().filter(|it| it.severity == severity).count();
    let findings = Findings {
        files: loaded.files,
        objects: loaded.objects,
        errors: number("error"),
        warnings: number("warning"),
        diagnostics: all,
    };
    Ok(serde_json::to_string_pretty(&findings)? + "\n")
}

/// The files that diagnostics point into, read once each.
struct Lines(HashMap<String, Vec<String>>);

impl Lines {
    fn of(all: &[DiagnosticView]) -> Self {
        let mut files = HashMap::new();
        for place in all.iter().filter_map(|it| it.location.as_ref()) {
            files.entry(place.file.clone()).or_insert_with(|| read_lines(Path::new(&place.file)));
        }
        Self(files)
    }

    fn get(&self, place: &Place) -> Option<String> {
        let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
        self.0.get(&place.file)?.get(line).cloned()
    }
}

/// A file that cannot be read now has no lines to quote.
fn read_lines(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}
