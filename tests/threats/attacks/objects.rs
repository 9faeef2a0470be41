//! What the cluster's objects may say, and what it must not bring about.

use std::collections::BTreeSet;
use std::path::{Path as FilePath, PathBuf};

use libtest_mimic::Trial;
use portico_tests::certificate::Authority;
use portico_tests::client::get;
use portico_tests::manifest::Path;
use portico_tests::{Echo, Ingress, Service, secret};
use serde_json::{Value, json};

use super::test;
use crate::stage::{Stage, portico};

pub(crate) fn add(trials: &mut Vec<Trial>) {
    test(trials, "H01::text_of_objects_stays_text", injected);
    test(trials, "H03::nothing_is_written_to_disk", file_names);
    test(trials, "H08::names_that_join_to_the_same", collisions);
    test(trials, "H09::one_bad_object_among_good_ones", bad_objects);
    test(trials, "H10::guards_that_cannot_be_read_close", guards);
    test(trials, "H11::rights_of_the_default_install", rights);
}

/// Line ends, braces, quotes and comments in every place that takes text.
async fn injected() {
    let evil = "x\"; } location / { return 200; } #\n`$(id)`\r\nX: y";
    let document = Ingress::new("evil")
        .annotation("portico.dev/request-timeout", evil)
        .annotation("nginx.ingress.kubernetes.io/server-snippet", evil)
        .annotation("portico.dev/https-redirect", "true\r\nLocation: http://evil.test/")
        .path("evil.test", Path::P, "/a\"; } #", "web")
        .path("evil.test", Path::P, "/b\r\nX: y", "web")
        .path("evil.test", Path::E, "/`${x}`", "web")
        .raw_path(
            "evil.test",
            json!({"path": "/c", "pathType": "Prefix", "backend": {"service": {"name": evil, "port": {"number": 80}}}}),
        )
        .raw_rule(json!({"host": "evil.test\r\nX: y"}))
        .raw_rule(json!({"host": "*.*.test\"; }"}));
    let stage = Stage::with(
        portico(),
        &[document.to_string(), Service::new("bad").annotation("portico.dev/upstream-name", evil).to_string()],
    )
    .await;
    stage.is_well().await.unwrap();
    let codes: Vec<Value> = stage.portico.diagnostics().await;
    assert!(codes.iter().any(|one| one.to_string().contains("evil")), "what is wrong is told: {codes:?}");
    for path in ["/a", "/b", "/c", "/%60$%7Bx%7D%60"] {
        let answer = get(stage.portico.http(), "evil.test", path).await.unwrap();
        assert!(matches!(answer.status, 200 | 404 | 503), "{path}: {answer}");
        assert!(answer.header("x").is_none() && answer.header("location").is_none(), "{path}: {answer}");
    }
    let log = stage.portico.process.stderr();
    assert!(!log.lines().any(|line| line.starts_with("X: y") || line.starts_with("`$(id)`")), "{log}");
}

