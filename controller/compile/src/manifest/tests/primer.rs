//! The manifests of the networking primers, as printed there.

use super::*;

const FILES: &[(&str, &str, &[&str])] = &[
    ("hotel", include_str!("../../../tests/primer/hotel.yaml"), &["Ingress default/hotel-ingress"]),
    ("minimal", include_str!("../../../tests/primer/minimal.yaml"), &["Ingress default/minimal-ingress"]),
    ("network-policies", include_str!("../../../tests/primer/network-policies.yaml"), &[]),
    ("path-based-tls", include_str!("../../../tests/primer/path-based-tls.yaml"), &["Ingress default/example"]),
    (
        "services",
        include_str!("../../../tests/primer/services.yaml"),
        &[
            "Service default/my-service",
            "Service default/my-service-nodeport",
            "Service default/my-service-lb",
            "Service default/my-service-external",
        ],
    ),
];

#[test]
fn primer_manifests_are_read_without_complaint() {
    for (name, text, expected) in FILES {
        assert_eq!(names(&clean(name, text)), *expected, "case {name}");
    }
}

#[test]
fn the_one_without_path_type_is_refused_by_name_line_and_field() {
    let text = include_str!("../../../tests/primer/path-based-without-pathtype.yaml");
    let manifest = parse("path-based.yaml", text);
    assert_eq!(names(&manifest), Vec::<String>::new());
    assert_eq!(
        lines(&manifest),
        ["path-based.yaml:12:9: error[ObjectInvalid]: Ingress default/path-based: \
             spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"]
    );
    assert!(manifest.complete);
    assert_eq!(
        manifest.diagnostics[0].hint.as_deref(),
        Some("add `pathType: Prefix`, or Exact or ImplementationSpecific")
    );
}

#[test]
fn a_refused_object_harms_none_of_its_neighbours() {
    let mut all = include_str!("../../../tests/primer/path-based-without-pathtype.yaml").to_owned();
    for (_, text, _) in FILES {
        all = format!("{text}\n---\n{all}");
    }
    let manifest = parse("all.yaml", &all);
    assert_eq!(manifest.objects.len(), 7);
    assert_eq!(manifest.diagnostics.len(), 1);
}
