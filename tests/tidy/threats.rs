//! The threat table: every row is there, and what is named as its proof exists, so that no renaming loses a row.

use portico_tests::rows;

use crate::{settle, tree};

#[test]
fn every_row_names_proofs_that_exist() {
    let rows = rows::read(&tree::root()).unwrap_or_else(|error| panic!("{error}"));
    let rust = tree::files(&[".rs"]);
    let suites = tree::files(&["_test.go"]);
    let corpus = tree::files(&[".yaml"]);
    let mut offences = Vec::new();
    for row in rows.iter().filter(|row| row.not_applicable.is_none()) {
        for test in &row.tests {
            let function = format!("fn {}(", test.rsplit(['/', ':']).next().unwrap_or_default());
            if !rust.iter().any(|file| file.text.contains(&function)) {
                offences.push(format!("{}: no test {test}", row.id));
            }
        }
        for test in &row.cluster {
            let (suite, name) = test.split_once('/').unwrap_or_default();
            let (directory, function) = (format!("/suites/{suite}/"), format!("func {name}(t "));
            if !suites.iter().any(|file| file.path.contains(&directory) && file.text.contains(&function)) {
                offences.push(format!("{}: no suite's test {test}", row.id));
            }
        }
        for script in &row.scripts {
            let program = script.split(' ').next().unwrap_or_default();
            if !tree::root().join("tests").join(program).is_file() {
                offences.push(format!("{}: no program {script}", row.id));
            }
        }
        let (entry, attack) = (format!("- id: {}\n", row.id), format!("\"{}::", row.id));
        let named = corpus
            .iter()
            .any(|file| file.path.starts_with("tests/threats/corpus/") && file.text.contains(&entry))
            || rust.iter().any(|file| file.path.starts_with("tests/threats/attacks/") && file.text.contains(&attack));
        if row.threats && !named {
            offences.push(format!("{}: neither the corpus nor an attack bears its name", row.id));
        }
    }
    settle("every row of the threat table is proven by tests that exist", &offences);
}
