//! The examples do what their expect.txt says. `UPDATE_EXPECT=1` writes the answers anew.

use std::fs;
use std::path::PathBuf;

use super::{parse, root, update};
use crate::cli::args::Command;
use crate::cli::paint::Paint;
use crate::cli::{check, explain, load, settings, show};

/// Folders of examples, in order.
fn topics() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut topics: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    topics.sort();
    topics
}

/// Words of a command line; double quotes hold words together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// The answer to `portico explain ...` as it reads at the top of the source tree.
fn answer(line: &str) -> String {
    let top = root();
    let words = words(line);
    let words: Vec<_> = words.iter().skip(1).map(String::as_str).collect();
    let Command::Explain(mut args) = parse(&words) else { panic!("not explain: {line}") };
    args.paths.iter_mut().for_each(|path| *path = top.join(&path));
    let loaded = load::read(&args.paths, settings::options(&args.ingress)).unwrap();
    let view = explain::answer(&loaded, &explain::question(&args).unwrap());
    show::explain::explain(&view, Paint::PLAIN).replace(&format!("{}/", top.display()), "")
}

#[test]
fn every_example_answers_as_expected() {
    for topic in topics() {
        let path = topic.join("expect.txt");
        let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let commands = expected.lines().filter_map(|line| line.strip_prefix("$ "));
        let answers: Vec<_> = commands.map(|line| format!("$ {line}\n{}", answer(line))).collect();
        assert!(!answers.is_empty(), "{} asks nothing", path.display());
        let got = answers.join("\n");
        if update("UPDATE_EXPECT") {
            fs::write(&path, got).unwrap();
        } else {
            assert_eq!(got, expected, "{}: UPDATE_EXPECT=1 writes it anew", path.display());
        }
    }
}

#[test]
fn every_example_has_a_readme_and_passes_check() {
    for topic in topics() {
        assert!(topic.join("README.md").is_file(), "{}", topic.display());
        let loaded = load::read(&[topic], settings::options(&ingress())).unwrap();
        assert!(loaded.report.diagnostics().is_empty(), "{}", check::text(&loaded, Paint::PLAIN));
    }
}

#[test]
fn the_examples_do_not_disturb_one_another() {
    let loaded = load::read(&[root().join("examples")], settings::options(&ingress())).unwrap();
    assert!(loaded.report.diagnostics().is_empty(), "{}", check::text(&loaded, Paint::PLAIN));
}

fn ingress() -> crate::cli::args::ingress::IngressArgs {
    let Command::Check(args) = parse(&["check", "examples"]) else { panic!("not check") };
    args.ingress
}

#[test]
fn the_annotation_reference_is_fresh() {
    let path = root().join("examples/annotations.md");
    let fresh = portico_compile::annotation::reference();
    if update("UPDATE_EXPECT") {
        fs::write(&path, &fresh).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, fresh, "UPDATE_EXPECT=1 writes examples/annotations.md anew");
}
