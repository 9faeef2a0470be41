//! What is counted: every family is there, numbers move, and labels never come from requests.

use portico_tests::certificate::Authority;
use portico_tests::client::{Call, Raw, Tls, get};
use portico_tests::{Ingress, Portico, Service, secret, wait_until};

use crate::site::{Site, simple};

/// Waits until a metric has this value.
async fn reaches(portico: &Portico, name: &str, labels: &[&str], value: f64) {
    wait_until(&format!("{name} {labels:?} at {value}"), async || {
        let now = portico.metric(name, labels).await;
        if (now - value).abs() < f64::EPSILON { Ok(()) } else { Err(now) }
    })
    .await;
}

#[tokio::test]
async fn every_family_is_there() {
    let authority = Authority::default();
    let site = Site::new(&["web"]).await;
    let ingress = Ingress::new("web").tls(&["a.test"], "cert").host("a.test", "web").host("b.test", "absent");
    let portico = site.serve([ingress.to_string(), secret("cert", &authority.issue(&["a.test"]))]).await;
    get(portico.http(), "a.test", "/").await.unwrap();
    let text = portico.status("/metrics").await.text();
    for family in [
        "portico_build_info",
        "portico_requests_total",
        "portico_request_duration_seconds_bucket",
        "portico_connections_total",
        "portico_connections_active",
        "portico_connections_parked",
        "portico_tls_handshakes_total",
        "portico_tls_handshake_failures_total",
        "portico_upstream_connections_opened_total",
        "portico_upstream_connections_reused_total",
        "portico_upstream_connections_idle",
        "portico_upstream_retries_total",
        "portico_upstream_ejections_total",
        "portico_limit_breaches_total",
        "portico_table_generation",
        "portico_table_swap_seconds",
        "portico_endpoint_convergence_seconds_count{until=\"swap\"}",
        "portico_endpoint_convergence_seconds_count{until=\"first_request\"}",
        "portico_compile_seconds",
        "portico_diagnostics",
        "# TYPE portico_ingresses_over_cap gauge",
        "portico_certificate_expiry",
        "portico_access_log_dropped_total",
        "portico_panics_total",
    ] {
        assert!(text.lines().any(|line| line.starts_with(family)), "{family} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(portico.metric("portico_diagnostics", &["code=\"ServiceNotFound\""]).await >= 1.0);
    let content = portico.status("/metrics").await;
    assert!(
        content.header("content-type").unwrap().starts_with("application/openmetrics-text"),
        "{:?}",
        content.headers
    );
}

#[tokio::test]
async fn requests_by_route_upstream_and_class() {
    let (_echo, portico) = simple().await;
    for status in ["200", "201", "404", "500"] {
        Call::get("/").host("a.test").header("x-echo-status", status).to(portico.http()).await.unwrap();
    }
    let web = "upstream=\"default/web:80\"";
    reaches(&portico, "portico_requests_total", &[web, "2xx"], 2.0).await;
    reaches(&portico, "portico_requests_total", &[web, "4xx"], 1.0).await;
    reaches(&portico, "portico_requests_total", &[web, "5xx"], 1.0).await;
    reaches(&portico, "portico_request_duration_seconds_count", &[web], 4.0).await;
    reaches(&portico, "portico_upstream_connections_opened_total", &[], 1.0).await;
    reaches(&portico, "portico_upstream_connections_reused_total", &[], 3.0).await;
}

#[tokio::test]
async fn labels_come_from_the_table_only() {
    let (_echo, portico) = simple().await;
    let series = async || portico.status("/metrics").await.text().lines().count();
    for number in 0..5 {
        get(portico.http(), "a.test", &format!("/{number}")).await.unwrap();
        get(portico.http(), &format!("canary-{number}.test"), "/").await.unwrap();
        Call::new(&format!("CANARY{number}"), "/").host("a.test").to(portico.http()).await.unwrap();
    }
    let before = series().await;
    for number in 5..60 {
        get(portico.http(), "a.test", &format!("/{number}")).await.unwrap();
        get(portico.http(), &format!("canary-{number}.test"), "/").await.unwrap();
        Call::new(&format!("CANARY{number}"), "/").host("a.test").to(portico.http()).await.unwrap();
    }
    assert_eq!(series().await, before);
    let text = portico.status("/metrics").await.text().to_ascii_lowercase();
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn handshakes_and_their_failures() {
    let (_echo, portico) = simple().await;
    for tls in [Tls::version_1_2(), Tls::version_1_3()] {
        Call::get("/").host("a.test").to_tls(portico.https(), &tls.without_resumption()).await.unwrap();
    }
    reaches(&portico, "portico_tls_handshakes_total", &["version=\"1.2\""], 1.0).await;
    reaches(&portico, "portico_tls_handshakes_total", &["version=\"1.3\""], 1.0).await;
    let mut raw = Raw::connect(portico.https()).await;
    raw.send("GET / HTTP/1.1\r\n\r\n").await.rest().await;
    reaches(&portico, "portico_tls_handshake_failures_total", &[], 1.0).await;
}

#[tokio::test]
async fn limits_that_were_hit() {
    let (_echo, portico) = simple().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(8 * 1024));
    assert_eq!(Raw::connect(portico.http()).await.send(long).await.answer().await.status, 414);
    reaches(&portico, "portico_limit_breaches_total", &["limit=\"target\""], 1.0).await;
}

#[tokio::test]
async fn series_of_routes_that_are_gone_go_away() {
    let site = Site::new(&["web"]).await;
    let echo = portico_tests::Echo::start("gone").await;
    let portico = site.serve([Ingress::new("web").host("a.test", "web")]).await;
    let gone = [Ingress::new("gone").host("gone.test", "gone").to_string(), Service::new("gone").with(&[echo.address])];
    portico.write("gone.yaml", &portico_tests::manifest::join(gone));
    portico.answers("gone.test", "/", "gone").await;
    assert!(portico.metric("portico_requests_total", &["default/gone"]).await >= 1.0);
    portico.remove("gone.yaml");
    let mut round = 0;
    wait_until("the end of its series", async || {
        // Numbers of what is gone are dropped with a later table, once nobody holds the old one.
        round += 1;
        portico.write("next.yaml", &Ingress::new("next").host(&format!("next-{round}.test"), "web").to_string());
        get(portico.http(), "a.test", "/").await.map_err(|error| error.to_string())?;
        let text = portico.status("/metrics").await.text();
        if text.contains("default/gone") { Err(text) } else { Ok(()) }
    })
    .await;
}