/// Names that lead elsewhere are refused or stay names; no file is made or opened for writing.
async fn file_names() {
    let issued = Authority::default().issue(&["a.test"]);
    let good = secret("good", &issued);
    let evil = good.replace("\"good\"", "\"../../../tmp/portico-evil\"");
    let other = good.replace("\"default\"", "\"../kube-system\"");
    let documents = [
        good,
        evil,
        other,
        Ingress::new("tls").host("c.test", "web").tls(&["c.test"], "../../../etc/passwd").to_string(),
        Ingress::new("../../ingress").host("evil.test", "web").to_string(),
    ];
    let setup = portico();
    let directory = setup.directory();
    let stage = Stage::shaped(setup, |site| site.tls(&["a.test"], "good"), &documents).await;
    stage.is_well().await.unwrap();
    let files = |directory: &FilePath| -> BTreeSet<PathBuf> {
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    assert_eq!(files(&directory).len(), 1, "nothing beside the manifests");
    assert!(!FilePath::new("/tmp/portico-evil").exists());
    let descriptors = format!("/proc/{}/fd", stage.portico.process.id());
    for descriptor in files(FilePath::new(&descriptors)) {
        let Ok(target) = std::fs::read_link(&descriptor) else { continue };
        let regular = std::fs::metadata(&target).is_ok_and(|file| file.is_file());
        let number = descriptor.file_name().unwrap().to_string_lossy().into_owned();
        let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/{number}", stage.portico.process.id()));
        let flags = info.ok().and_then(|info| {
            let line = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().to_owned();
            u32::from_str_radix(&line, 8).ok()
        });
        assert!(!regular || flags.is_none_or(|flags| flags & 3 == 0), "{} is open for writing", target.display());
    }
    let _ = get(stage.portico.http(), "evil.test", "/").await;
}

/// `a-b` in `c` and `b` in `c-a` are two, in routes, upstreams and metrics.
async fn collisions() {
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let documents = [
        Service::new("b-c").namespace("a").with(&[one.address]),
        Service::new("c").namespace("a-b").with(&[two.address]),
        Ingress::new("b-c").namespace("a").host("one.test", "b-c").to_string(),
        Ingress::new("c").namespace("a-b").host("two.test", "c").to_string(),
        Ingress::new("b").namespace("a").path("one.test", Path::P, "/80", "b-c").to_string(),
    ];
    let stage = Stage::with(portico(), &documents).await;
    for (host, name) in [("one.test", "one"), ("two.test", "two"), ("one.test", "one")] {
        let answer = get(stage.portico.http(), host, "/").await.unwrap();
        assert_eq!(answer.backend(), Some(name), "{answer}");
    }
    let routes = stage.portico.admin("/routes").await.text();
    let metrics = stage.portico.status("/metrics").await.text();
    for (text, names) in [(&routes, ["a/b-c", "a-b/c"]), (&metrics, ["a/b-c", "a-b/c"])] {
        assert!(names.iter().all(|name| text.contains(name)), "{text}");
    }
}

/// Objects that are too large, too odd or broken: each is left out by itself.
async fn bad_objects() {
    let documents = [
        Ingress::new("huge").annotation("example.test/huge", &"x".repeat(1_000_000)).host("huge.test", "web").to_string(),
        Ingress::new("tls").host("tls.test", "web").tls(&["tls.test"], "broken").to_string(),
        "{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"type\": \"kubernetes.io/tls\", \"metadata\": {\"name\": \"broken\"}, \"data\": {\"tls.crt\": \"####\"}}".to_owned(),
        Ingress::new("port").host("port.test", "web:99999").to_string(),
        Ingress::new("path").raw_path("path.test", json!({"path": 7, "pathType": [], "backend": {}})).to_string(),
        Ingress::new("nothing").to_string(),
        "{\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"Ingress\", \"metadata\": {\"name\": {}}}".to_owned(),
        Ingress::new("good").host("good.test", "web").to_string(),
    ];
    let stage = Stage::with(portico(), &documents).await;
    stage.is_well().await.unwrap();
    let answer = get(stage.portico.http(), "good.test", "/aside/").await.unwrap();
    assert_eq!(answer.status, 200, "{answer}");
    assert!(!stage.portico.diagnostics().await.is_empty(), "what is wrong is told");
}

/// A guard that cannot be read closes what it guards; a key of ours that nobody knows is an error, because it may be a guard
/// that was meant.
async fn guards() {
    let documents = [
        Ingress::new("guard").annotation("portico.dev/max-body-size", "lots").host("guard.test", "web").to_string(),
        Ingress::new("unknown")
            .annotation("portico.dev/allow-list", "10.0.0.0/8")
            .host("unknown.test", "web")
            .to_string(),
    ];
    let stage = Stage::with(portico(), &documents).await;
    assert_eq!(get(stage.portico.http(), "guard.test", "/").await.unwrap().status, 503);
    for code in ["AnnotationInvalid", "AnnotationUnknown"] {
        let told = stage.portico.diagnostic(code).await;
        assert_eq!(told["severity"], "error", "{told}");
    }
    assert!(stage.log.messages().is_empty(), "nothing went on");
    stage.is_well().await.unwrap();
}

/// The manifests of the default install: reading, and writing what belongs to Portico alone; Secrets one by one.
async fn rights() {
    let directory = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/manifests/base");
    let mut rules = Vec::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for document in text.split("\n---\n").filter(|document| document.contains("kind: ")) {
            let document: Value = serde_saphyr::from_str(document).unwrap();
            let kind = document["kind"].as_str().unwrap().to_owned();
            let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            for rule in document["rules"].as_array().into_iter().flatten() {
                let list = |field: &str| -> Vec<String> {
                    rule[field].as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()).collect()
                };
                rules.push((kind.clone(), name.clone(), list("resources"), list("verbs")));
            }
            if kind == "ClusterRoleBinding" {
                let bound = document["roleRef"]["name"].as_str().unwrap();
                assert!(!bound.contains("watch") && bound != "cluster-admin", "{bound} is bound for the whole cluster");
            }
        }
    }
    assert!(rules.len() > 8, "{rules:?}");
    for (kind, name, resources, verbs) in &rules {
        for word in resources.iter().chain(verbs) {
            assert!(!word.contains('*'), "{kind} {name} grants everything of {resources:?}");
            assert!(
                !matches!(word.as_str(), "impersonate" | "escalate" | "bind" | "delete" | "deletecollection"),
                "{name}: {verbs:?}"
            );
        }
        if kind == "ClusterRole" && resources.iter().any(|resource| resource == "secrets") && !name.contains("watch") {
            assert_eq!(verbs, &["get"], "{name}");
        }
        let writes = verbs.iter().any(|verb| matches!(verb.as_str(), "create" | "update" | "patch"));
        let own = ["ingresses/status", "events", "leases", "selfsubjectaccessreviews"];
        if writes {
            assert!(resources.iter().all(|resource| own.contains(&resource.as_str())), "{name} writes {resources:?}");
        }
    }
}
