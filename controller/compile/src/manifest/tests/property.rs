//! Text made to hurt: deep, wide, self-multiplying, or random.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const AFTER: &str = "\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: after}\n";

#[test]
fn breaches_are_told_and_what_follows_is_read() {
    let bomb = (1..=20).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
        let alias = format!("*a{}", n - 1);
        format!("{text}a{n}: &a{n} [{}]\n", vec![alias; 9].join(", "))
    });
    let anchored = format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
    let twice = (0..2000).map(|n| format!("a{n}: 1\na{n}: 1\n")).collect::<String>();
    let cases = [
        ("alias bomb", bomb, "aliases expand to too much"),
        ("large alias", anchored, "aliases expand to too much"),
        (
            "nested anchors",
            (0..60).map(|n| format!("&n{n} [")).collect::<String>() + &"x, ".repeat(50_000) + &"]".repeat(60),
            "aliases expand to too much",
        ),
        ("block depth", "- ".repeat(65) + "x", "nested more than 64 levels deep"),
        ("flow depth", "[".repeat(65) + &"]".repeat(65), "nested more than 64 levels deep"),
        ("key is a mapping", "? {a: b}\n: c".to_owned(), "a mapping key is not a scalar"),
        ("merge of a scalar", "a: {<<: b}".to_owned(), "the merge key << needs a mapping or a list of mappings"),
        ("duplicates", twice, "more than 1000 keys stand twice in their mapping"),
        ("alias in its own anchor", "a: &a [*a]".to_owned(), "an alias stands inside the value that its anchor names"),
    ];
    for (case, text, message) in cases {
        let manifest = parse("f", &(text + AFTER));
        assert_eq!(names(&manifest), ["Namespace after"], "case {case}");
        assert!(!manifest.complete, "case {case}");
        let told: Vec<_> = manifest.diagnostics.iter().map(|d| (d.code.as_str(), &*d.message)).collect();
        assert_eq!(told, [("FileUnreadable", message)], "case {case}");
    }
    assert_eq!(parse("f", &("- ".repeat(64) + "x")).diagnostics.len(), 1, "64 levels are read, and are no object");
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    for (case, text) in [("octets", " ".repeat((64 << 20) + 1)), ("separators", ",".repeat(8_000_001))] {
        let manifest = parse("f", &text);
        assert!(!manifest.complete && manifest.objects.is_empty(), "case {case}");
        assert_eq!(manifest.diagnostics.len(), 1, "case {case}");
    }
}

/// Texts whose cost must grow with their length, not its square.
#[test]
fn cost_is_linear_in_hostile_shapes() {
    let n = 200_000;
    for (case, text) in [
        ("dashes", "- ".repeat(n)),
        ("brackets", "[".repeat(n)),
        ("braces", "{".repeat(n)),
        ("question marks", "? ".repeat(n)),
        ("anchors", "&a ".repeat(n)),
        ("flat list", format!("[{}]", "1,".repeat(n))),
        ("flat mapping", (0..n).map(|i| format!("k{i}: 1\n")).collect()),
        ("flow mapping", format!("{{{}}}", (0..n).map(|i| format!("k{i}: 1,")).collect::<String>())),
        ("plain scalar over lines", "a\n".repeat(n)),
        ("quoted scalar over lines", format!("\"{}\"", "a\n\n".repeat(n))),
        ("block scalar", format!("|\n{}", " a\n".repeat(n))),
        ("blank lines", "\n".repeat(n)),
        ("comments", "# x\n".repeat(n)),
        ("markers", "---\n".repeat(n)),
        ("ends", "...\n".repeat(n)),
        ("directives", "%a b\n".repeat(n)),
        ("tags", "!a ".repeat(n)),
        ("colons", ": ".repeat(n)),
        ("pairs in a list", format!("[{}]", "a: b,".repeat(n))),
    ] {
        let start = Instant::now();
        let manifest = parse("f", &text);
        assert!(manifest.objects.is_empty(), "case {case}");
        let spent = start.elapsed();
        assert!(spent < Duration::from_secs(10), "case {case} took {spent:?}");
    }
}

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "apiVersion: networking.k8s.io/v1\n", "kind: Ingress\n", "kind: Service\n", "kind: Secret\n", "apiVersion: v1\n",
            "metadata:\n", "  name: a\n", "spec:\n", "  rules:\n", "  - host: a.b\n", "    http:\n", "      paths:\n",
            "      - path: /\n", "        pathType: Prefix\n", "data: {tls.crt: YQ==}\n", "---\n", "...\n", "%YAML 1.2\n",
            "? ", ": ", "- ", "&a ", "*a ", "<<: ", "!!str ", "!x ", "[", "]", "{", "}", ",", "|\n", ">-\n", "\"", "'", "#", "\t",
            "\r", "\n", " ", "~", "\u{feff}", "\u{85}", "\u{2028}", "\0", "é", "kind: List\nitems:\n", "\\x", "\\u", "1e9", "true",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
        1 => any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(parts in prop::collection::vec(fragment(), 0..40)) {
        let text = parts.concat();
        let manifest = parse("f", &text);
        for object in &manifest.objects {
            prop_assert!(!object.reference().name.is_empty());
        }
        for diagnostic in &manifest.diagnostics {
            prop_assert!(diagnostic.location.is_some());
        }
    }

    #[test]
    fn no_change_of_one_character_panics(at in 0usize..600, new in any::<char>()) {
        let whole = include_str!("../../../tests/primer/path-based-tls.yaml");
        let text: String = whole.chars().enumerate().map(|(n, old)| if n == at { new } else { old }).collect();
        prop_assert!(parse("f", &text).objects.len() <= 1);
    }
}
