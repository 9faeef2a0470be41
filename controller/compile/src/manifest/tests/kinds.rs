//! The other kinds: what the server fills in, and what it refuses.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::*;

fn object(version: &str, kind: &str, rest: &str) -> String {
    format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n{rest}\n")
}

fn service(spec: &str) -> String {
    object("v1", "Service", &format!("spec: {spec}"))
}

fn slice(rest: &str) -> String {
    object("discovery.k8s.io/v1", "EndpointSlice", rest)
}

fn class(spec: &str) -> String {
    object("networking.k8s.io/v1", "IngressClass", &format!("spec: {spec}"))
}

#[test]
fn defaults_are_those_of_the_server() {
    let manifest = clean(
        "service",
        &service("{ports: [{port: 80}, {name: b, port: 81, targetPort: http}]}")
            .replace("{port: 80}", "{name: a, port: 80}"),
    );
    let spec = only!(manifest, Service).spec.as_ref().unwrap();
    let ports = spec.ports.as_ref().unwrap();
    assert_eq!(spec.type_.as_deref(), Some("ClusterIP"));
    assert_eq!(ports[0].protocol.as_deref(), Some("TCP"));
    assert_eq!(ports[0].target_port, Some(IntOrString::Int(80)));
    assert_eq!(ports[1].target_port, Some(IntOrString::String("http".into())));

    let manifest = clean("slice", &slice("addressType: IPv4\nports: [{port: 80}]"));
    let port = &only!(manifest, EndpointSlice).ports[0];
    assert_eq!((&*port.name, port.tcp), ("", true));

    let manifest = clean("class", &class("{controller: a.b/c, parameters: {kind: K, name: n}}"));
    let parameters = only!(manifest, IngressClass).spec.as_ref().unwrap().parameters.as_ref().unwrap();
    assert_eq!(parameters.scope.as_deref(), Some("Cluster"));

    let text = object(
        "v1",
        "Secret",
        "data: {ca.crt: YQ==, tls.crt: Yg==}\nstringData: {tls.crt: plain, tls.key: \"\", other: x}",
    );
    let manifest = clean("secret", &text);
    let secret = only!(manifest, Secret);
    let data = secret.data.as_ref().unwrap();
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    let values: Vec<_> = data.iter().map(|(name, value)| (name.as_str(), &value.0[..])).collect();
    assert_eq!(
        values,
        [("ca.crt", &b"a"[..]), ("tls.crt", b"plain"), ("tls.key", b"")],
        "what nobody reads is dropped"
    );
    assert_eq!(secret.string_data, None);
}

#[test]
fn namespaces_are_filled_in_or_dropped() {
    let manifest = clean("namespaced", &service("{ports: [{port: 80}]}"));
    assert_eq!(only!(manifest, Service).metadata.namespace.as_deref(), Some("default"));
    let text = class("{controller: a.b/c}").replace("{name: a}", "{name: a, namespace: b}");
    let manifest = clean("cluster-scoped", &text);
    assert_eq!(only!(manifest, IngressClass).metadata.namespace, None);
    assert_eq!(names(&manifest), ["IngressClass a"]);
}

#[test]
fn managed_fields_are_dropped_and_status_is_not_held_to_what_it_requires() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  creationTimestamp: null\n  managedFields:\n  - \
                {manager: x, fieldsV1: {'f:a': {}}, nonsense: 1}\nspec: {ports: [{port: 80}]}\nstatus:\n  loadBalancer:\n    \
                ingress: [{ip: 1.2.3.4, ports: [{error: x}]}]\n";
    let manifest = clean("dump", text);
    assert_eq!(only!(manifest, Service).metadata.managed_fields, None);
}

