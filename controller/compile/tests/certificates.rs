//! Certificates over time: broken and deleted Secrets, and the moments at which time alone changes the report.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use portico_compile::secret::SecretProblem;
use portico_compile::{Compiled, Key, Options, Snapshot, compile, manifest};
use portico_shared::Code;

/// A day in the validity of the case's certificate.
const NOW: i64 = 1_795_219_200;

/// A host with its certificate: the recorded case of that name.
fn snapshot() -> Snapshot {
    let manifest = manifest::parse("in.yaml", include_str!("golden/tls/listed/in.yaml"));
    assert_eq!(manifest.diagnostics, []);
    Snapshot::from_objects(manifest.objects, Arc::new(Options::default()), NOW)
}

fn codes(compiled: &Compiled) -> Vec<Code> {
    compiled.report.diagnostics().iter().map(|diagnostic| diagnostic.code).collect()
}

fn certificate_of_host(compiled: &Compiled) -> Option<String> {
    let host = &compiled.ir.listeners[0].virtual_hosts[0];
    assert_eq!(host.routes.len(), 1, "the route stays whatever the certificate is");
    host.certificate.as_ref().map(ToString::to_string)
}

#[test]
fn a_broken_update_keeps_the_last_usable_version() {
    let mut snapshot = snapshot();
    let before = compile(&snapshot);
    assert_eq!(codes(&before), []);
    let entry = snapshot.secrets.get_mut(&Key::new("shop", "foo")).unwrap();
    entry.certificate = Err(SecretProblem::KeyMissing("tls.key"));

    let after = compile(&snapshot);
    assert_eq!(after.ir, before.ir);
    assert_eq!(codes(&after), [Code::SecretInvalid]);
    let diagnostic = &after.report.diagnostics()[0];
    assert!(diagnostic.message.ends_with("its last usable version is served"), "{diagnostic}");
    assert_eq!(diagnostic.object.as_ref().unwrap().to_string(), "Secret shop/foo");
}

#[test]
fn a_secret_that_never_was_usable_leaves_the_default() {
    let mut snapshot = snapshot();
    let entry = snapshot.secrets.get_mut(&Key::new("shop", "foo")).unwrap();
    entry.certificate = Err(SecretProblem::KeyMissing("tls.key"));
    entry.last_usable = None;

    let compiled = compile(&snapshot);
    assert_eq!(certificate_of_host(&compiled), None);
    assert_eq!(codes(&compiled), [Code::SecretInvalid]);
}

#[test]
fn a_deleted_secret_leaves_the_default() {
    let mut snapshot = snapshot();
    snapshot.secrets.clear();

    let compiled = compile(&snapshot);
    assert_eq!(certificate_of_host(&compiled), None);
    assert_eq!(codes(&compiled), [Code::SecretNotFound]);
}

#[test]
fn the_report_changes_at_boundaries_and_only_there() {
    let mut snapshot = snapshot();
    let certificate = snapshot.secrets[&Key::new("shop", "foo")].certificate.clone().unwrap();
    let stages = [
        (certificate.not_before, vec![Code::CertificateExpired]),
        (certificate.not_after - 14 * 86_400, vec![]),
        (certificate.not_after + 1, vec![Code::CertificateExpiring]),
    ];

    snapshot.now = certificate.not_before - 86_400;
    for (end, expected) in stages {
        let compiled = compile(&snapshot);
        assert_eq!(codes(&compiled), expected, "at {}", snapshot.now);
        assert_eq!(compiled.next_boundary, Some(end), "at {}", snapshot.now);
        snapshot.now = end - 1;
        assert_eq!(compile(&snapshot).report, compiled.report, "just before {end}");
        snapshot.now = end;
    }
    let compiled = compile(&snapshot);
    assert_eq!(codes(&compiled), [Code::CertificateExpired]);
    assert_eq!(compiled.next_boundary, None);
    assert_eq!(certificate_of_host(&compiled).as_deref(), Some("shop/foo"), "expired, still served");
}
