//! Every row of what the API server validates in an Ingress.

use super::*;

/// An Ingress with this `spec`, indented by two.
fn ingress(spec: &str) -> String {
    format!("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: a}}\nspec:\n{spec}\n")
}

fn host(host: &str) -> String {
    ingress(&format!(
        "  defaultBackend: {{service: {{name: s, port: {{number: 80}}}}}}\n  rules: [{{host: \"{host}\"}}]"
    ))
}

fn path(kind: &str, path: &str) -> String {
    ingress(&format!(
        "  rules: [{{http: {{paths: [{{path: \"{path}\", pathType: {kind}, \
         backend: {{service: {{name: s, port: {{number: 80}}}}}}}}]}}}}]"
    ))
}

fn backend(backend: &str) -> String {
    ingress(&format!("  defaultBackend: {backend}"))
}

fn tls(tls: &str) -> String {
    ingress(&format!("  defaultBackend: {{service: {{name: s, port: {{number: 80}}}}}}\n  tls: [{tls}]"))
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                         and must start and end with an alphanumeric character";
const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain";

#[test]
fn what_the_server_accepts_is_accepted() {
    let long = format!("{}.example.com", vec!["a"; 100].join("."));
    let cases = [
        ("host", host("example.com")),
        ("host wildcard", host("*.example.com")),
        ("host empty", host("")),
        ("host long", host(&long)),
        ("host numeric label", host("1.2.3.4.example")),
        ("path exact", path("Exact", "/foo")),
        ("path prefix", path("Prefix", "/foo/")),
        ("path with escape", path("Prefix", "/%41")),
        ("path dots", path("Prefix", "/...")),
        ("implementation specific, empty", path("ImplementationSpecific", "")),
        ("implementation specific, regex", path("ImplementationSpecific", "/(a|b)//../%2f;{}$")),
        ("backend by name", backend("{service: {name: s, port: {name: http}}}")),
        ("backend port 1", backend("{service: {name: s, port: {number: 1}}}")),
        ("backend port 65535", backend("{service: {name: s, port: {number: 65535}}}")),
        ("resource", backend("{resource: {apiGroup: k8s.example.com, kind: Bucket, name: b}}")),
        ("tls host looks like an IP", tls("{hosts: [\"10.0.0.1\"]}")),
        ("tls without secret", tls("{hosts: [\"*.a.b\"], secretName: \"\"}")),
        ("tls empty", tls("{}")),
        ("http absent", ingress("  rules: [{host: a.b}]")),
        ("class", ingress("  ingressClassName: portico.dev\n  rules: [{}]")),
    ];
    for (case, text) in cases {
        assert_eq!(names(&clean(case, &text)), ["Ingress default/a"], "case {case}");
    }
}

#[test]
fn what_the_server_refuses_is_refused_for_the_same_reason() {
    let long = vec!["abcdefghi"; 26].join(".");
    let at = |field: &str, value: &str, why: &str| format!("{field}: Invalid value: \"{value}\": {why}");
    let in_path = |value: &str, why: &str| vec![at("spec.rules[0].http.paths[0].path", value, why)];
    let in_host = |value: &str, why: &str| vec![at("spec.rules[0].host", value, why)];
    let in_backend = |field: &str, value: &str, why: &str| vec![at(&format!("spec.defaultBackend{field}"), value, why)];
    let absolute = "must be an absolute path";
    let nothing = "either `defaultBackend` or `rules` must be specified";
    let label = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
                 start with an alphabetic character, and end with an alphanumeric character";
    let cases: Vec<(&str, String, Vec<String>)> = vec![
        ("spec empty", ingress("  {}"), vec![format!("spec: Required value: {nothing}")]),
        ("spec absent", ingress(""), vec![format!("spec: Required value: {nothing}")]),
        ("rules empty", ingress("  rules: []"), vec![format!("spec: Required value: {nothing}")]),
        ("host IP", host("10.0.0.1"), in_host("10.0.0.1", "must be a DNS name, not an IP address")),
        ("host sloppy IP", host("010.0.0.01"), in_host("010.0.0.01", "must be a DNS name, not an IP address")),
        ("host upper case", host("Example.com"), in_host("Example.com", SUBDOMAIN)),
        ("host underscore", host("a_b.com"), in_host("a_b.com", SUBDOMAIN)),
        ("host trailing dot", host("a.com."), in_host("a.com.", SUBDOMAIN)),
        ("host with port", host("a.com:80"), in_host("a.com:80", SUBDOMAIN)),
        ("host raw UTF-8", host("bücher.example"), in_host("bücher.example", SUBDOMAIN)),
        ("host star alone", host("*"), in_host("*", WILDCARD)),
        ("host star in label", host("a*.com"), in_host("a*.com", WILDCARD)),
        ("host star inside", host("a.*.com"), in_host("a.*.com", WILDCARD)),
        ("host two stars", host("*.*.com"), in_host("*.*.com", WILDCARD)),
        (
            "paths empty",
            ingress("  rules: [{http: {paths: []}}]"),
            vec!["spec.rules[0].http.paths: Required value".into()],
        ),
        ("paths absent", ingress("  rules: [{http: {}}]"), vec!["spec.rules[0].http.paths: Required value".into()]),
        (
            "path type absent",
            ingress("  rules: [{http: {paths: [{path: /, backend: {service: {name: s, port: {number: 80}}}}]}}]"),
            vec!["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified".into()],
        ),
        (
            "path type unknown",
            path("prefix", "/"),
            vec![
                "spec.rules[0].http.paths[0].pathType: Unsupported value: \"prefix\": supported values: \"Exact\", \
                 \"ImplementationSpecific\", \"Prefix\""
                    .into(),
            ],
        ),
        ("exact empty", path("Exact", ""), in_path("", absolute)),
        ("prefix relative", path("Prefix", "foo"), in_path("foo", absolute)),
        ("specific relative", path("ImplementationSpecific", "foo"), in_path("foo", absolute)),
        ("double slash", path("Prefix", "/a//b"), in_path("/a//b", "must not contain '//'")),
        ("dot segment", path("Exact", "/a/./b"), in_path("/a/./b", "must not contain '/./'")),
        ("dot dot segment", path("Exact", "/a/../b"), in_path("/a/../b", "must not contain '/../'")),
        ("escaped slash", path("Prefix", "/a%2fb"), in_path("/a%2fb", "must not contain '%2f'")),
        ("escaped slash, upper", path("Prefix", "/a%2Fb"), in_path("/a%2Fb", "must not contain '%2F'")),
        ("ends in dot", path("Prefix", "/a/."), in_path("/a/.", "cannot end with '/.'")),
        ("ends in dot dot", path("Prefix", "/a/.."), in_path("/a/..", "cannot end with '/..'")),
        (
            "backend both",
            backend("{service: {name: s, port: {number: 80}}, resource: {kind: B, name: b}}"),
            in_backend("", "", "cannot set both resource and service backends"),
        ),
        ("backend none", backend("{}"), in_backend("", "", "resource or service backend is required")),
        (
            "backend absent",
            ingress("  rules: [{http: {paths: [{path: /, pathType: Exact}]}}]"),
            vec!["spec.rules[0].http.paths[0].backend: Required value: resource or service backend is required".into()],
        ),
        (
            "service name absent",
            backend("{service: {port: {number: 80}}}"),
            vec!["spec.defaultBackend.service.name: Required value".into()],
        ),
        (
            "service name empty",
            backend("{service: {name: '', port: {number: 80}}}"),
            vec!["spec.defaultBackend.service.name: Required value".into()],
        ),
        (
            "service name with digit first",
            backend("{service: {name: 1s, port: {number: 80}}}"),
            in_backend(".service.name", "1s", label),
        ),
        (
            "service name with namespace",
            backend("{service: {name: other/s, port: {number: 80}}}"),
            in_backend(".service.name", "other/s", label),
        ),
        (
            "port absent",
            backend("{service: {name: s}}"),
            vec!["spec.defaultBackend: Required value: port name or number is required".into()],
        ),
        (
            "port both",
            backend("{service: {name: s, port: {number: 80, name: http}}}"),
            in_backend("", "", "cannot set both port name & port number"),
        ),
        (
            "port too high",
            backend("{service: {name: s, port: {number: 65536}}}"),
            in_backend(".service.port.number", "65536", "must be between 1 and 65535, inclusive"),
        ),
        (
            "port negative",
            backend("{service: {name: s, port: {number: -1}}}"),
            in_backend(".service.port.number", "-1", "must be between 1 and 65535, inclusive"),
        ),
        (
            "port name long",
            backend("{service: {name: s, port: {name: abcdefghijklmnop}}}"),
            in_backend(".service.port.name", "abcdefghijklmnop", "must be no more than 15 bytes"),
        ),
        (
            "port name without letter",
            backend("{service: {name: s, port: {name: '80'}}}"),
            in_backend(".service.port.name", "80", "must contain at least one letter (a-z)"),
        ),
        (
            "port name upper case",
            backend("{service: {name: s, port: {name: Http}}}"),
            in_backend(
                ".service.port.name",
                "Http",
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            ),
        ),
        (
            "resource without kind and name",
            backend("{resource: {}}"),
            vec![
                "spec.defaultBackend.resource.kind: Required value".into(),
                "spec.defaultBackend.resource.name: Required value".into(),
            ],
        ),
        (
            "resource group",
            backend("{resource: {apiGroup: A, kind: B, name: a/b}}"),
            vec![
                at("spec.defaultBackend.resource.apiGroup", "A", SUBDOMAIN),
                at("spec.defaultBackend.resource.name", "a/b", "may not contain '/'"),
            ],
        ),
        ("tls host", tls("{hosts: [A.b]}"), vec![at("spec.tls[0].hosts[0]", "A.b", SUBDOMAIN)]),
        ("tls host star", tls("{hosts: [a.b, '*']}"), vec![at("spec.tls[0].hosts[1]", "*", WILDCARD)]),
        ("secret name", tls("{secretName: other/x}"), vec![at("spec.tls[0].secretName", "other/x", SUBDOMAIN)]),
        (
            "class name",
            ingress("  ingressClassName: A\n  rules: [{}]"),
            vec![at("spec.ingressClassName", "A", SUBDOMAIN)],
        ),
        (
            "class name empty",
            ingress("  ingressClassName: ''\n  rules: [{}]"),
            vec![at("spec.ingressClassName", "", SUBDOMAIN)],
        ),
        ("host long", host(&long), {
            let shown: String = long.chars().take(120).chain(['…']).collect();
            in_host(&shown, "must be no more than 253 bytes")
        }),
    ];
    for (case, text, expected) in cases {
        assert_eq!(refusals(case, &text), expected, "case {case}");
    }
}

#[test]
fn class_field_and_annotation_must_be_equal() {
    let text = |annotation: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: a\n  annotations:\n    \
             kubernetes.io/ingress.class: {annotation}\nspec: {{ingressClassName: portico, rules: [{{}}]}}\n"
        )
    };
    clean("equal", &text("portico"));
    let manifest = parse("test.yaml", &text("nginx"));
    assert_eq!(
        lines(&manifest),
        [
            "test.yaml:6:34: error[ObjectInvalid]: Ingress default/a: metadata.annotations[kubernetes.io/ingress.class]: \
          Invalid value: \"nginx\": must match `ingressClassName` when both are specified"
        ]
    );
    assert!(manifest.objects.is_empty());
}

#[test]
fn all_problems_of_one_object_are_reported() {
    let spec = "  rules:\n  - host: A\n    http:\n      paths:\n      - path: x\n        pathType: Exact\n        backend:\n          \
                service: {name: s, port: {number: eighty}}\n      - pathTyp: Exact\n  tls: wrong\n  tsl: []";
    let told = refusals("many", &ingress(spec));
    let fields: Vec<&str> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "spec.rules[0].http.paths[0].backend.service.port.number",
            "spec.rules[0].http.paths[1].pathTyp",
            "spec.rules[0].http.paths[1].backend",
            "spec.rules[0].http.paths[1].pathType",
            "spec.tls",
            "spec.tsl",
            "spec.rules[0].host",
            "spec.rules[0].http.paths[0].path",
        ],
        "{told:#?}"
    );
}