#[test]
fn accepted() {
    let many = |count: usize| vec!["{addresses: [127.0.0.1]}"; count].join(", ");
    let ports = |count: usize| (0..count).map(|n| format!("{{name: p{n}, port: 1}}")).collect::<Vec<_>>().join(", ");
    let cases = [
        ("headless without ports", service("{clusterIP: None}")),
        ("ExternalName", service("{type: ExternalName, externalName: a.example.com.}")),
        ("no ports on ExternalName", service("{type: ExternalName, externalName: a.example.com, ports: []}")),
        ("same number, other protocol", service("{ports: [{name: a, port: 53}, {name: b, port: 53, protocol: UDP}]}")),
        ("loopback", slice("addressType: IPv4\nendpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]")),
        ("IPv6", slice("addressType: IPv6\nendpoints: [{addresses: ['::1', 'fe80::1']}]")),
        ("FQDN", slice("addressType: FQDN\nendpoints: [{addresses: [a.example.com]}]")),
        ("1000 endpoints", slice(&format!("addressType: IPv4\nendpoints: [{}]", many(1000)))),
        ("100 ports", slice(&format!("addressType: IPv4\nports: [{}]", ports(100)))),
        ("no endpoints", slice("addressType: IPv4\nendpoints: null")),
        ("base64 over lines", object("v1", "Secret", "data:\n  a: |\n    YWJj\n    ZGVm\n")),
        ("empty datum", object("v1", "Secret", "data: {a: , b: ''}")),
        ("typed secret", object("v1", "Secret", "type: kubernetes.io/tls\ndata: {tls.crt: '', tls.key: ''}")),
        ("config map", object("v1", "ConfigMap", "data: {a.b: '1', c: }\nbinaryData: {d: YQ==}")),
        ("namespace", object("v1", "Namespace", "")),
        ("old boolean", object("v1", "ConfigMap", "immutable: yes")),
        ("parameters", class("{controller: a.b/c, parameters: {kind: K, name: n, scope: Namespace, namespace: x}}")),
    ];
    for (case, text) in cases {
        assert_eq!(clean(case, &text).objects.len(), 1, "case {case}");
    }
}

