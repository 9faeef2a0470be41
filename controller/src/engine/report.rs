//! The report: problems from every stage together, and a log line for each that appears or heals.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use portico_compile::{Key, Snapshot};
use portico_dataplane::tls::KeyError;
use portico_shared::{Code, Diagnostic, Kind, ObjectRef, Report, Severity};

/// Problems by the stage that found them.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// Of files and other places that objects come from.
    pub(super) source: Vec<Diagnostic>,
    /// Of objects.
    pub(super) compile: Arc<Report>,
    /// Of certificates that the TLS provider refuses.
    pub(super) keys: Vec<Diagnostic>,
    /// Of addresses that may not be used.
    pub(super) endpoints: Vec<Diagnostic>,
    /// Of names behind ExternalName Services.
    pub(super) names: Vec<Diagnostic>,
    /// What was told last, and what it was made of.
    told: (Arc<Report>, Arc<Report>, Vec<Diagnostic>),
}

impl Problems {
    /// All of them, with places in files where those are known. The same value as the last time unless something changed.
    pub(super) fn report(&mut self, snapshot: &Snapshot) -> Arc<Report> {
        let placed = self.keys.iter().chain(&self.endpoints).chain(&self.names).cloned().map(|mut diagnostic| {
            diagnostic.location = diagnostic.location.take().or_else(|| locate(snapshot, &diagnostic));
            diagnostic
        });
        let others: Vec<_> = self.source.iter().cloned().chain(placed).collect();
        let (report, compile, before) = &self.told;
        if !Arc::ptr_eq(compile, &self.compile) || others != *before {
            let report = if others.is_empty() {
                self.compile.clone()
            } else {
                Arc::new(Report::new(self.compile.diagnostics().iter().chain(&others).cloned().collect()))
            };
            self.told = (report, self.compile.clone(), others);
            return self.told.0.clone();
        }
        report.clone()
    }
}

fn locate(snapshot: &Snapshot, diagnostic: &Diagnostic) -> Option<portico_shared::Location> {
    let object = diagnostic.object.as_ref()?;
    let key = Key { namespace: object.namespace.clone(), name: object.name.clone() };
    match object.kind {
        Kind::Service => snapshot.services.get(&key)?.locate(&diagnostic.field),
        Kind::Secret => snapshot.secrets.get(&key)?.object.locate(&diagnostic.field),
        _ => None,
    }
}

/// The diagnostic of a certificate that the TLS provider refuses.
pub(super) fn key_problem(error: &KeyError) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: Code::SecretInvalid,
        object: Some(ObjectRef::new(Kind::Secret, &error.name.namespace, &error.name.secret)),
        field: "data".into(),
        location: None,
        message: format!("the TLS provider refuses it: {}", error.reason),
        hint: None,
    }
}

/// Logs what appeared and what healed. A problem that only moved within its file did neither.
pub(super) fn log_transitions(before: &Report, after: &Report) {
    let (old, new) = (by_meaning(before), by_meaning(after));
    let appeared: Vec<_> = after.diagnostics().iter().filter(|it| !old.contains(&meaning(it))).collect();
    let healed: Vec<_> = before.diagnostics().iter().filter(|it| !new.contains(&meaning(it))).collect();
    for diagnostic in appeared.iter().take(LINES) {
        match diagnostic.severity {
            Severity::Error => tracing::error!("{diagnostic}"),
            Severity::Warning => tracing::warn!("{diagnostic}"),
            Severity::Info => tracing::info!("{diagnostic}"),
        }
    }
    for diagnostic in healed.iter().take(LINES) {
        tracing::info!("healed: {diagnostic}");
    }
    for (what, count) in [("appeared", appeared.len()), ("healed", healed.len())] {
        if count > LINES {
            tracing::warn!("{} more diagnostics {what}; see /diagnostics", count - LINES);
        }
    }
}

fn by_meaning(report: &Report) -> HashSet<Meaning<'_>> {
    report.diagnostics().iter().map(meaning).collect()
}

type Meaning<'a> = (Severity, Code, Option<&'a ObjectRef>, Option<&'a str>, &'a str, &'a str);

/// What makes two diagnostics the same problem: everything but the place, of which only a whole file's name counts.
fn meaning(it: &Diagnostic) -> Meaning<'_> {
    let file = it.location.as_ref().filter(|_| it.object.is_none()).map(|location| &*location.file);
    (it.severity, it.code, it.object.as_ref(), file, &it.field, &it.message)
}

/// Number of diagnostics of each code.
#[must_use]
pub fn by_code(report: &Report) -> HashMap<Code, usize> {
    let mut counts = HashMap::new();
    for diagnostic in report.diagnostics() {
        *counts.entry(diagnostic.code).or_default() += 1;
    }
    counts
}

/// Lines of one kind that one change logs at most.
const LINES: usize = 50;
