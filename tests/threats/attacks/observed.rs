//! What is told of requests: nothing secret, nothing forged, nothing without bound.

use libtest_mimic::Trial;
use portico_tests::certificate::Authority;
use portico_tests::client::{Raw, Tls};
use portico_tests::process::Signal;
use portico_tests::secret;
use serde_json::Value;

use super::test;
use crate::stage::{Stage, portico};

pub(crate) fn add(trials: &mut Vec<Trial>) {
    test(trials, "C06::log_lines_cannot_be_forged", forged);
    test(trials, "C07::nothing_secret_is_told", secrets);
    test(trials, "C08::random_requests_make_no_series", series);
    test(trials, "E17::keys_are_nowhere_and_no_core_is_left", keys);
}

/// Ends the process in order and returns everything that it wrote.
async fn said(mut stage: Stage) -> (String, String) {
    stage.portico.process.signal(Signal::TERM);
    stage.portico.process.exit().await;
    (stage.portico.process.stdout(), stage.portico.process.stderr())
}

/// Whatever stands in path, host and fields, a line of the log is one object.
async fn forged() {
    let stage = Stage::with(portico().args(&["--drain-delay", "0s"]), &[]).await;
    let long = "u".repeat(20_000);
    let hostile = [
        ("/%22%2c%22status%22:999,%22x%22:%22", "\",\"status\":999,\"x\":\""),
        ("/%1b%5b31m", "\x1b[31mred"),
        ("/%e2%80%a8", "\u{2028}{\"status\":999}"),
        ("/x", long.as_str()),
        ("/y", "a\\u0022\\n{\"time\":\"now\"}"),
        ("/z", "\u{202e}drow"),
    ];
    for (path, agent) in hostile {
        let mut raw = Raw::connect(stage.portico.http()).await;
        let head = [
            format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nUser-Agent: ").as_bytes(),
            agent.as_bytes(),
            b"\xff\xfe\r\n\r\n",
        ]
        .concat();
        raw.send(head).await.answer().await;
    }
    // What is refused is logged as well.
    for octets in
        ["GET /\n{\"status\":999} HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\"}\r\n{\"status\":999}\r\n\r\n"]
    {
        Raw::connect(stage.portico.http()).await.send(octets).await.answer().await;
    }
    let (stdout, _) = said(stage).await;
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), hostile.len() + 2, "{stdout}");
    for line in lines {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_ne!(record["status"], 999, "{line}");
        assert!(!line.contains('\x1b') && !line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains('\u{2028}') || record["status"] != 999, "{line}");
        for (name, value) in record.as_object().unwrap() {
            let length = value.as_str().map_or(0, str::len);
            assert!(length <= 2100, "{name} has {length} octets");
        }
    }
}

const CANARIES: [&str; 5] = ["canary-bearer", "canary-cookie", "canary-query", "canary-basic", "canary-body"];

/// Credentials, cookies, queries and bodies are told nowhere, at the loudest level, in either form.
async fn secrets() {
    for format in ["json", "text"] {
        let setup = portico().args(&["--log-level", "trace", "--access-log", format, "--drain-delay", "0s"]);
        let stage = Stage::with(setup, &[]).await;
        let fields = "Authorization: Bearer canary-bearer\r\nCookie: session=canary-cookie\r\nProxy-Authorization: Basic canary-basic\r\n";
        for host in ["a.test", "nobody.test", "a.test\r\nHost: b.test"] {
            let request = format!(
                "POST /login?token=canary-query HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: 11\r\n\r\ncanary-body"
            );
            Raw::connect(stage.portico.http()).await.send(&request).await.answer().await;
            let tls = Tls::accepting_any().alpn(&["http/1.1"]);
            Raw::connect_tls(stage.portico.https(), &tls, "a.test").await.unwrap().send(&request).await.answer().await;
        }
        let mut told = vec![stage.portico.status("/metrics").await.text()];
        for page in ["/routes", "/diagnostics"] {
            told.push(stage.portico.admin(page).await.text());
        }
        let (stdout, stderr) = said(stage).await;
        assert!(!stdout.is_empty() && !stderr.is_empty(), "there is something to look through");
        told.extend([stdout, stderr]);
        for canary in CANARIES {
            assert!(!told.iter().any(|text| text.contains(canary)), "{canary} is told with {format}");
        }
    }
}

/// 3,000 requests of which no two are alike leave as many series as there were.
async fn series() {
    let stage = Stage::start(&[]).await;
    let count =
        async || stage.portico.status("/metrics").await.text().lines().filter(|line| !line.starts_with('#')).count();
    let ask = async |number: usize| {
        let mut raw = Raw::connect(stage.portico.http()).await;
        for (method, host) in [
            ("GET", format!("h{number}.test")),
            ("GET", "a.test".to_owned()),
            (&*format!("M{number}"), "a.test".to_owned()),
        ] {
            let path = format!("/p{number}?q{number}");
            raw.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: u{number}\r\n\r\n"))
                .await
                .answer()
                .await;
        }
    };
    ask(0).await;
    Raw::connect(stage.portico.http()).await.send("BAD\r\n\r\n").await.answer().await;
    let (before, memory) = (count().await, stage.portico.resident_kib());
    for number in 1..1000 {
        ask(number).await;
    }
    let (after, grown) = (count().await, stage.portico.resident_kib().saturating_sub(memory));
    assert_eq!(before, after, "series grew with requests");
    assert!(grown < 8 * 1024, "{grown} KiB more");
    let text = stage.portico.status("/metrics").await.text();
    assert!(!text.contains("M999") && !text.contains("h999") && !text.contains("p999"), "{text}");
}

/// The key of a served certificate is in nothing that can be asked for or that is written; a crash leaves no memory.
async fn keys() {
    let issued = Authority::default().issue(&["a.test"]);
    let setup = portico().args(&["--log-level", "trace", "--drain-delay", "0s"]);
    let stage = Stage::shaped(setup, |site| site.tls(&["a.test"], "a"), &[secret("a", &issued)]).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", stage.portico.process.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let mut told = Vec::new();
    for page in
        ["/routes", "/diagnostics", "/debug", "/debug/pprof", "/config", "/secrets", "/explain?url=https://a.test/"]
    {
        told.push(stage.portico.admin(page).await.text());
        told.push(stage.portico.status(page).await.text());
    }
    told.push(stage.portico.status("/metrics").await.text());
    let (stdout, stderr) = said(stage).await;
    told.extend([stdout, stderr]);
    let pem = issued.key_pem();
    for line in pem.lines().filter(|line| line.len() > 20 && !line.contains("PRIVATE")) {
        assert!(!told.iter().any(|text| text.contains(line)), "the key is told");
    }
    assert!(!told.iter().any(|text| text.contains("PRIVATE KEY")), "a key is told");
}
