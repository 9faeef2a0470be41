//! The access log on stdout: one line a request, everything known, nothing secret.

use portico_tests::client::{Call, Raw, Tls, get};
use portico_tests::scripted::Refusing;
use portico_tests::{Ingress, Portico, Service, wait_until};
use serde_json::Value;

use crate::portico;
use crate::site::simple_with;

/// The log record of the request with this path, once it is written.
async fn record(portico: &Portico, path: &str) -> Value {
    wait_until(&format!("the record of {path}"), async || {
        let log = portico.process.stdout();
        let records = log.lines().map(|line| serde_json::from_str::<Value>(line).map_err(|e| format!("{e}: {line}")));
        // The last line may be half written.
        records.flatten().find(|record| record["path"] == path).ok_or(log.clone())
    })
    .await
}

#[tokio::test]
async fn a_record_holds_everything_known() {
    let (echo, portico) = simple_with(&["--access-log", "json"]).await;
    let call = Call::post("/known?token=secret", "12345").host("a.test:8443").header("user-agent", "tester/1");
    let answer =
        call.header("authorization", "Bearer secret").to_tls(portico.https(), &Tls::accepting_any()).await.unwrap();
    let record = record(&portico, "/known").await;
    for (field, expected) in [
        ("method", "POST"),
        ("protocol", "HTTP/1.1"),
        ("sni", "a.test"),
        ("ingress", "default/web"),
        ("upstream", "default/web:80"),
        ("user_agent", "tester/1"),
    ] {
        assert_eq!(record[field], expected, "{field}: {record:#}");
    }
    assert!(record["host"].as_str().unwrap().starts_with("a.test"), "{record:#}");
    assert_eq!(record["endpoint"], echo.address.to_string());
    assert!(record["client"].as_str().unwrap().starts_with("127.0.0.1"), "{record:#}");
    assert_eq!((&record["status"], &record["tries"], &record["bytes_in"]), (&200.into(), &1.into(), &5.into()));
    assert_eq!(record["bytes_out"], answer.body.len());
    assert_eq!(record["request_id"], answer.received_header("x-request-id").unwrap());
    assert!(record["duration"].as_f64().unwrap() > 0.0 && record["generation"].is_u64(), "{record:#}");
    assert!(record["time"].is_string() && record["route"].is_string(), "{record:#}");
    assert!(record.get("error").is_none(), "{record:#}");
    assert!(!portico.process.stdout().contains("secret"), "queries and credentials stay out");
}

#[tokio::test]
async fn errors_name_side_and_kind() {
    let dead = Refusing::new();
    let documents = [
        Ingress::new("web").host("dead.test", "dead").host("none.test", "none").to_string(),
        Service::new("dead").with(&[dead.address]),
        Service::new("none").to_string(),
    ];
    let portico = portico().manifests(documents).args(&["--access-log", "json"]).start().await;
    for (host, path, status, side, kind) in [
        ("nobody.test", "/a", 404, "downstream", "no_route"),
        ("dead.test", "/b", 502, "upstream", "connect"),
        ("none.test", "/c", 503, "upstream", "no_endpoint"),
    ] {
        get(portico.http(), host, path).await.unwrap();
        let record = record(&portico, path).await;
        assert_eq!(
            (&record["status"], &record["error_side"], &record["error"]),
            (&status.into(), &side.into(), &kind.into()),
            "{record:#}"
        );
    }
    assert!(record(&portico, "/b").await["tries"].as_u64().unwrap() >= 1);
}

#[tokio::test]
async fn heads_that_are_refused_are_recorded_as_well() {
    let (_echo, portico) = simple_with(&["--access-log", "json"]).await;
    let mut raw = Raw::connect(portico.http()).await;
    raw.send("DELETE /refused?token=secret HTTP/1.1\nHost: a.test\nUser-Agent: tester/1\n\n").await;
    assert_eq!(raw.answer().await.status, 400);
    let record = record(&portico, "/refused").await;
    for (field, expected) in
        [("method", "DELETE"), ("host", "a.test"), ("user_agent", "tester/1"), ("error", "malformed")]
    {
        assert_eq!(record[field], expected, "{field}: {record:#}");
    }
    assert_eq!(record["status"], 400);
    assert!(!portico.process.stdout().contains("secret"));
}

#[tokio::test]
async fn foreign_octets_cannot_forge_a_line() {
    let (_echo, portico) = simple_with(&["--access-log", "json"]).await;
    let agent = "x\u{9b}31m\"}{\"path\":\"/forged\"\t\u{e9}";
    get(portico.http(), "a.test", "/plain").await.unwrap();
    Call::get("/hostile").host("a.test").header("user-agent", agent).to(portico.http()).await.unwrap();
    let record = record(&portico, "/hostile").await;
    assert_eq!(record["user_agent"], agent);
    let log = portico.process.stdout();
    assert!(!log.contains('\u{9b}'), "{log}");
    assert!(
        log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|it| it["path"] != "/forged")),
        "{log}"
    );
}

#[tokio::test]
async fn text_and_off() {
    let (_echo, portico) = simple_with(&["--access-log", "text"]).await;
    get(portico.http(), "a.test", "/text").await.unwrap();
    wait_until("the line", async || {
        let log = portico.process.stdout();
        if log.contains("\"GET /text HTTP/1.1\" 200") { Ok(()) } else { Err(log) }
    })
    .await;
    let (_echo, mut quiet) = simple_with(&["--access-log", "off", "--drain-delay", "0"]).await;
    get(quiet.http(), "a.test", "/quiet").await.unwrap();
    quiet.process.signal(portico_tests::process::Signal::TERM);
    quiet.process.exit().await;
    assert_eq!(quiet.process.stdout(), "");
}

/// Nothing is lost at the end: lines of the last requests are written before the process goes.
#[tokio::test]
async fn the_last_lines_are_written_before_the_end() {
    let (_echo, mut portico) = simple_with(&["--access-log", "json", "--drain-delay", "0"]).await;
    for number in 0..50 {
        get(portico.http(), "a.test", &format!("/{number}")).await.unwrap();
    }
    portico.process.signal(portico_tests::process::Signal::TERM);
    portico.process.exit().await;
    wait_until("the whole log", async || {
        let lines = portico.process.stdout().lines().count();
        if lines == 50 { Ok(()) } else { Err(lines) }
    })
    .await;
}
