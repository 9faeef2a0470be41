//! Many connections, many hosts, much to read: the cost stays linear and others are served.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use portico_tests::client::Raw;
use portico_tests::manifest::Path;
use portico_tests::{Ingress, Setup, wait_until};
use tokio::net::TcpStream;

use super::test;
use crate::stage::{Stage, binary, calm, portico};

pub(crate) fn add(trials: &mut Vec<Trial>) {
    test(trials, "F05::flood_of_connections", connections);
    test(trials, "F06::work_for_heads_is_linear", heads);
    test(trials, "F07::many_hosts_and_paths", many_names);
    test(trials, "F08::patterns_are_plain_text", patterns);
}

/// Processor time that a process has used, in ticks of 10 ms.
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// 1,500 clients where 256 descriptors are all there are: it lives, tells of itself, and serves once they leave.
async fn connections() {
    let directory = tempfile::TempDir::new().unwrap();
    let wrapped = directory.path().join("portico");
    std::fs::write(&wrapped, format!("#!/bin/sh\nulimit -n 256\nexec {} \"$@\"\n", binary())).unwrap();
    std::fs::set_permissions(&wrapped, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let stage = Stage::with(calm(Setup::new(wrapped.to_str().unwrap())), &[]).await;
    let process = stage.portico.process.id();
    let mut clients = Vec::new();
    for _ in 0..1500 {
        clients.push(TcpStream::connect(stage.portico.http()).await.unwrap());
    }
    wait_until("as many as it takes", async || {
        let active = stage.portico.metric("portico_connections_active", &[]).await;
        if active > 50.0 { Ok(()) } else { Err(active.to_string()) }
    })
    .await;
    let (before, begun) = (ticks(process), Instant::now());
    for _ in 0..20 {
        assert_eq!(stage.portico.status("/healthz").await.status, 200);
        assert_eq!(stage.portico.admin("/routes").await.status, 200);
    }
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    assert!(descriptors < 246, "{descriptors} of 256 descriptors are in use: none is kept for itself");
    // Accepting that fails must not spin; asking 40 times costs a little itself.
    let used = ticks(process) - before;
    let share = Duration::from_millis(used * 10).as_secs_f64() / begun.elapsed().as_secs_f64().max(0.5);
    assert!(share < 0.8, "it spins at {share:.2} of a processor");
    drop(clients);
    let left = Instant::now();
    stage.is_well().await.unwrap();
    assert!(left.elapsed() < Duration::from_secs(3), "served again only after {:?}", left.elapsed());
}

/// Sends so many requests with so many fields of 300 octets one after another; processor time per request in µs.
async fn cost(stage: &Stage, fields: usize, requests: usize) -> f64 {
    let fields: String = (0..fields).map(|number| format!("X-{number}: {}\r\n", "y".repeat(300))).collect();
    let request = format!("GET /aside/ HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    let process = stage.portico.process.id();
    let mut raw = Raw::connect(stage.portico.http()).await;
    raw.send(&request).await.answer().await;
    let before = ticks(process);
    for _ in 0..requests {
        let answer = raw.send(&request).await.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    (ticks(process) - before) as f64 * 10_000.0 / requests as f64
}

/// Ten times the fields are no more than some ten times the work.
async fn heads() {
    let stage = Stage::start(&[]).await;
    let few = cost(&stage, 9, 600).await;
    let many = cost(&stage, 90, 600).await;
    assert!(many < few.max(100.0) * 15.0, "{few:.0} µs with 9 fields and {many:.0} µs with 90");
}

/// 2,000 hosts and as many paths: the last costs what the first does.
async fn many_names() {
    let mut ingress = Ingress::new("many");
    for number in 0..2000 {
        ingress = ingress.host(&format!("h{number}.many.test"), "web").path(
            "paths.test",
            Path::P,
            &format!("/p/{number}"),
            "web",
        );
    }
    let stage = Stage::with(portico(), &[ingress.to_string()]).await;
    let process = stage.portico.process.id();
    let mut costs = Vec::new();
    let long = format!("/p/{}", "0/".repeat(2000));
    for (host, path) in [
        ("h0.many.test", "/"),
        ("h1999.many.test", "/"),
        ("nobody.many.test", "/"),
        ("paths.test", "/p/0"),
        ("paths.test", "/p/1999"),
        ("paths.test", long.as_str()),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut raw = Raw::connect(stage.portico.http()).await;
        let before = ticks(process);
        for _ in 0..300 {
            raw.send(&request).await.answer().await;
        }
        costs.push((ticks(process) - before) as f64 * 10_000.0 / 300.0);
    }
    let first = costs[0].max(200.0);
    assert!(costs.iter().all(|cost| *cost < first * 8.0), "{costs:?} µs");
}

/// No rule is a pattern of any language: this one would take for ever, were it one.
async fn patterns() {
    let evil = "/(a+)+$";
    let ingress =
        Ingress::new("evil").path("evil.test", Path::I, evil, "web").path("evil.test", Path::P, "/(.*.*)*x", "web");
    let stage = Stage::with(portico(), &[ingress.to_string()]).await;
    let told = stage.portico.diagnostics().await;
    assert!(told.iter().any(|one| one.to_string().contains("(a+)+")), "what looks like a pattern is told: {told:?}");
    for path in [format!("/{}!", "a".repeat(4000)), format!("/{}", "a".repeat(4000)), "/aaa".to_owned()] {
        let begun = Instant::now();
        let mut raw = Raw::connect(stage.portico.http()).await;
        let answer = raw.send(format!("GET {path} HTTP/1.1\r\nHost: evil.test\r\n\r\n")).await.answer().await;
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    let mut raw = Raw::connect(stage.portico.http()).await;
    let answer = raw.send("GET /(.*.*)*x/y HTTP/1.1\r\nHost: evil.test\r\n\r\n").await.answer().await;
    assert_eq!(answer.status, 200, "the other one is plain text: {answer:?}");
}
