//! Every example is complete.

use crate::{settle, tree};

/// The topics that are always there.
const TOPICS: &[&str] =
    &["default-backend", "externalname", "grpc", "hotel", "minimal", "paths", "tls", "websocket", "wildcard"];

#[test]
fn every_example_has_its_parts() {
    let examples = tree::root().join("examples");
    let folders: Vec<_> = tree::names(&examples).into_iter().filter(|name| examples.join(name).is_dir()).collect();
    let mut offences: Vec<_> = TOPICS
        .iter()
        .filter(|topic| !folders.iter().any(|folder| folder == *topic))
        .map(|topic| format!("{topic} is missing"))
        .collect();
    for folder in folders {
        let names = tree::names(&examples.join(&folder));
        for part in ["README.md", "expect.txt"] {
            if !names.iter().any(|name| name == part) {
                offences.push(format!("{folder} has no {part}"));
            }
        }
        let manifest = |name: &String| name.ends_with(".yaml") || name == "manifests";
        if !names.iter().any(manifest) {
            offences.push(format!("{folder} has no manifests"));
        }
    }
    settle("an example is a README.md, manifests and expect.txt", &offences);
}