#[test]
fn refused() {
    let many = vec!["{addresses: [127.0.0.1]}"; 1001].join(", ");
    let ports: Vec<String> = (0..101).map(|n| format!("{{name: p{n}, port: 1}}")).collect();
    let ip4 = |rest: &str| slice(&format!("addressType: IPv4\nendpoints: [{{addresses: [{rest}]}}]"));
    let secret = |rest: &str| object("v1", "Secret", rest);
    let address = "endpoints[0].addresses[0]: Invalid value";
    let controller = "spec.controller: Invalid value";
    let cases: &[(&str, String, &[&str])] = &[
        ("no ports", service("{}"), &["spec.ports: Required value"]),
        ("port absent", service("{ports: [{name: a}]}"), &["spec.ports[0].port: Required value"]),
        ("port zero", service("{ports: [{port: 0}]}"), &["spec.ports[0].port: Invalid value: \"0\""]),
        (
            "port high",
            service("{ports: [{port: 65536, targetPort: 1}]}"),
            &["spec.ports[0].port: Invalid value: \"65536\": must be between 1 and 65535, inclusive"],
        ),
        ("names needed", service("{ports: [{port: 1}, {name: b, port: 2}]}"), &["spec.ports[0].name: Required value"]),
        (
            "name twice",
            service("{ports: [{name: b, port: 1}, {name: b, port: 2}]}"),
            &["spec.ports[1].name: Duplicate value: \"b\""],
        ),
        (
            "port twice",
            service("{ports: [{name: a, port: 1}, {name: b, port: 1}]}"),
            &["spec.ports[1]: Duplicate value: \"1/TCP\""],
        ),
        ("port name", service("{ports: [{name: A, port: 1}]}"), &["spec.ports[0].name: Invalid value: \"A\""]),
        (
            "target port name",
            service("{ports: [{port: 1, targetPort: A}]}"),
            &["spec.ports[0].targetPort: Invalid value: \"A\""],
        ),
        (
            "protocol",
            service("{ports: [{port: 1, protocol: tcp}]}"),
            &["spec.ports[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\""],
        ),
        (
            "app protocol",
            service("{ports: [{port: 1, appProtocol: a/b/c}]}"),
            &["spec.ports[0].appProtocol: Invalid value"],
        ),
        ("type", service("{type: Foo, ports: [{port: 1}]}"), &["spec.type: Unsupported value: \"Foo\""]),
        ("external name absent", service("{type: ExternalName}"), &["spec.externalName: Required value"]),
        (
            "external name",
            service("{type: ExternalName, externalName: 'a b'}"),
            &["spec.externalName: Invalid value: \"a b\""],
        ),
        ("cluster IP", service("{clusterIP: x, ports: [{port: 1}]}"), &["spec.clusterIP: Invalid value: \"x\""]),
        (
            "family",
            service("{ipFamilies: [IPv5], ports: [{port: 1}]}"),
            &["spec.ipFamilies[0]: Unsupported value: \"IPv5\""],
        ),
        (
            "affinity",
            service("{sessionAffinity: Yes, ports: [{port: 1}]}"),
            &["spec.sessionAffinity: Unsupported value: \"Yes\""],
        ),
        (
            "service name",
            service("{ports: [{port: 1}]}").replace("{name: a}", "{name: 1a}"),
            &["metadata.name: Invalid value: \"1a\": a DNS-1035 label"],
        ),
        ("address type absent", slice(""), &["addressType: Required value"]),
        ("address type", slice("addressType: IP"), &["addressType: Unsupported value: \"IP\""]),
        (
            "no addresses",
            slice("addressType: IPv4\nendpoints: [{}]"),
            &["endpoints[0].addresses: Required value: must contain at least 1 address"],
        ),
        ("empty addresses", ip4(""), &["endpoints[0].addresses: Required value: must contain at least 1 address"]),
        ("other family", ip4("'::1'"), &[&format!("{address}: \"::1\": must be a valid IPv4 address")]),
        ("unspecified", ip4("0.0.0.0"), &[&format!("{address}: \"0.0.0.0\": may not be unspecified (0.0.0.0 or ::)")]),
        ("multicast", ip4("224.0.0.1"), &[&format!("{address}: \"224.0.0.1\": may not be in a multicast range")]),
        ("leading zero", ip4("010.0.0.1"), &[&format!("{address}: \"010.0.0.1\": must be a valid IPv4 address")]),
        (
            "IPv4 as IPv6",
            slice("addressType: IPv6\nendpoints: [{addresses: ['::ffff:1.2.3.4']}]"),
            &[&format!("{address}: \"::ffff:1.2.3.4\": must be a valid IPv6 address")],
        ),
        (
            "1001 endpoints",
            slice(&format!("addressType: IPv4\nendpoints: [{many}]")),
            &["endpoints: Too many: 1001: must have at most 1000 items"],
        ),
        (
            "101 ports",
            slice(&format!("addressType: IPv4\nports: [{}]", ports.join(","))),
            &["ports: Too many: 101: must have at most 100 items"],
        ),
        (
            "slice port twice",
            slice("addressType: IPv4\nports: [{port: 1}, {port: 2}]"),
            &["ports[1].name: Duplicate value: \"\""],
        ),
        ("slice port", slice("addressType: IPv4\nports: [{port: 0}]"), &["ports[0].port: Invalid value: \"0\""]),
        (
            "zones",
            slice(
                "addressType: IPv4\nendpoints: [{addresses: [1.1.1.1], hints: {forZones: [{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a},{name: a}]}}]",
            ),
            &["endpoints[0].hints.forZones: Too many: 9"],
        ),
        ("no controller", class("{}"), &["spec.controller: Required value"]),
        (
            "controller",
            class("{controller: plain}"),
            &[&format!("{controller}: \"plain\": must be a domain-prefixed path")],
        ),
        (
            "controller domain",
            class("{controller: A/b}"),
            &[&format!("{controller}: \"A/b\": a lowercase RFC 1123 subdomain")],
        ),
        ("controller long", class(&format!("{{controller: a.b/{}}}", "c".repeat(250))), &[controller]),
        (
            "parameters",
            class("{controller: a.b/c, parameters: {}}"),
            &["spec.parameters.kind: Required value", "spec.parameters.name: Required value"],
        ),
        (
            "scope",
            class("{controller: a.b/c, parameters: {kind: K, name: n, scope: X}}"),
            &["spec.parameters.scope: Unsupported value: \"X\""],
        ),
        (
            "scope namespace",
            class("{controller: a.b/c, parameters: {kind: K, name: n, scope: Namespace}}"),
            &["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
        ),
        (
            "scope cluster",
            class("{controller: a.b/c, parameters: {kind: K, name: n, namespace: x}}"),
            &["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
        ),
        ("tls keys", secret("type: kubernetes.io/tls\ndata: {tls.crt: ''}"), &["data[tls.key]: Required value"]),
        ("data key", secret("data: {a b: ''}"), &["data[a b]: Invalid value: \"a b\""]),
        ("not base64", secret("data: {tls.key: hunter2!}"), &["data[tls.key]: Invalid value: illegal base64 data"]),
        (
            "datum is a number",
            secret("stringData: {pin: 12345}"),
            &["stringData[pin]: Invalid value: must be a string, not an integer"],
        ),
        (
            "data too large",
            secret(&format!("stringData: {{a: {}}}", "x".repeat((1 << 20) + 1))),
            &["data: Too many: 1048577"],
        ),
        (
            "both data",
            object("v1", "ConfigMap", "data: {a: b}\nbinaryData: {a: YQ==}"),
            &["binaryData[a]: Invalid value: \"a\": duplicate of key present in data"],
        ),
        (
            "annotation is a boolean",
            service("{ports: [{port: 1}]}").replace("{name: a}", "{name: a, annotations: {x: true}}"),
            &["metadata.annotations[x]: Invalid value: must be a string, not a boolean"],
        ),
        (
            "annotation key",
            service("{ports: [{port: 1}]}").replace("{name: a}", "{name: a, annotations: {'a/b/c': ''}}"),
            &["metadata.annotations[a/b/c]: Invalid value"],
        ),
        (
            "label value",
            service("{ports: [{port: 1}]}").replace("{name: a}", "{name: a, labels: {a: 'b c'}}"),
            &["metadata.labels[a]: Invalid value: \"b c\""],
        ),
        (
            "no name",
            service("{ports: [{port: 1}]}").replace("{name: a}", "{}"),
            &["metadata.name: Required value: name or generateName is required"],
        ),
        (
            "no metadata",
            service("{ports: [{port: 1}]}").replace("metadata: {name: a}\n", ""),
            &["metadata.name: Required value: name or generateName is required"],
        ),
        (
            "generated name",
            service("{ports: [{port: 1}]}").replace("{name: a}", "{generateName: a-}"),
            &["metadata.name: Required value: generateName gives no name to an object in a file"],
        ),
        (
            "namespace",
            service("{ports: [{port: 1}]}").replace("{name: a}", "{name: a, namespace: A}"),
            &["metadata.namespace: Invalid value: \"A\""],
        ),
        (
            "time",
            service("{ports: [{port: 1}]}").replace("{name: a}", "{name: a, creationTimestamp: today}"),
            &["metadata.creationTimestamp: Invalid value: \"today\": must be an RFC 3339 date and time"],
        ),
        (
            "quoted number",
            service("{ports: [{port: \"80\"}]}"),
            &["spec.ports[0].port: Invalid value: must be an integer, not a string"],
        ),
        (
            "large number",
            service("{ports: [{port: 3000000000}]}"),
            &["spec.ports[0].port: Invalid value: \"3000000000\": must be between -2147483648 and 2147483647"],
        ),
        (
            "fraction",
            service("{ports: [{port: 8.5}]}"),
            &["spec.ports[0].port: Invalid value: must be an integer, not a number with a fraction or exponent"],
        ),
        ("list for mapping", service("[]"), &["spec: Invalid value: must be a mapping, not a list"]),
        (
            "mapping for list",
            service("{ports: {port: 80}}"),
            &["spec.ports: Invalid value: must be a list, not a mapping"],
        ),
        ("null in a list", service("{ports: [null]}"), &["spec.ports[0]: Invalid value: must be a mapping, not null"]),
        (
            "wrong item keeps the others' numbers",
            service("{ports: [x, {name: b, port: 0, targetPort: 1}]}"),
            &[
                "spec.ports[0]: Invalid value: must be a mapping, not a string",
                "spec.ports[1].port: Invalid value: \"0\"",
            ],
        ),
    ];
    for (case, text, expected) in cases {
        let told = refusals(case, text);
        assert_eq!(told.len(), expected.len(), "case {case}: {told:#?}");
        for (told, expected) in told.iter().zip(*expected) {
            assert!(told.starts_with(expected), "case {case}: {told:?} is not {expected:?}");
        }
    }
}

#[test]
fn no_message_holds_a_secret_value() {
    for text in [
        "data: {a: 'hunter2!'}",
        "stringData: {a: [hunter2]}",
        "stringData: {a: {hunter2: hunter2}}",
        "stringData: hunter2",
        "data: [hunter2]",
        "stringData: {a: hunter2, a: hunter2}",
        "type: [hunter2]",
    ] {
        let manifest = parse("s.yaml", &object("v1", "Secret", text));
        assert!(!lines(&manifest).is_empty(), "case {text}");
        assert!(!format!("{:?}", manifest.diagnostics).contains("hunter2"), "case {text}");
    }
}
