//! What TLS lets in and what a server name decides.

use libtest_mimic::Trial;
use portico_tests::certificate::{Authority, dns_names};
use portico_tests::client::{Raw, Tls, leaf};
use portico_tests::{Echo, Ingress, Service, secret};

use super::test;
use crate::stage::{ASIDE, Stage, portico};

pub(crate) fn add(trials: &mut Vec<Trial>) {
    test(trials, "E03::without_a_server_name", nameless);
    test(trials, "E04::spelling_of_a_server_name", spelling);
    test(trials, "E10::what_verifies_names_is_new_enough", webpki);
    test(trials, "E10::certificates_for_odd_names_verify_nobody", odd_names);
    test(trials, "E11::early_data_is_off", early_data);
}

/// Two hosts with certificates of their own beside the default.
async fn stage(flags: &[&str]) -> (Stage, Authority) {
    let authority = Authority::default();
    let documents = [secret("a", &authority.issue(&["a.test"])), secret("wild", &authority.issue(&["*.wild.test"]))];
    let shape = |site: Ingress| site.tls(&["a.test"], "a").tls(&["*.wild.test"], "wild");
    (Stage::shaped(portico().args(flags), shape, &documents).await, authority)
}

/// An address as the name sends none (RFC 6066 section 3).
async fn nameless() {
    let (stage, _) = stage(&[]).await;
    let stream = Tls::accepting_any().alpn(&["http/1.1"]).connect(stage.portico.https(), "192.0.2.1").await.unwrap();
    let names = dns_names(&leaf(&stream).unwrap());
    assert!(!names.iter().any(|name| name.contains("test")), "only the default certificate is shown: {names:?}");
    // There is one TLS policy, so the host is served (section 13 of the design); strictly it is not.
    let answer = Raw::new(stream).send(ASIDE).await.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let (stage, _) = self::stage(&["--strict-sni"]).await;
    if let Ok(mut raw) = Raw::connect_tls(stage.portico.https(), &Tls::accepting_any(), "192.0.2.1").await {
        let answer = raw.send(ASIDE).await.answer().await;
        assert_eq!(answer.status, 421, "{answer:?}");
    }
    assert_eq!(stage.log.connections(), 0, "nothing went on");
}

/// One normal form for names in handshakes and in `Host`; what has none of its own never gets another's.
async fn spelling() {
    let (stage, authority) = stage(&["--strict-sni"]).await;
    let tls = Tls::trusting(&authority).alpn(&["http/1.1"]);
    for (name, host) in [
        ("a.test", "A.Test."),
        ("A.TEST", "a.test"),
        ("x.wild.test", "X.Wild.Test:443"),
        ("X.Wild.TEST", "x.wild.test"),
    ] {
        let mut raw = Raw::connect_tls(stage.portico.https(), &tls, name).await.unwrap();
        let answer = raw.send(format!("GET /aside/ HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.answer().await;
        assert_eq!(answer.text(), "aside", "{name} {host}: {answer:?}");
    }
    for name in ["b.test", "wild.test", "y.x.wild.test", "aa.test", "a.test.evil"] {
        let connected = Raw::connect_tls(stage.portico.https(), &Tls::accepting_any(), name).await;
        assert!(connected.is_err(), "{name} was let in");
    }
    let mut raw = Raw::connect_tls(stage.portico.https(), &tls, "a.test").await.unwrap();
    let answer = raw.send("GET / HTTP/1.1\r\nHost: x.wild.test\r\n\r\n").await.answer().await;
    assert_eq!(answer.status, 421, "{answer:?}");
    assert!(stage.log.messages().is_empty(), "nothing went on");
}

/// RUSTSEC-2026-0098 and -0099 are mended in 0.103.13.
async fn webpki() {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
    let entry = lock.split("[[package]]").find(|entry| entry.contains("name = \"rustls-webpki\""));
    let version = entry.and_then(|entry| entry.split("version = \"").nth(1)?.split('"').next()).unwrap();
    let numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
    assert!(numbers >= vec![0, 103, 13], "rustls-webpki is {version}");
}

/// An upstream whose certificate has the wanted name as part of another.
async fn odd_names() {
    let authority = Authority::default();
    for names in [&["web.default.svc.evil.test"][..], &["*.test"], &["eweb.default.svc"], &["default.svc"], &["*.svc"]]
    {
        let echo = Echo::tls("web", &authority.issue(names), &["http/1.1"]).await;
        let documents = [
            Service::new("tls").annotation("portico.dev/upstream-protocol", "https").with(&[echo.address]),
            Ingress::new("tls").host("tls.test", "tls").to_string(),
        ];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &authority.pem).unwrap();
        let stage = Stage::with(portico().args(&["--upstream-ca", file.path().to_str().unwrap()]), &documents).await;
        let mut raw = Raw::connect(stage.portico.http()).await;
        let answer = raw.send("GET / HTTP/1.1\r\nHost: tls.test\r\n\r\n").await.answer().await;
        assert_eq!((answer.status, echo.requests()), (502, 0), "{names:?}: {answer:?}");
    }
}

/// A client that has a ticket may resume, and may not send anything before the handshake.
async fn early_data() {
    let (stage, _) = stage(&[]).await;
    let tls = Tls::version_1_3().alpn(&["http/1.1"]);
    let mut resumed = false;
    for _ in 0..2 {
        let stream = tls.connect(stage.portico.https(), "a.test").await.unwrap();
        resumed = Tls::resumed(&stream);
        let answer = Raw::new(stream).send(ASIDE).await.answer().await;
        assert_eq!(answer.text(), "aside", "{answer:?}");
    }
    assert!(resumed, "there is a session to send early data with");
    assert!(!tls.may_send_early("a.test").unwrap(), "early data is offered");
}
