//! Which host a request is for, and which rules take it.

use portico_tests::client::{Call, Raw, Tls, get};
use portico_tests::manifest::Path::P;
use portico_tests::{Ingress, Portico, Service};
use serde_json::json;

use crate::site::Site;

/// `a.test`, `*.wild.test`, `b.wild.test` and every other host.
async fn hosts() -> (Site, Portico) {
    let site = Site::new(&["exact", "wild", "inner", "any"]).await;
    let ingress = Ingress::new("hosts")
        .host("a.test", "exact")
        .host("*.wild.test", "wild")
        .host("b.wild.test", "inner")
        .host("", "any");
    let portico = site.serve([ingress]).await;
    (site, portico)
}

/// Sends a head as bytes and returns the status and the backend.
async fn head(portico: &Portico, head: &str) -> (u16, String) {
    let mut raw = Raw::connect(portico.http()).await;
    let answer = raw.send(head).await.answer().await;
    (answer.status, answer.header("x-echo-backend").unwrap_or_default().to_owned())
}

#[tokio::test]
async fn authority_is_normalised() {
    let (_site, portico) = hosts().await;
    for (host, backend) in [
        ("a.test", "exact"),
        ("A.Test", "exact"),
        ("a.test.", "exact"),
        ("a.test:1234", "exact"),
        ("a.test.:80", "exact"),
        ("B.WILD.test:8443", "inner"),
        ("x.wild.test", "wild"),
        ("xa.test", "any"),
        ("127.0.0.1", "any"),
        ("[::1]:80", "any"),
        ("my_service", "any"),
        ("xn--bcher-kva.example", "any"),
    ] {
        let answer = get(portico.http(), host, "/").await.unwrap();
        assert_eq!(answer.backend(), Some(backend), "{host}: {answer}");
        // What the client wrote is what the backend sees.
        assert_eq!(answer.received_header("host").as_deref(), Some(host));
    }
}

/// RFC 9112 section 3.2.2 lets the target win over `Host`; a request in which they differ is refused instead.
#[tokio::test]
async fn absolute_form_is_taken_when_host_agrees() {
    let (_site, portico) = hosts().await;
    let differing = "GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n";
    assert_eq!(head(&portico, differing).await.0, 400);
    let request = "GET http://a.test/x?y=1 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let mut raw = Raw::connect(portico.http()).await;
    let answer = raw.send(request).await.answer().await;
    assert_eq!((answer.status, answer.header("x-echo-backend")), (200, Some("exact")), "{answer:?}");
    let seen: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&seen["path"], &seen["query"]), (&json!("/x"), &json!("y=1")), "{seen}");
    let hosts: Vec<_> = seen["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == "host").collect();
    assert_eq!(hosts, [&json!(["host", "a.test"])], "{seen}");
}

#[tokio::test]
async fn host_missing_doubled_or_malformed_is_400() {
    let (site, portico) = hosts().await;
    for fields in [
        "",
        "Host: a.test\r\nHost: a.test\r\n",
        "Host: a.test\r\nHost: b.test\r\n",
        "Host: \r\n",
        "Host: u@a.test\r\n",
        "Host: a.test, b.test\r\n",
        "Host: a test\r\n",
        "Host: a.test/x\r\n",
        "Host: a.test:99999\r\n",
        "Host: a.test:8x\r\n",
        "Host: a..test\r\n",
        "Host: [::1\r\n",
    ] {
        let (status, _) = head(&portico, &format!("GET / HTTP/1.1\r\n{fields}\r\n")).await;
        assert_eq!(status, 400, "{fields:?}");
    }
    assert!(site.echoes.iter().all(|echo| echo.requests() == 0));
}

