//! Several Ingresses that want the same: who wins, and who is told.

use portico_tests::client::get;
use portico_tests::manifest::Path::{E, P};
use portico_tests::{Echo, Ingress, Service};

use crate::site::Site;

#[tokio::test]
async fn the_same_path_twice_goes_to_the_oldest_ingress() {
    let site = Site::new(&["old", "young"]).await;
    let portico = site
        .serve([
            Ingress::new("a-young").created("2025-01-01T00:00:00Z").host("a.test", "young"),
            Ingress::new("z-old").created("2024-01-01T00:00:00Z").host("a.test", "old"),
        ])
        .await;
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().backend(), Some("old"));
    let conflict = portico.diagnostic("PathConflict").await;
    assert_eq!(conflict["object"]["name"], "a-young", "{conflict}");
    assert!(conflict["message"].to_string().contains("z-old"), "names the winner: {conflict}");
}

#[tokio::test]
async fn of_equal_age_namespace_and_name_decide() {
    let site = Site::new(&["a", "b"]).await;
    let other = Echo::start("c").await;
    let portico = site
        .serve([
            Ingress::new("b").host("one.test", "b").to_string(),
            Ingress::new("a").host("one.test", "a").host("two.test", "a").to_string(),
            Ingress::new("z").namespace("before").host("two.test", "c").to_string(),
            Service::new("c").namespace("before").with(&[other.address]),
        ])
        .await;
    assert_eq!(get(portico.http(), "one.test", "/").await.unwrap().backend(), Some("a"));
    assert_eq!(get(portico.http(), "two.test", "/").await.unwrap().backend(), Some("c"));
}

#[tokio::test]
async fn the_same_path_with_another_type_coexists() {
    let site = Site::new(&["exact", "prefix"]).await;
    let portico = site
        .serve([
            Ingress::new("one").path("a.test", P, "/x", "prefix"),
            Ingress::new("two").path("a.test", E, "/x", "exact"),
        ])
        .await;
    assert_eq!(get(portico.http(), "a.test", "/x").await.unwrap().backend(), Some("exact"));
    assert_eq!(get(portico.http(), "a.test", "/x/y").await.unwrap().backend(), Some("prefix"));
    let all = portico.diagnostics().await;
    assert!(all.iter().all(|diagnostic| diagnostic["code"] != "PathConflict"), "{all:?}");
}

#[tokio::test]
async fn the_winner_of_a_conflict_changes_when_it_goes() {
    let site = Site::new(&["old", "young"]).await;
    let old = Ingress::new("old").created("2024-01-01T00:00:00Z").host("a.test", "old");
    let young = Ingress::new("young").created("2025-01-01T00:00:00Z").host("a.test", "young");
    let portico = site.setup([young]).file("old.yaml", &old.to_string()).start().await;
    portico.answers("a.test", "/", "old").await;
    portico.remove("old.yaml");
    portico.answers("a.test", "/", "young").await;
}

#[tokio::test]
async fn rules_that_can_never_match_are_reported_with_the_winner() {
    let site = Site::new(&["web"]).await;
    let portico = site
        .serve([
            Ingress::new("long").created("2024-01-01T00:00:00Z").path("a.test", P, "/x/", "web"),
            Ingress::new("short").created("2025-01-01T00:00:00Z").path("a.test", P, "/x", "web"),
        ])
        .await;
    // `/x/` takes all that `/x` would: the slash in a prefix is ignored and the longer path wins.
    let shadowed = portico.diagnostic("RuleShadowed").await;
    assert_eq!(shadowed["object"]["name"], "short", "{shadowed}");
    assert!(shadowed["message"].to_string().contains("long"), "names the winner: {shadowed}");
}

#[tokio::test]
async fn one_bad_ingress_stops_no_other() {
    let site = Site::new(&["web"]).await;
    let bad = r#"{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "bad"},
        "spec": {"rules": [{"host": "UPPER", "http": {"paths": [{"path": "x", "backend": {}}]}}]}}"#;
    let portico = site.serve([bad.to_owned(), Ingress::new("good").host("a.test", "web").to_string()]).await;
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().backend(), Some("web"));
    let invalid = portico.diagnostic("ObjectInvalid").await;
    assert_eq!(invalid["object"]["name"], "bad", "{invalid}");
}
