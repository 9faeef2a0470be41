//! The manifests of the primers, as printed: each does what its first comment says.

use portico_tests::certificate::Authority;
use portico_tests::client::{Call, Tls, get};
use portico_tests::manifest::{join, slice};
use portico_tests::{Echo, Ingress, Portico, secret};
use serde_json::json;

use crate::portico;
use crate::site::Site;

const PRIMER: [(&str, &str); 6] = [
    ("hotel.yaml", include_str!("primer/hotel.yaml")),
    ("minimal.yaml", include_str!("primer/minimal.yaml")),
    ("network-policies.yaml", include_str!("primer/network-policies.yaml")),
    ("path-based-tls.yaml", include_str!("primer/path-based-tls.yaml")),
    ("path-based-without-pathtype.yaml", include_str!("primer/path-based-without-pathtype.yaml")),
    ("services.yaml", include_str!("primer/services.yaml")),
];

/// All of them in one directory, with Services, endpoints and a certificate added.
async fn primer() -> (Site, Portico, Authority) {
    let site = Site::new(&["hotel-service", "test", "api-service", "web-service"]).await;
    let authority = Authority::default();
    let added = site.documents([secret("tls-secret", &authority.issue(&["example.com"]))]);
    let setup = PRIMER.iter().fold(portico(), |setup, (name, text)| setup.file(name, text));
    let portico = setup.manifests(added).start().await;
    (site, portico, authority)
}

async fn expect(portico: &Portico, rows: &[(&str, &str, Option<&str>)]) {
    for (host, path, backend) in rows {
        let answer = get(portico.http(), host, path).await.unwrap();
        let status = if backend.is_some() { 200 } else { 404 };
        assert_eq!((answer.status, answer.backend()), (status, *backend), "{host}{path}: {answer}");
    }
}

#[tokio::test]
async fn hotel() {
    let (_site, portico, _) = primer().await;
    expect(
        &portico,
        &[
            ("hotel.example.com", "/", Some("hotel-service")),
            ("hotel.example.com", "/rooms/12", Some("hotel-service")),
            ("motel.example.com", "/", None),
        ],
    )
    .await;
}

#[tokio::test]
async fn minimal() {
    let (_site, portico, _) = primer().await;
    expect(
        &portico,
        &[
            ("anything.test", "/testpath", Some("test")),
            ("127.0.0.1", "/testpath/x", Some("test")),
            ("anything.test", "/testpathx", None),
            ("anything.test", "/", None),
        ],
    )
    .await;
}

#[tokio::test]
async fn path_based_tls() {
    let (_site, portico, authority) = primer().await;
    for (path, backend) in [("/api/v1", "api-service"), ("/web/index.html", "web-service"), ("/web", "web-service")] {
        for call in [Call::get(path).host("example.com"), Call::get(path).host("example.com").http2()] {
            // Only the certificate of tls-secret passes this client.
            let answer = call.to_tls(portico.https(), &Tls::trusting(&authority)).await.unwrap();
            assert_eq!(answer.backend(), Some(backend), "{path}: {answer}");
        }
    }
    let answer = Call::get("/").host("example.com").to_tls(portico.https(), &Tls::trusting(&authority)).await.unwrap();
    assert_eq!(answer.status, 404);
}

/// Refused with name, file, line and field, while every other object is served.
#[tokio::test]
async fn path_based_without_pathtype_is_refused_alone() {
    let (_site, portico, _) = primer().await;
    let refused = portico.diagnostic("ObjectInvalid").await;
    assert_eq!(refused["severity"], "error", "{refused}");
    assert_eq!((&refused["object"]["kind"], &refused["object"]["name"]), (&"Ingress".into(), &"path-based".into()));
    assert_eq!(refused["field"], "spec.rules[0].http.paths[0].pathType", "{refused}");
    let file = refused["location"]["file"].as_str().unwrap();
    assert!(file.ends_with("path-based-without-pathtype.yaml"), "{refused}");
    // The field is absent: the place is the path entry that lacks it.
    assert_eq!(refused["location"]["line"], 12, "{refused}");
    let log = portico.process.stderr();
    assert!(log.contains("path-based-without-pathtype.yaml:12:"), "the log names the place: {log}");
    expect(
        &portico,
        &[("hotel.example.com", "/", Some("hotel-service")), ("example.com", "/api", Some("api-service"))],
    )
    .await;
}

#[tokio::test]
async fn services_of_every_type_are_read_and_foreign_kinds_left_alone() {
    let (_site, portico, _) = primer().await;
    let all = portico.diagnostics().await;
    let others: Vec<_> = all.iter().filter(|diagnostic| diagnostic["object"]["name"] != "path-based").collect();
    assert!(others.iter().all(|diagnostic| diagnostic["severity"] != "error"), "{others:?}");
    // Services that no rule names may be used at once when one does.
    let echo = Echo::start("my-service").await;
    let ports = json!([{"port": echo.address.port()}]);
    let slice = slice("default", "my-service", "mine", "IPv4", &ports, &json!([{"addresses": ["127.0.0.1"]}]));
    let ingress = Ingress::new("more").host("more.test", "my-service").to_string();
    portico.write("more.yaml", &join([ingress, slice]));
    portico.answers("more.test", "/", "my-service").await;
}
