//! Native annotations: honoured or reported, and closed where they guard.

use portico_tests::client::{Call, get};
use portico_tests::{Ingress, Portico, Service};

use crate::site::Site;

async fn serve(key: &str, value: &str) -> (Site, Portico) {
    let site = Site::new(&["web"]).await;
    let annotated = Ingress::new("web").annotation(key, value).host("a.test", "web");
    let portico = site.serve([annotated, Ingress::new("other").host("b.test", "web")]).await;
    (site, portico)
}

#[tokio::test]
async fn max_body_size_holds_for_its_ingress() {
    let (_site, portico) = serve("portico.dev/max-body-size", "1k").await;
    for (host, size, status) in [("a.test", 1000, 200), ("a.test", 1001, 413), ("b.test", 100_000, 200)] {
        let answer = Call::post("/", vec![b'x'; size]).host(host).to(portico.http()).await.unwrap();
        assert_eq!(answer.status, status, "{host} {size}: {answer}");
    }
}

#[tokio::test]
async fn a_guard_that_cannot_be_read_closes_its_routes_only() {
    let (_site, portico) = serve("portico.dev/max-body-size", "plenty").await;
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().status, 503);
    assert_eq!(get(portico.http(), "b.test", "/").await.unwrap().status, 200);
    let diagnostic = portico.diagnostic("AnnotationInvalid").await;
    assert_eq!(diagnostic["severity"], "error", "{diagnostic}");
    assert!(diagnostic["field"].as_str().unwrap().contains("portico.dev/max-body-size"), "{diagnostic}");
    assert!(diagnostic["location"]["line"].is_u64(), "{diagnostic}");
}

#[tokio::test]
async fn any_other_that_cannot_be_read_leaves_the_default() {
    let (_site, portico) = serve("portico.dev/request-timeout", "soon").await;
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().status, 200);
    portico.diagnostic("AnnotationInvalid").await;
}

#[tokio::test]
async fn unknown_keys_are_reported_with_what_was_meant() {
    let (_site, portico) = serve("portico.dev/max-body-sice", "1k").await;
    let diagnostic = portico.diagnostic("AnnotationUnknown").await;
    assert!(diagnostic["hint"].to_string().contains("max-body-size"), "{diagnostic}");
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().status, 200);
}

#[tokio::test]
async fn keys_of_others_are_left_alone() {
    let (_site, portico) = serve("example.com/anything", "x").await;
    assert!(portico.diagnostics().await.is_empty());
}

#[tokio::test]
async fn a_change_of_an_annotation_takes_effect() {
    let (site, portico) = serve("portico.dev/max-body-size", "10").await;
    let status = async || Call::post("/", "12345678901").host("a.test").to(portico.http()).await.unwrap().status;
    assert_eq!(status().await, 413);
    portico.apply(site.documents([Ingress::new("web").host("a.test", "web")]));
    portico_tests::wait_until("the limit to go", async || match status().await {
        200 => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test]
async fn keys_on_the_wrong_kind_are_reported() {
    let site = Site::new(&["web"]).await;
    let service = Service::new("more").annotation("portico.dev/max-body-size", "1k").with(&[site.echoes[0].address]);
    let portico = site.serve([Ingress::new("web").host("a.test", "more").to_string(), service]).await;
    let diagnostic = portico.diagnostic("AnnotationUnknown").await;
    assert!(diagnostic["hint"].to_string().contains("Ingress"), "{diagnostic}");
}
