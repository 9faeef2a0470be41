//! Golden cases: `golden/<feature>/<case>/in.yaml` compiles to the `ir.json` and `report.json` beside it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p portico-compile --test golden` writes them anew; read the difference before you
//! commit it. Lines `# option NAME = VALUE` at the top of a case set an option, `# now = SECONDS` the time.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portico_compile::{Compiled, DefaultBackend, HostOwnership, Key, Options, Snapshot, compile, manifest};
use portico_shared::Report;
use portico_shared::ir::policy::StrictTransportSecurity;
use serde_json::{Value, json};

/// 2026-11-21, the day of every case that sets none.
const NOW: i64 = 1_795_219_200;

#[test]
fn cases_compile_as_recorded() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let cases = cases();
    assert!(cases.len() > 10, "only {} cases were found", cases.len());
    let failures: Vec<String> = cases.iter().flat_map(|case| check(case, update)).collect();
    assert!(failures.is_empty(), "{} of {} cases differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Folders that hold an `in.yaml`, sorted.
fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
    };
    let mut cases: Vec<_> = folders(&root).iter().flat_map(|feature| folders(feature)).collect();
    cases.sort();
    cases
}

fn check(case: &Path, update: bool) -> Vec<String> {
    let text = fs::read_to_string(case.join("in.yaml")).unwrap_or_else(|e| panic!("{}: {e}", case.display()));
    let (options, now) = settings(&text);
    let manifest = manifest::parse("in.yaml", &text);
    let compiled = compile(&Snapshot::from_objects(manifest.objects, Arc::new(options), now));
    let found = manifest.diagnostics.into_iter().chain(compiled.report.diagnostics().iter().cloned());
    let report = serde_json::to_value(Report::new(found.collect())).unwrap();
    [("ir.json", rendered(&compiled)), ("report.json", report)]
        .into_iter()
        .filter_map(|(name, value)| {
            let mut actual = String::new();
            write(&value, 0, &mut actual);
            actual.push('\n');
            assert!(!actual.contains("PRIVATE KEY"), "{} shows a key", case.display());
            let path = case.join(name);
            if update {
                fs::write(&path, actual).unwrap();
                return None;
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            (expected != actual).then(|| format!("{}\n{}", path.display(), first_difference(&expected, &actual)))
        })
        .collect()
}

/// The IR without what is empty, and what comes with it.
fn rendered(compiled: &Compiled) -> Value {
    let endpoints: serde_json::Map<_, _> = compiled
        .endpoints
        .iter()
        .map(|(name, set)| {
            let addresses: Vec<_> = set.endpoints().iter().map(|endpoint| endpoint.address.to_string()).collect();
            (name.to_string(), addresses.into())
        })
        .collect();
    let served: Vec<_> = compiled.served.iter().map(ToString::to_string).collect();
    let mut value = json!({ "ir": compiled.ir, "served": served, "next_boundary": compiled.next_boundary });
    prune(&mut value);
    // Not pruned: an upstream without endpoints is something else than none.
    value["endpoints"] = endpoints.into();
    value
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, value| !is_empty(value));
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// JSON with one line for whatever fits on one.
fn write(value: &Value, indent: usize, out: &mut String) {
    let line = value.to_string();
    let (brackets, items) = match value {
        Value::Array(list) => ("[]", list.iter().map(|item| (String::new(), item)).collect::<Vec<_>>()),
        Value::Object(map) => ("{}", map.iter().map(|(key, item)| (format!("{key:?}: "), item)).collect()),
        _ => return out.push_str(&line),
    };
    if indent + line.len() <= 110 {
        return out.push_str(&line);
    }
    out.push_str(&brackets[..1]);
    for (index, (key, item)) in items.into_iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.extend([" ".repeat(indent + 2), key]);
        write(item, indent + 2, out);
    }
    out.extend(["\n", &" ".repeat(indent), &brackets[1..]]);
}

fn first_difference(expected: &str, actual: &str) -> String {
    let (mut left, mut right) = (expected.lines(), actual.lines());
    for number in 1.. {
        match (left.next(), right.next()) {
            (None, None) => break,
            (left, right) if left == right => {}
            (left, right) => {
                return format!("  line {number}\n  - {}\n  + {}", left.unwrap_or("(end)"), right.unwrap_or("(end)"));
            }
        }
    }
    "  line ends differ".to_owned()
}

/// The options and the time that the comments at the top set.
fn settings(text: &str) -> (Options, i64) {
    let mut options = Options::default();
    let mut now = NOW;
    for line in text.lines().map_while(|line| line.strip_prefix("# ")) {
        if let Some(seconds) = line.strip_prefix("now = ") {
            now = seconds.parse().unwrap();
        } else if let Some((name, value)) = line.strip_prefix("option ").and_then(|rest| rest.split_once(" = ")) {
            set(&mut options, name, value);
        }
    }
    (options, now)
}

fn set(options: &mut Options, name: &str, value: &str) {
    let switch = || value.parse::<bool>().unwrap();
    let key = |value: &str| {
        let (namespace, name) = value.split_once('/').unwrap();
        Key::new(namespace, name)
    };
    match name {
        "serve_without_class" => options.serve_without_class = switch(),
        "class_by_name" => options.class_by_name = switch(),
        "https_redirect" => options.https_redirect = switch(),
        "https_port" => options.https_port = value.parse().unwrap(),
        "external_name" => options.external_name = switch(),
        "external_name_unguarded" => options.external_name_unguarded = switch(),
        "local_endpoints" => options.local_endpoints = switch(),
        "zone" => options.zone = Some(value.to_owned()),
        "default_tls_secret" => options.default_tls_secret = Some(key(value)),
        "rules_per_namespace" => options.rules_per_namespace = Some(value.parse().unwrap()),
        "certificates_per_namespace" => options.certificates_per_namespace = Some(value.parse().unwrap()),
        "host_ownership" if value == "namespace" => options.host_ownership = HostOwnership::Namespace,
        "strict_transport_security" => {
            let max_age = value.parse().unwrap();
            options.strict_transport_security = Some(StrictTransportSecurity { max_age, include_subdomains: false });
        }
        "default_backend_service" => {
            let (service, port) = value.split_once(':').map_or((value, None), |(s, p)| (s, p.parse().ok()));
            options.default_backend_service = Some(DefaultBackend { service: key(service), port });
        }
        _ => panic!("unknown option {name} = {value}"),
    }
}
