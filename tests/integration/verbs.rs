//! The command line beside `serve`: check, routes, explain, completions, version; what they print and how they exit.

use portico_tests::certificate::Authority;
use portico_tests::manifest::Path::{E, P};
use portico_tests::{Ingress, Service, Setup, secret};
use serde_json::Value;

use crate::portico;
use crate::site::Site;

/// A small site on paper: one endpoint that nobody has to listen at.
fn paper() -> Setup {
    let certificate = Authority::default().issue(&["a.test"]);
    let ingress = Ingress::new("web")
        .created("2024-01-01T00:00:00Z")
        .tls(&["a.test"], "cert")
        .path("a.test", P, "/", "web")
        .path("a.test", E, "/x", "exact")
        .path("b.test", P, "/", "absent");
    let later = Ingress::new("later").created("2025-01-01T00:00:00Z").path("a.test", P, "/x", "web");
    let address = "127.0.0.1:9".parse().unwrap();
    portico().manifests([
        ingress.to_string(),
        later.to_string(),
        Service::new("web").with(&[address]),
        Service::new("exact").with(&[address]),
        secret("cert", &certificate),
    ])
}

fn run(setup: &Setup, arguments: &[&str]) -> (String, String, i32) {
    let output = setup.run(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("it ends by itself");
    (text(&output.stdout), text(&output.stderr), code)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn check_exits_0_1_or_2() {
    let clean = portico().manifests([
        Ingress::new("web").host("a.test", "web").to_string(),
        Service::new("web").with(&["127.0.0.1:9".parse().unwrap()]),
    ]);
    assert_eq!(run(&clean, &["check", "DIR"]).2, 0);
    let (out, _, code) = run(&paper(), &["check", "DIR"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("ServiceNotFound") && out.contains("manifests.yaml:"), "{out}");
    let (_, error, code) = run(&clean, &["check", "/absent/path"]);
    assert_eq!(code, 2);
    assert!(error.contains("/absent/path") && error.trim().lines().count() == 1, "{error}");
}

#[test]
fn nothing_is_coloured_off_a_terminal() {
    for arguments in [&["check", "DIR"][..], &["routes", "DIR"], &["explain", "https://a.test/x", "DIR"], &["--help"]] {
        let (out, error, _) = run(&paper(), arguments);
        assert!(!out.contains('\u{1b}') && !error.contains('\u{1b}'), "{arguments:?}: {out}{error}");
    }
}

#[test]
fn routes_lists_the_table() {
    let (text, _, code) = run(&paper(), &["routes", "DIR"]);
    assert_eq!(code, 0, "{text}");
    for word in ["a.test", "b.test", "/x", "default/web:80", "default/exact:80", "127.0.0.1:9"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    let (out, _, _) = run(&paper(), &["routes", "DIR", "--format", "json"]);
    let table = json(&out);
    let hosts = table["listeners"][0]["hosts"].as_array().unwrap();
    assert_eq!(hosts.iter().map(|host| host["host"].as_str().unwrap()).collect::<Vec<_>>(), ["a.test", "b.test"]);
    // In order of preference: the Exact first.
    assert_eq!(hosts[0]["routes"][0]["path_type"], "Exact", "{out}");
}

#[test]
fn explain_names_winner_beaten_certificate_and_reason() {
    let (out, _, code) = run(&paper(), &["explain", "https://a.test/x?q=1", "DIR", "--format", "json"]);
    assert_eq!(code, 0, "{out}");
    let view = json(&out);
    assert_eq!((&view["served"], &view["host"], &view["path"]), (&true.into(), &"a.test".into(), &"/x".into()));
    assert_eq!(view["certificate"]["certificate"]["name"], "default/cert", "{out}");
    assert_eq!(view["route"]["origin"]["name"], "web", "{out}");
    assert_eq!(view["upstreams"][0]["name"], "default/exact:80", "{out}");
    assert_eq!(view["upstreams"][0]["endpoints"][0], "127.0.0.1:9", "{out}");
    let beaten: Vec<_> = view["beaten"].as_array().unwrap().iter().map(|it| it["origin"]["name"].clone()).collect();
    assert_eq!(beaten, ["later", "web"], "the strongest first: {out}");
    assert!(view["beaten"][0]["by"].as_str().unwrap().contains("Exact"), "{out}");
    let (text, _, _) = run(&paper(), &["explain", "https://a.test/x", "DIR"]);
    for word in ["default/web", "default/exact:80", "127.0.0.1:9", "manifests.yaml:", "default/later", "default/cert"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn explain_exits_1_when_nothing_would_be_served() {
    for (url, status) in [("http://nobody.test/", 404), ("http://b.test/", 503), ("http://a.test/..", 400)] {
        let (out, error, code) = run(&paper(), &["explain", url, "DIR", "--format", "json"]);
        assert_eq!(code, 1, "{url}: {out}{error}");
        let view = json(&out);
        assert_eq!((&view["served"], &view["status"]), (&false.into(), &status.into()), "{out}");
        assert!(!view["reason"].as_str().unwrap().is_empty(), "{out}");
    }
}

#[test]
fn explain_takes_method_and_header() {
    let arguments = ["explain", "http://ignored.test/", "DIR", "-X", "POST", "-H", "Host: a.test", "--format", "json"];
    let (out, _, code) = run(&paper(), &arguments);
    let view = json(&out);
    assert_eq!((code, &view["host"], &view["method"]), (0, &"a.test".into(), &"POST".into()), "{out}");
    for wrong in ["not a url", "ftp://a.test/", "a.test/x"] {
        let (_, error, code) = run(&paper(), &["explain", wrong, "DIR"]);
        assert_eq!((code, error.trim().lines().count()), (2, 1), "{wrong}: {error}");
    }
}

/// A running process and a directory tell the same story.
#[tokio::test]
async fn routes_and_explain_ask_a_running_process() {
    let site = Site::new(&["web"]).await;
    let portico = site.serve([Ingress::new("web").host("a.test", "web")]).await;
    let admin = format!("http://{}", portico.addresses.admin);
    let asker = crate::portico();
    let (out, error, code) = run(&asker, &["routes", "--admin", &admin, "--format", "json"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(json(&out), portico.admin("/routes").await.json());
    let (out, error, code) = run(&asker, &["explain", "http://a.test/x", "--admin", &admin, "--format", "json"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(json(&out)["upstreams"][0]["endpoints"][0], site.echoes[0].address.to_string(), "{out}");
    let (_, _, code) = run(&asker, &["explain", "http://b.test/x", "--admin", &admin]);
    assert_eq!(code, 1);
    let (_, error, code) = run(&asker, &["routes", "--admin", "http://127.0.0.1:1"]);
    assert_eq!((code, error.trim().lines().count()), (2, 1), "{error}");
}

#[test]
fn version_help_and_completions() {
    let (out, _, code) = run(&portico(), &["--version"]);
    assert_eq!((code, out.split_whitespace().next()), (0, Some("portico")), "{out}");
    let (out, _, code) = run(&portico(), &["--help"]);
    assert_eq!(code, 0);
    for verb in ["serve", "demo", "check", "routes", "explain", "completions"] {
        assert!(out.contains(verb), "{verb} in {out}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let (out, error, code) = run(&portico(), &["completions", shell]);
        assert!(code == 0 && out.contains("explain"), "{shell}: {error}");
    }
}

/// No example has anything to report as an error.
#[test]
fn examples_are_clean() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut checked = 0;
    for entry in std::fs::read_dir(&examples).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let path = folder.to_str().unwrap();
        let (out, error, code) = run(&portico(), &["check", path]);
        assert_eq!(code, 0, "{path}: {out}{error}");
        checked += 1;
    }
    assert!(checked >= 9, "{checked} examples in {}", examples.display());
}