#[tokio::test]
async fn http_1_0_without_host_goes_to_the_no_host_rules() {
    let (_site, portico) = hosts().await;
    assert_eq!(head(&portico, "GET / HTTP/1.0\r\n\r\n").await, (200, "any".to_owned()));
    assert_eq!(head(&portico, "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await, (200, "exact".to_owned()));
}

#[tokio::test]
async fn http_2_authority() {
    let (_site, portico) = hosts().await;
    for (host, backend) in [("a.test", "exact"), ("A.TEST:443", "exact"), ("y.wild.test", "wild"), ("z.test", "any")] {
        let call = Call::get("/").host(host).http2();
        let answer = call.to_tls(portico.https(), &Tls::accepting_any()).await.unwrap();
        assert_eq!(answer.backend(), Some(backend), "{host}: {answer}");
        assert_eq!(answer.version, http::Version::HTTP_2);
    }
}

#[tokio::test]
async fn wildcard_is_exactly_one_label() {
    let site = Site::new(&["wild"]).await;
    let portico = site.serve([Ingress::new("wild").host("*.foo.com", "wild")]).await;
    for (host, status) in [("bar.foo.com", 200), ("baz.bar.foo.com", 404), ("foo.com", 404), ("barfoo.com", 404)] {
        let answer = get(portico.http(), host, "/").await.unwrap();
        assert_eq!(answer.status, status, "{host}: {answer}");
    }
}

#[tokio::test]
async fn exact_beats_wildcard_beats_no_host() {
    let (_site, portico) = hosts().await;
    for (host, backend) in [("b.wild.test", "inner"), ("c.wild.test", "wild"), ("c.c.wild.test", "any")] {
        assert_eq!(get(portico.http(), host, "/").await.unwrap().backend(), Some(backend), "{host}");
    }
}

#[tokio::test]
async fn a_miss_in_the_best_host_falls_through_to_no_other() {
    let site = Site::new(&["exact", "wild", "any"]).await;
    let ingress = Ingress::new("hosts")
        .path("a.wild.test", P, "/only", "exact")
        .path("*.wild.test", P, "/only", "wild")
        .path("", P, "/", "any");
    let portico = site.serve([ingress]).await;
    for (host, path, status) in
        [("a.wild.test", "/only", 200), ("a.wild.test", "/x", 404), ("b.wild.test", "/x", 404), ("c.test", "/x", 200)]
    {
        let answer = get(portico.http(), host, path).await.unwrap();
        assert_eq!(answer.status, status, "{host}{path}: {answer}");
    }
}

#[tokio::test]
async fn paths_of_one_host_merge_across_ingresses_and_namespaces() {
    let site = Site::new(&["one", "two"]).await;
    let other = portico_tests::Echo::start("three").await;
    let portico = site
        .serve([
            Ingress::new("one").path("a.test", P, "/one", "one").to_string(),
            Ingress::new("two").path("a.test", P, "/two", "two").to_string(),
            Ingress::new("three").namespace("other").path("a.test", P, "/three", "three").to_string(),
            Service::new("three").namespace("other").with(&[other.address]),
        ])
        .await;
    for name in ["one", "two", "three"] {
        let answer = get(portico.http(), "a.test", &format!("/{name}")).await.unwrap();
        assert_eq!(answer.backend(), Some(name), "{answer}");
    }
}

#[tokio::test]
async fn host_ownership_by_namespace_refuses_foreign_paths() {
    let site = Site::new(&["one"]).await;
    let other = portico_tests::Echo::start("two").await;
    let documents = [
        Ingress::new("one").created("2024-01-01T00:00:00Z").path("a.test", P, "/one", "one").to_string(),
        Ingress::new("two")
            .namespace("other")
            .created("2025-01-01T00:00:00Z")
            .path("a.test", P, "/two", "two")
            .to_string(),
        Service::new("two").namespace("other").with(&[other.address]),
    ];
    let portico = site.setup(documents).args(&["--host-ownership", "namespace"]).start().await;
    assert_eq!(get(portico.http(), "a.test", "/one").await.unwrap().backend(), Some("one"));
    assert_eq!(get(portico.http(), "a.test", "/two").await.unwrap().status, 404);
    assert!(!portico.diagnostics().await.is_empty());
}
