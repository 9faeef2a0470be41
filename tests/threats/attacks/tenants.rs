//! A tenant that asks for more than its share, and what its neighbours notice of it.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use portico_tests::certificate::Authority;
use portico_tests::client::{Raw, get};
use portico_tests::manifest::Path;
use portico_tests::{Ingress, secret, wait_until};

use super::test;
use crate::stage::{Stage, portico};

pub(crate) fn add(trials: &mut Vec<Trial>) {
    test(trials, "H14::ten_thousand_rules_of_one_tenant", many_rules);
    test(trials, "H14::a_thousand_certificates_of_one_tenant", many_certificates);
    test(trials, "H14::the_time_of_rules_is_linear", linear);
}

/// So many rules, a hundred on each host.
fn rules(name: &str, count: usize) -> Ingress {
    (0..count).fold(Ingress::new(name).namespace(name), |ingress, number| {
        ingress.path(&format!("h{}.{name}.test", number / 100), Path::P, &format!("/{number}"), "web")
    })
}

/// Waits for a route whose Service does not exist; longer than others, for a machine with other work.
async fn served(stage: &Stage, host: &str, path: &str) {
    let begun = Instant::now();
    while get(stage.portico.http(), host, path).await.unwrap().status != 503 {
        assert!(begun.elapsed() < Duration::from_secs(90), "{host}{path} is not served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What is refused is told with its cap and how to mend it, and counted; what is older stays.
async fn refused(stage: &Stage, name: &str, host: &str, flag: &str) {
    let told = stage.portico.diagnostic("LimitReached").await;
    assert_eq!((&told["severity"], &told["object"]["name"]), (&"error".into(), &name.into()), "{told}");
    assert!(told["hint"].as_str().is_some_and(|hint| hint.contains(flag)), "{told}");
    let label = format!("namespace=\"{name}\"");
    assert_eq!(stage.portico.metric("portico_ingresses_over_cap", &[&label]).await, 1.0);
    assert_eq!(stage.portico.metric("portico_diagnostics", &["LimitReached"]).await, 1.0);
    let answer = get(stage.portico.http(), host, "/0").await.unwrap();
    assert_eq!(answer.status, 404, "nothing of it is served: {answer}");
    stage.is_well().await.unwrap();
}

/// Over the cap nothing of the Ingress is served, and everything of everybody else, who may ask for as much each.
async fn many_rules() {
    let flags = ["--max-rules-per-namespace", "5000"].map(str::to_owned);
    let stage = Stage::start(&flags).await;
    let elder = Ingress::new("elder").namespace("hog").created("2020-01-01T00:00:00Z").host("elder.test", "web");
    stage.portico.write("elder.yaml", &elder.to_string());
    served(&stage, "elder.test", "/").await;
    stage.portico.write("hog.yaml", &rules("hog", 10_000).created("2021-01-01T00:00:00Z").to_string());
    refused(&stage, "hog", "h0.hog.test", "--max-rules-per-namespace").await;
    served(&stage, "elder.test", "/").await;
    stage.portico.write("other.yaml", &rules("other", 5000).to_string());
    served(&stage, "h49.other.test", "/4999").await;
    stage.portico.write("hog.yaml", &rules("hog", 4999).created("2021-01-01T00:00:00Z").to_string());
    served(&stage, "h49.hog.test", "/4998").await;
    // Told a moment after it is served.
    wait_until("nobody over a cap", async || {
        match stage.portico.metric("portico_diagnostics", &["LimitReached"]).await {
            0.0 => Ok(()),
            count => Err(format!("{count} problems")),
        }
    })
    .await;
}

/// A Secret counts once, however many name it; whether it exists does not matter.
async fn many_certificates() {
    let authority = Authority::default();
    let hog = (0..1000).fold(Ingress::new("hog").namespace("hog").host("hog.test", "web"), |ingress, number| {
        ingress.tls(&["hog.test"], &format!("cert-{number}"))
    });
    let same = (0..1000).fold(Ingress::new("same").namespace("same").host("same.test", "web"), |ingress, _| {
        ingress.tls(&["same.test"], "cert")
    });
    let documents = [hog.to_string(), same.to_string(), secret("cert", &authority.issue(&["a.test"]))];
    let setup = portico().args(&["--max-certificates-per-namespace", "999"]);
    let stage = Stage::shaped(setup, |site| site.tls(&["a.test"], "cert"), &documents).await;
    served(&stage, "same.test", "/").await;
    refused(&stage, "hog", "hog.test", "--max-certificates-per-namespace").await;
    let routes = stage.portico.admin("/routes").await.text();
    assert!(routes.contains("default/cert"), "the neighbour's certificate is there: {routes}");
}

/// Ten times the rules take no more than ten times the time, reading included.
async fn linear() {
    let stage = Stage::start(&[]).await;
    let mut took = Vec::new();
    for (name, count, last) in [("few", 1000, "h9.few.test"), ("hog", 10_000, "h99.hog.test")] {
        let text = rules(name, count).to_string();
        let begun = Instant::now();
        stage.portico.write(&format!("{name}.yaml"), &text);
        served(&stage, last, &format!("/{}", count - 1)).await;
        took.push(begun.elapsed());
    }
    let (thousand, ten_thousand) = (took[0], took[1]);
    // On a machine with other work.
    assert!(ten_thousand < thousand.max(Duration::from_millis(500)) * 30, "{thousand:?}, {ten_thousand:?}");
    stage.is_well().await.unwrap();
    let begun = Instant::now();
    let mut raw = Raw::connect(stage.portico.http()).await;
    raw.send("GET /aside/ HTTP/1.1\r\nHost: a.test\r\n\r\n").await.answer().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
