//! Documents, lists, types, and text that is broken somewhere.

use portico_shared::Severity;

use super::*;

const CLASS: &str =
    "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: NAME}\nspec: {controller: a.b/c}\n";

fn class(name: &str) -> String {
    CLASS.replace("NAME", name)
}

#[test]
fn documents_are_told_apart() {
    let cases: &[(&str, String, &[&str])] = &[
        ("empty", String::new(), &[]),
        ("comment", "# nothing\n".into(), &[]),
        ("empty documents", "---\n---\n# x\n---\n".into(), &[]),
        ("null", "null\n---\n~\n".into(), &[]),
        ("one", class("a"), &["IngressClass a"]),
        ("two", format!("{}---\n{}", class("a"), class("b")), &["IngressClass a", "IngressClass b"]),
        ("marker with comment", format!("--- # first\n{}--- # second\n{}", class("a"), class("b")), &["IngressClass a", "IngressClass b"]),
        ("end markers", format!("{}...\n---\n{}...\n", class("a"), class("b")), &["IngressClass a", "IngressClass b"]),
        ("CRLF", format!("{}---\n{}", class("a"), class("b")).replace('\n', "\r\n"), &["IngressClass a", "IngressClass b"]),
        ("byte order mark", format!("\u{feff}{}", class("a")), &["IngressClass a"]),
        ("directive", format!("%YAML 1.2\n---\n{}...\n%YAML 1.2\n---\n{}", class("a"), class("b")), &["IngressClass a", "IngressClass b"]),
        ("marker inside a block scalar is none when indented", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: |\n    ---\n    b\n".into(), &["ConfigMap default/c"]),
        ("foreign kinds", "apiVersion: apps/v1\nkind: Deployment\nspec: {x: 1}\n---\napiVersion: v1\nkind: Pod\n".into(), &[]),
        ("foreign Service", "apiVersion: serving.knative.dev/v1\nkind: Service\n".into(), &[]),
        ("list", format!("apiVersion: v1\nkind: List\nitems:\n- {}- {}", class("a").replace('\n', "\n  ").trim_end_matches(' '), class("b").replace('\n', "\n  ").trim_end_matches(' ')), &["IngressClass a", "IngressClass b"]),
        ("typed list", "apiVersion: networking.k8s.io/v1\nkind: IngressClassList\nitems:\n- metadata: {name: a}\n  spec: {controller: a.b/c}\n".into(), &["IngressClass a"]),
        ("list in a list", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n  - {apiVersion: v1, kind: Namespace, metadata: {name: n}}\n- null\n".into(), &["Namespace n"]),
        ("empty list", "apiVersion: v1\nkind: List\nitems:\n".into(), &[]),
        ("foreign kind that ends like a list", "apiVersion: a.b/v1\nkind: AllowList\nitems: [x]\n".into(), &[]),
        ("foreign list", "apiVersion: v1\nkind: PodList\nitems: [{metadata: {}}]\n".into(), &[]),
        ("JSON", r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"a": "\u0062\n"}}}"#.replace("\\n", ""), &["Namespace n"]),
        ("JSON with tabs", "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Namespace\",\n\t\"metadata\": {\n\t\t\"name\": \"n\"\n\t}\n}\n".into(), &["Namespace n"]),
    ];
    for (case, text, expected) in cases {
        assert_eq!(names(&clean(case, text)), *expected, "case {case}");
    }
}

#[test]
fn a_document_must_say_what_it_is() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "no type",
            "a: 1\n",
            &[
                "f:1:1: error[ObjectInvalid]: apiVersion: Required value: apiVersion must be specified",
                "f:1:1: error[ObjectInvalid]: kind: Required value: kind must be specified",
            ],
        ),
        (
            "no version",
            "\n\nkind: Ingress\n",
            &["f:3:1: error[ObjectInvalid]: apiVersion: Required value: apiVersion must be specified"],
        ),
        (
            "second has no kind",
            "apiVersion: v1\nkind: Pod\n---\n\napiVersion: v1\n",
            &["f:5:1: error[ObjectInvalid]: kind: Required value: kind must be specified"],
        ),
        (
            "kind is a number",
            "apiVersion: v1\nkind: 1\n",
            &["f:1:1: error[ObjectInvalid]: kind: Required value: kind must be specified"],
        ),
        ("text", "just words\n", &["f:1:1: error[ObjectInvalid]: an object must be a mapping"]),
        ("sequence", "- a\n", &["f:1:1: error[ObjectInvalid]: an object must be a mapping"]),
        ("items", "apiVersion: v1\nkind: List\nitems: {}\n", &["f:3:8: error[ObjectInvalid]: items: must be a list"]),
    ];
    for (case, text, expected) in cases {
        let manifest = parse("f", text);
        assert_eq!(lines(&manifest), *expected, "case {case}");
        assert!(manifest.objects.is_empty() && manifest.complete, "case {case}");
    }
}

