//! Text in, objects and diagnostics out.

mod ingress;
mod kinds;
mod places;
mod primer;
mod property;
mod text;

use super::{Manifest, parse};
use crate::snapshot::AnyObject;

/// Parses and fails when anything is reported.
fn clean(case: &str, text: &str) -> Manifest {
    let manifest = parse("test.yaml", text);
    assert!(manifest.complete, "case {case}: complete");
    assert_eq!(lines(&manifest), Vec::<String>::new(), "case {case}");
    manifest
}

/// The diagnostics as a person reads them.
fn lines(manifest: &Manifest) -> Vec<String> {
    manifest.diagnostics.iter().map(ToString::to_string).collect()
}

/// `Kind namespace/name` of each object.
fn names(manifest: &Manifest) -> Vec<String> {
    manifest.objects.iter().map(|object| object.reference().to_string()).collect()
}

/// Parses one object that is to be refused; its diagnostics as `field: message`.
fn refusals(case: &str, text: &str) -> Vec<String> {
    let manifest = parse("test.yaml", text);
    assert_eq!(names(&manifest), Vec::<String>::new(), "case {case}: nothing is accepted");
    let told = manifest.diagnostics.iter().map(|d| format!("{}: {}", d.field, d.message));
    told.collect()
}

macro_rules! only {
    ($manifest:expr, $kind:ident) => {{
        let manifest = &$manifest;
        match &manifest.objects[..] {
            [AnyObject::$kind(object)] => &object.value,
            other => panic!("one {} expected, got {} objects", stringify!($kind), other.len()),
        }
    }};
}
use only;
