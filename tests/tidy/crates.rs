//! Dependencies between the crates of the workspace and on the outside.

use std::collections::BTreeSet;
use std::process::Command;

use crate::{settle, tree};

/// A crate's directory, the crates of the workspace it may use, and what it must never use from outside.
const RULES: &[(&str, &[&str], &[&str])] = &[
    ("shared", &[], &["tokio", "hyper", "rustls", "k8s-openapi", "kube", "clap", "anyhow"]),
    (
        "controller/compile",
        &["portico-shared"],
        &["tokio", "hyper", "rustls", "kube", "notify", "clap", "anyhow", "socket2"],
    ),
    ("dataplane", &["portico-shared"], &["k8s-openapi", "kube", "clap", "anyhow", "notify"]),
    ("controller", &["portico-shared", "portico-compile", "portico-dataplane"], &[]),
    ("tests", &[], &["k8s-openapi", "kube"]),
];

#[test]
fn dependencies_point_one_way() {
    let mut offences = Vec::new();
    for (directory, ours, never) in RULES {
        for name in dependencies(directory) {
            let foreign = name.starts_with("portico") && !ours.contains(&name.as_str());
            if foreign || never.contains(&name.as_str()) {
                offences.push(format!("{directory} depends on {name}"));
            }
        }
    }
    settle("shared <- compile <- controller, shared <- dataplane <- controller, and nothing else", &offences);
}

#[test]
fn every_crate_has_a_rule() {
    let manifest = std::fs::read_to_string(tree::root().join("Cargo.toml")).expect("the workspace has a manifest");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("members stand in a line");
    let members: BTreeSet<_> = members.split('"').skip(1).step_by(2).collect();
    assert_eq!(members, RULES.iter().map(|(directory, ..)| *directory).collect());
}

/// The lock file also lists what a feature could pull in but does not; what counts is what is built.
#[test]
fn one_cryptographic_provider() {
    let mut offences = Vec::new();
    for name in ["ring", "openssl", "native-tls"] {
        let tree = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--locked",
                "--offline",
                "--workspace",
                "--target",
                "all",
                "--edges",
                "all",
                "--invert",
                name,
            ])
            .current_dir(tree::root())
            .output()
            .expect("the cargo that runs this test can be run");
        let printed = String::from_utf8_lossy(&tree.stdout);
        let message = String::from_utf8_lossy(&tree.stderr);
        assert!(tree.status.success() || message.contains("did not match any packages"), "{message}");
        if !printed.trim().is_empty() {
            offences.push(printed.into_owned());
        }
    }
    settle("aws-lc-rs is the only provider of cryptography", &offences);
}

/// Names under `[dependencies]`; those of tests are free.
fn dependencies(directory: &str) -> Vec<String> {
    let file = tree::root().join(directory).join("Cargo.toml");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut section = "";
    let mut names = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            names.extend(section.strip_prefix("dependencies.").map(str::to_owned));
        } else if section == "dependencies" || section.ends_with("'.dependencies") {
            names.extend(line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    names
}