#[test]
fn versions_that_are_not_served_are_refused_with_the_right_one() {
    for (version, kind, hint) in [
        ("extensions/v1beta1", "Ingress", "networking.k8s.io/v1"),
        ("networking.k8s.io/v1beta1", "Ingress", "networking.k8s.io/v1"),
        ("networking.k8s.io/v1beta1", "IngressClass", "networking.k8s.io/v1"),
        ("v1", "Ingress", "networking.k8s.io/v1"),
        ("discovery.k8s.io/v1beta1", "EndpointSlice", "discovery.k8s.io/v1"),
        ("v1beta1", "Service", "v1"),
    ] {
        let manifest = parse("f", &format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n"));
        let [only] = &manifest.diagnostics[..] else { panic!("case {version} {kind}: {:?}", manifest.diagnostics) };
        assert_eq!(only.hint.as_deref(), Some(hint), "case {version} {kind}");
        assert_eq!(only.message, format!("no matches for kind \"{kind}\" in version \"{version}\""));
        assert_eq!(only.object.as_ref().map(|object| object.kind.as_str()), Some(kind), "case {version} {kind}");
        assert_eq!(only.location.as_ref().map(ToString::to_string).as_deref(), Some("f:1:13"));
    }
}

#[test]
fn broken_syntax_hides_no_other_document() {
    let broken = "apiVersion: v1\nkind: [\nmetadata: }\n";
    let text = format!("{}---\n{broken}---\n{}", class("a"), class("b"));
    let manifest = parse("f", &text);
    assert_eq!(names(&manifest), ["IngressClass a", "IngressClass b"]);
    assert!(!manifest.complete);
    let [only] = &manifest.diagnostics[..] else { panic!("{:?}", manifest.diagnostics) };
    assert_eq!(only.code.as_str(), "FileUnreadable");
    let line = only.location.as_ref().map(|location| location.line).unwrap();
    assert!((7..=9).contains(&line), "line {line}");
}

#[test]
fn half_written_files_keep_what_is_whole_and_say_so() {
    for (case, tail) in [
        ("quote", "apiVersion: \"v1"),
        ("flow mapping", "apiVersion: v1\nkind: Service\nmetadata: {name: b"),
        ("key", "apiVersion: v1\nkind: Service\nmeta"),
        ("JSON", "{\"apiVersion\": \"v1\", \"kind\": "),
    ] {
        let manifest = parse("f", &format!("{}---\n{tail}", class("a")));
        assert_eq!(names(&manifest), ["IngressClass a"], "case {case}");
        assert!(!manifest.complete, "case {case}");
        assert_eq!(manifest.diagnostics.len(), 1, "case {case}: {:?}", lines(&manifest));
    }
}

#[test]
fn every_cut_of_a_file_is_survived() {
    let whole = include_str!("../../../tests/primer/path-based-tls.yaml");
    for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
        let manifest = parse("f", &whole[..end]);
        let refused = manifest.diagnostics.iter().any(|d| d.severity == Severity::Error);
        if whole[..end].contains("kind: Ingress\n") {
            assert_ne!(manifest.objects.len() == 1, refused, "cut at {end}: {:?}", lines(&manifest));
        }
    }
}

