//! Which Ingresses are ours.

use portico_tests::client::get;
use portico_tests::{Ingress, Portico, Setup};
use serde_json::json;

use crate::site::Site;

const CONTROLLER: &str = "portico.dev/ingress-controller";

fn class(name: &str, controller: &str, default: bool) -> String {
    let annotation = if default { "true" } else { "false" };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": annotation}},
        "spec": {"controller": controller},
    })
    .to_string()
}

async fn site() -> Site {
    Site::new(&["web"]).await
}

/// Whether the host of the only Ingress is served.
async fn served(setup: Setup) -> bool {
    let portico = setup.start().await;
    let answer = get(portico.http(), "a.test", "/").await.unwrap();
    assert!(matches!(answer.status, 200 | 404), "{answer}");
    answer.status == 200
}

fn ingress() -> Ingress {
    Ingress::new("web").host("a.test", "web")
}

#[tokio::test]
async fn the_named_class_must_be_ours() {
    let site = site().await;
    for (controller, expected) in [(CONTROLLER, true), ("example.com/other", false)] {
        // Also for a class that bears our default name.
        for name in ["fancy", "portico"] {
            let documents = [ingress().class(name).to_string(), class(name, controller, false)];
            assert_eq!(served(site.setup(documents)).await, expected, "{name} of {controller}");
        }
    }
}

#[tokio::test]
async fn a_class_that_does_not_exist_is_not_ours_unless_it_bears_our_name() {
    let site = site().await;
    for (name, flags, expected) in [
        ("absent", &[][..], false),
        ("portico", &[], true),
        ("portico", &["--strict-class"], false),
        ("fancy", &["--ingress-class", "fancy"], true),
        ("", &[], false),
    ] {
        assert_eq!(served(site.setup([ingress().class(name)]).args(flags)).await, expected, "{name:?} {flags:?}");
    }
}

#[tokio::test]
async fn the_controller_name_is_a_flag() {
    let site = site().await;
    let documents = [ingress().class("fancy").to_string(), class("fancy", "example.com/mine", false)];
    assert!(served(site.setup(documents).args(&["--controller-name", "example.com/mine"])).await);
}

#[tokio::test]
async fn the_old_annotation() {
    let site = site().await;
    let annotated = |class: &str| ingress().annotation("kubernetes.io/ingress.class", class);
    assert!(served(site.setup([annotated("portico")])).await);
    assert!(!served(site.setup([annotated("nginx")])).await);
    assert!(served(site.setup([annotated("nginx")]).args(&["--ingress-class", "nginx"])).await);
    // It may also name a class of ours.
    assert!(served(site.setup([annotated("fancy").to_string(), class("fancy", CONTROLLER, false)])).await);
}

#[tokio::test]
async fn the_field_beats_the_annotation() {
    let site = site().await;
    let both = |field: &str, annotation: &str| {
        ingress().class(field).annotation("kubernetes.io/ingress.class", annotation).to_string()
    };
    // An API server refuses a difference when such an Ingress is created, and so does the directory.
    let portico = site.serve([both("portico", "nginx")]).await;
    let answer = get(portico.http(), "a.test", "/").await.unwrap();
    assert_eq!(answer.status, 404, "{answer}");
    portico.diagnostic("ObjectInvalid").await;
    assert!(served(site.setup([both("portico", "portico")])).await);
}

#[tokio::test]
async fn without_a_class() {
    let site = site().await;
    let bare = || ingress().to_string();
    for (documents, flags, expected) in [
        (vec![bare()], &[][..], true),
        (vec![bare()], &["--strict-class"], false),
        (vec![bare()], &["--strict-class", "--watch-ingress-without-class"], true),
        (vec![bare(), class("portico", CONTROLLER, true)], &["--strict-class"], true),
        (vec![bare(), class("portico", CONTROLLER, false)], &["--strict-class"], false),
        (vec![bare(), class("other", "example.com/other", true)], &["--strict-class"], false),
    ] {
        assert_eq!(served(site.setup(&documents).args(flags)).await, expected, "{flags:?} {documents:?}");
    }
}

#[tokio::test]
async fn classes_are_judged_again_when_they_change() {
    let site = site().await;
    let portico: Portico = site.serve([ingress().class("fancy")]).await;
    portico.answers_status("a.test", "/", 404).await;
    portico.write("class.yaml", &class("fancy", CONTROLLER, false));
    portico.answers("a.test", "/", "web").await;
    portico.write("class.yaml", &class("fancy", "example.com/other", false));
    portico.answers_status("a.test", "/", 404).await;
    portico.write("class.yaml", &class("fancy", CONTROLLER, false));
    portico.answers("a.test", "/", "web").await;
    portico.remove("class.yaml");
    portico.answers_status("a.test", "/", 404).await;
}

#[tokio::test]
async fn losing_the_class_withdraws_the_routes() {
    let site = site().await;
    let documents = |class: &str| site.documents([ingress().class(class)]);
    let portico = site.serve([ingress().class("portico")]).await;
    portico.answers("a.test", "/", "web").await;
    portico.apply(documents("someone-else"));
    portico.answers_status("a.test", "/", 404).await;
    portico.apply(documents("portico"));
    portico.answers("a.test", "/", "web").await;
}
