//! Where a request goes that no rule takes.

use portico_tests::client::get;
use portico_tests::manifest::Path::P;
use portico_tests::{Ingress, Portico};
use serde_json::json;

use crate::site::Site;

async fn expect(portico: &Portico, rows: &[(&str, &str, Result<&str, u16>)]) {
    for (host, path, expected) in rows {
        let answer = get(portico.http(), host, path).await.unwrap();
        let got = answer.backend().ok_or(answer.status);
        assert_eq!(got, *expected, "{host}{path}: {answer}");
    }
}

#[tokio::test]
async fn without_rules_it_takes_every_host_and_the_oldest_wins() {
    let site = Site::new(&["young", "old", "own"]).await;
    let portico = site
        .serve([
            Ingress::new("a-young").created("2025-01-01T00:00:00Z").default_backend("young"),
            Ingress::new("z-old").created("2024-01-01T00:00:00Z").default_backend("old"),
            Ingress::new("own").created("2026-01-01T00:00:00Z").path("a.test", P, "/own", "own"),
        ])
        .await;
    expect(
        &portico,
        &[
            ("any.test", "/", Ok("old")),
            ("127.0.0.1", "/x", Ok("old")),
            ("a.test", "/own", Ok("own")),
            ("a.test", "/x", Ok("old")),
        ],
    )
    .await;
    let conflict = portico.diagnostic("HostConflict").await;
    assert_eq!(conflict["object"]["name"], "a-young", "{conflict}");
    assert!(conflict["message"].to_string().contains("z-old"), "names the winner: {conflict}");
}

#[tokio::test]
async fn with_rules_it_takes_misses_under_the_hosts_of_its_ingress_only() {
    let site = Site::new(&["web", "miss"]).await;
    let portico = site.serve([Ingress::new("web").path("a.test", P, "/web", "web").default_backend("miss")]).await;
    expect(&portico, &[("a.test", "/web", Ok("web")), ("a.test", "/x", Ok("miss")), ("b.test", "/x", Err(404))]).await;
}

#[tokio::test]
async fn of_two_ingresses_with_one_host_the_older_ones_default_backend_stands() {
    let site = Site::new(&["web", "old", "young"]).await;
    let portico = site
        .serve([
            Ingress::new("young")
                .created("2025-01-01T00:00:00Z")
                .path("a.test", P, "/y", "web")
                .default_backend("young"),
            Ingress::new("old").created("2024-01-01T00:00:00Z").path("a.test", P, "/o", "web").default_backend("old"),
        ])
        .await;
    expect(&portico, &[("a.test", "/x", Ok("old")), ("a.test", "/y", Ok("web"))]).await;
}

#[tokio::test]
async fn a_rule_without_http_sends_the_host_to_the_default_backend() {
    let site = Site::new(&["miss"]).await;
    let ingress = Ingress::new("web").raw_rule(json!({"host": "a.test"})).default_backend("miss");
    let portico = site.serve([ingress]).await;
    expect(&portico, &[("a.test", "/x", Ok("miss")), ("b.test", "/", Err(404))]).await;
}

#[tokio::test]
async fn the_controllers_default_backend_comes_last() {
    let site = Site::new(&["web", "miss", "fallback"]).await;
    let documents = [
        Ingress::new("web").path("a.test", P, "/web", "web").default_backend("miss"),
        Ingress::new("bare").path("b.test", P, "/web", "web"),
    ];
    for flag in ["default/fallback", "default/fallback:80"] {
        let portico = site.setup(&documents).args(&["--default-backend-service", flag]).start().await;
        expect(
            &portico,
            &[
                ("a.test", "/web", Ok("web")),
                ("a.test", "/x", Ok("miss")),
                ("b.test", "/x", Ok("fallback")),
                ("c.test", "/", Ok("fallback")),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn a_controllers_default_backend_that_does_not_exist_is_reported_and_answers_503() {
    let site = Site::new(&["web"]).await;
    let portico = site
        .setup([Ingress::new("web").host("a.test", "web")])
        .args(&["--default-backend-service", "default/absent"])
        .start()
        .await;
    expect(&portico, &[("a.test", "/", Ok("web")), ("b.test", "/", Err(503))]).await;
    portico.diagnostic("DefaultUnusable").await;
}

#[tokio::test]
async fn without_any_it_is_404() {
    let site = Site::new(&["web"]).await;
    let portico = site.serve([Ingress::new("web").path("a.test", P, "/web", "web")]).await;
    expect(&portico, &[("a.test", "/x", Err(404)), ("b.test", "/", Err(404))]).await;
}
