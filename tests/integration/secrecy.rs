//! What is secret stays so: canaries in keys, credentials, queries and bodies show up in nothing that Portico says.

use std::os::unix::process::ExitStatusExt;

use portico_tests::certificate::Authority;
use portico_tests::client::{Call, Raw, Tls};
use portico_tests::manifest::{Path, raw_secret};
use portico_tests::process::Signal;
use portico_tests::scripted::Scripted;
use portico_tests::{Ingress, Portico, Service, secret, wait_until};

use crate::portico;
use crate::site::Site;

/// In every credential, value and text of the scene that nobody but its addressee should read.
const CANARY: &str = "c4n4ry";

/// Fields that carry credentials.
const CREDENTIALS: &[&str] = &["authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"];

/// Sends requests full of canaries: answered, refused for their target, their head and their body, and failed upstream.
async fn traffic(portico: &Portico) {
    let secretive = |call: Call| CREDENTIALS.iter().fold(call.host("a.test"), |call, name| call.header(name, CANARY));
    let target = format!("/?token={CANARY}");
    let served = [
        secretive(Call::get(&target)).to(portico.http()).await,
        secretive(Call::post(&target, format!("password={CANARY}"))).to(portico.http()).await,
        secretive(Call::get(&target)).to_tls(portico.https(), &Tls::accepting_any()).await,
        secretive(Call::get(&target)).http2().to_tls(portico.https(), &Tls::accepting_any()).await,
    ];
    for answer in served {
        assert_eq!(answer.unwrap().backend(), Some("web"));
    }
    let failed = secretive(Call::get("/failing")).to(portico.http()).await.unwrap();
    assert_eq!(failed.status, 502, "{failed}");
    for (bytes, status) in [
        (format!("GET /%zz?token={CANARY} HTTP/1.1\r\nHost: a.test\r\nAuthorization: {CANARY}\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: {CANARY}\r\nBroken {CANARY}\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nHost: a.test\r\nCookie: {}\r\n\r\n", CANARY.repeat(10_000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: a.test\r\nExpect: {CANARY}\r\n\r\n"), 417),
        (format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n"), 400),
    ] {
        let mut client = Raw::connect(portico.http()).await;
        assert_eq!(client.send(&bytes).await.answer().await.status, status, "{bytes:.80}");
    }
}

/// Some of the base64 of a Secret's key, behind the heading that all keys share.
fn within_key(secret: &str) -> String {
    let secret: serde_json::Value = serde_json::from_str(secret).unwrap();
    secret["data"]["tls.key"].as_str().unwrap().chars().skip(40).take(32).collect()
}

/// Everything that can be read of a running Portico, and of its verbs, by name.
async fn said(portico: &Portico, verbs: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut texts: Vec<_> = verbs.into_iter().collect();
    texts.push(("/metrics".to_owned(), portico.status("/metrics").await.text()));
    for path in ["/routes", "/diagnostics", "/explain?url=https://a.test/"] {
        texts.push((path.to_owned(), portico.admin(path).await.text()));
    }
    texts.push(("stdout".to_owned(), portico.process.stdout()));
    texts.push(("stderr".to_owned(), portico.process.stderr()));
    texts
}

#[tokio::test]
async fn no_canary_is_ever_said() {
    let authority = Authority::default();
    let (good, other) = (authority.issue(&["a.test"]), authority.issue(&["b.test"]));
    let failing = Scripted::answering("HTTP/1.1 200 OK\r\nSet-Cookie: c4n4ry\r\nBroken c4n4ry\r\n\r\n").await;
    let broken = format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n");
    let site = Site::new(&["web"]).await;
    let secrets = [
        secret("good", &good),
        raw_secret("broken", "kubernetes.io/tls", &[("tls.crt", &good.chain_pem()), ("tls.key", &broken)]),
        raw_secret("differing", "kubernetes.io/tls", &[("tls.crt", &good.chain_pem()), ("tls.key", &other.key_pem())]),
    ];
    let scene = [
        Ingress::new("web")
            .tls(&["a.test"], "good")
            .host("a.test", "web")
            .path("a.test", Path::E, "/failing", "failing")
            .to_string(),
        Ingress::new("broken").tls(&["b.test"], "broken").host("b.test", "web").to_string(),
        Ingress::new("differing").tls(&["c.test"], "differing").host("c.test", "web").to_string(),
        Service::new("failing").with(&[failing.address]),
        raw_secret("unreferenced", "Opaque", &[("password", CANARY)]),
    ];
    let setup = site.setup(scene.iter().chain(&secrets));
    let directory = setup.directory().display().to_string();
    let mut verbs = Vec::new();
    for verb in [&["check", &directory][..], &["routes", &directory], &["explain", "https://a.test/", &directory]] {
        let output = setup.run(verb);
        let text = [output.stdout, output.stderr].concat();
        verbs.push((verb[0].to_owned(), String::from_utf8(text).unwrap()));
    }
    let portico = setup.args(&["--log-level", "trace", "--default-tls-secret", "default/good"]).start().await;
    traffic(&portico).await;
    wait_until("a line for each of ten requests in the access log", async || {
        let log = portico.process.stdout();
        if log.lines().count() == 10 { Ok(()) } else { Err(log) }
    })
    .await;

    let keys: Vec<_> = [good.key_pem(), other.key_pem()].concat().lines().map(str::to_owned).collect();
    let keys = keys.iter().filter(|line| !line.starts_with("-----"));
    let encoded = secrets.iter().map(|document| within_key(document)).collect::<Vec<_>>();
    let needles: Vec<_> = keys.chain(&encoded).map(String::as_str).chain([CANARY]).collect();
    let texts = said(&portico, verbs).await;
    for (name, text) in &texts {
        assert!(!text.is_empty(), "{name} says nothing, so it proves nothing");
        for needle in &needles {
            assert!(!text.contains(needle), "{name} holds {needle}:\n{text}");
        }
    }
    let text = |name: &str| &texts.iter().find(|(is, _)| is == name).unwrap().1;
    assert!(text("stdout").contains("\"/failing\""), "the requests are in the access log: {}", text("stdout"));
    assert!(text("check").contains("SecretInvalid"), "the broken key was looked at: {}", text("check"));
}

/// The soft and hard limit on core files of a process.
fn core_limit(process: u32) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_crash_leaves_no_memory_behind() {
    let mut closed = portico().start().await;
    assert_eq!(core_limit(closed.process.id()), "0 0");
    closed.process.signal(Signal::ABORT);
    assert!(!closed.process.exit().await.core_dumped());

    let open = portico().args(&["--core-dumps"]).start().await;
    assert_eq!(core_limit(open.process.id()), core_limit(std::process::id()));
}