#[test]
fn keys_stand_once() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - port: 80\n    port: 81\n";
    let manifest = parse("f", text);
    assert!(manifest.objects.is_empty() && manifest.complete);
    assert_eq!(
        lines(&manifest),
        ["f:7:5: error[ObjectInvalid]: Service default/a: spec.ports[0].port: the key is already set in this mapping"]
    );
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {{{}, spec: {{ports: [{{port: 1}}]}}, spec: {{}}}}\n- {{apiVersion: v1, kind: Namespace, metadata: {{name: n}}}}\n",
        "apiVersion: v1, kind: Service, metadata: {name: a}"
    );
    let manifest = parse("f", &list);
    assert_eq!(names(&manifest), ["Namespace n"]);
    assert_eq!(manifest.diagnostics.len(), 1, "{:?}", lines(&manifest));
    assert_eq!(&*manifest.diagnostics[0].field, "spec");
}

#[test]
fn unknown_fields_are_warned_of_with_the_nearest_name() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata:\n  name: a\n  label: {}\nspec:\n  controller: a.b/c\n  Controller: x\nsepc: {}\n";
    let manifest = parse("f", text);
    assert_eq!(names(&manifest), ["IngressClass a"]);
    let told: Vec<_> =
        manifest.diagnostics.iter().map(|d| (d.to_string(), d.hint.clone().unwrap_or_default())).collect();
    let line = |place: &str, field: &str| {
        format!("{place}: warning[FieldUnknown]: IngressClass a: {field}: unknown field, it is ignored")
    };
    assert_eq!(
        told,
        [
            (line("f:5:3", "metadata.label"), "did you mean `labels`?".into()),
            (line("f:8:15", "spec.Controller"), "did you mean `controller`?".into()),
            (line("f:9:1", "sepc"), "did you mean `spec`?".into()),
        ]
    );
}

#[test]
fn fields_of_older_versions_are_told_their_successor() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec:\n  defaultBackend: {serviceName: s, \
                servicePort: 80}\n";
    let hints: Vec<_> = parse("f", text).diagnostics.into_iter().filter_map(|d| d.hint).collect();
    assert_eq!(hints, ["did you mean `service.name`?", "did you mean `service.port.number`?"]);
}

#[test]
fn anchors_aliases_and_merge_keys() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &base\n  a: &v one\n  b: *v\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  labels: &l {x: '1', y: '2'}\n  annotations:\n    <<: *l\n    y: own\n    <<: [{z: '3'}, {z: '4', w: '5'}]\n";
    let manifest = clean("merge", text);
    let [AnyObject::ConfigMap(a), AnyObject::ConfigMap(b)] = &manifest.objects[..] else { panic!("two expected") };
    assert_eq!(a.value.data.as_ref().unwrap()["b"], "one");
    let annotations: Vec<_> = b.value.metadata.annotations.iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(annotations, ["w=5", "x=1", "y=own", "z=3"]);
}

#[test]
fn scalars_are_typed_as_the_core_schema_says() {
    use crate::manifest::yaml::{Piece, Value, read};
    for (text, expected) in [
        ("true", "Boolean(true)"),
        ("False", "Boolean(false)"),
        ("yes", "\"yes\""),
        ("off", "\"off\""),
        ("y", "\"y\""),
        ("'true'", "\"true\""),
        ("!!str true", "\"true\""),
        ("!!int '7'", "Integer(7)"),
        ("12", "Integer(12)"),
        ("-12", "Integer(-12)"),
        ("+12", "Integer(12)"),
        ("0x1F", "Integer(31)"),
        ("0o17", "Integer(15)"),
        ("0x-1", "\"0x-1\""),
        ("1_000", "\"1_000\""),
        ("1.5", "Float(1.5)"),
        ("1e3", "Float(1000.0)"),
        (".5", "Float(0.5)"),
        (".inf", "\".inf\""),
        (".nan", "\".nan\""),
        ("1.2.3", "\"1.2.3\""),
        ("12:30", "\"12:30\""),
        ("99999999999999999999", "Float(1e20)"),
        ("1e999", "\"1e999\""),
        ("infinity", "\"infinity\""),
    ] {
        let mut told = Vec::new();
        read(&format!("[{text}]"), |piece| {
            let Piece::Document { root, .. } = piece else { panic!("case {text}: unreadable") };
            let Value::Sequence(items) = root.value else { panic!("case {text}: no list") };
            told.extend(items.into_iter().map(|item| match item.value {
                Value::Text { text, .. } => format!("{text:?}"),
                other => format!("{other:?}"),
            }));
        });
        assert_eq!(told, [expected], "case {text}");
    }
}
