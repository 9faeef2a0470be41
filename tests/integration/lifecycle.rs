//! Beginning and ending: ready only with a table, signals, and clear words when it cannot start.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use portico_tests::client::{Call, Connection, Tls, get};
use portico_tests::process::{Process, Signal};
use portico_tests::{Echo, Portico, wait_until};

use crate::portico;
use crate::site::{one, simple, simple_with};

#[tokio::test]
async fn the_first_answer_already_knows_the_table() {
    let echo = Echo::start("web").await;
    let mut process = portico().manifests(one(echo.address)).spawn();
    let addresses = process.addresses().await;
    // Ready or not, whoever gets through gets the right answer: nothing is answered from an empty table.
    let answer = wait_until("an answer", async || get(addresses.http, "a.test", "/").await).await;
    assert_eq!(answer.backend(), Some("web"), "{answer}");
    wait_until("readiness", async || match get(addresses.status, "status", "/readyz").await {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn an_empty_directory_is_a_table_too() {
    let portico = portico().start().await;
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().status, 404);
    portico.apply(Vec::<String>::new());
    assert_eq!(portico.status("/readyz").await.status, 200);
}

/// Ends a process by SIGTERM and returns its exit code.
async fn terminated(process: &mut Process) -> Option<i32> {
    process.signal(Signal::TERM);
    process.exit().await.code()
}

#[tokio::test]
async fn sigterm_when_idle_exits_0() {
    let (_echo, mut portico) = simple_with(&["--drain-delay", "0", "--drain-timeout", "5s"]).await;
    assert_eq!(terminated(&mut portico.process).await, Some(0));
}

async fn unready(portico: &Portico) {
    wait_until("readiness to be taken back", async || {
        let answer = portico.status("/readyz").await;
        if answer.status == 503 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn during_the_drain_delay_it_still_accepts_and_says_close() {
    let (_echo, mut portico) = simple_with(&["--drain-delay", "2s", "--drain-timeout", "10s"]).await;
    let mut kept = Connection::plain(portico.http()).await.unwrap();
    let before = kept.send(Call::get("/").host("a.test").request()).await.unwrap();
    assert_eq!(before.header("connection"), None, "{before}");
    let start = Instant::now();
    portico.process.signal(Signal::TERM);
    unready(&portico).await;
    assert_eq!(portico.status("/healthz").await.status, 200);
    let old = kept.send(Call::get("/").host("a.test").request()).await.unwrap();
    let new = get(portico.http(), "a.test", "/").await.unwrap();
    for answer in [old, new] {
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer}");
    }
    let tls = Call::get("/").host("a.test").http2().to_tls(portico.https(), &Tls::accepting_any()).await.unwrap();
    assert_eq!(tls.status, 200);
    assert_eq!(portico.process.exit().await.code(), Some(0));
    assert!(start.elapsed() >= Duration::from_secs(2), "left after {:?}", start.elapsed());
}

#[tokio::test]
async fn requests_in_flight_finish() {
    let (echo, mut portico) = simple_with(&["--drain-delay", "0", "--drain-timeout", "1h"]).await;
    let mut h1 = Connection::plain(portico.http()).await.unwrap();
    let mut h2 = Connection::tls_http2(portico.https(), &Tls::accepting_any(), "a.test").await.unwrap();
    let call = Call::get("/").host("a.test").header("x-echo-hold", "1").header("x-echo-size", "1000000");
    let (one, two) = (call.request(), call.clone().http2().request());
    let one = tokio::spawn(async move { h1.send(one).await.map_err(|error| error.to_string()) });
    let two = tokio::spawn(async move { h2.send(two).await.map_err(|error| error.to_string()) });
    wait_until("both in flight", async || if echo.in_flight() == 2 { Ok(()) } else { Err(echo.in_flight()) }).await;
    portico.process.signal(Signal::TERM);
    wait_until("the end of accepting", async || match get(portico.http(), "a.test", "/").await {
        Err(_) => Ok(()),
        Ok(answer) => Err(answer),
    })
    .await;
    assert!(!portico.process.ended());
    echo.release();
    for answer in [one, two] {
        let answer = answer.await.unwrap().unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 1_000_000), "{:?}", answer.headers);
    }
    assert_eq!(portico.process.exit().await.code(), Some(0));
}

/// Requests that outlive the drain are cut; the process ends all the same.
#[tokio::test]
async fn the_drain_ends_at_its_timeout() {
    let (echo, mut portico) = simple_with(&["--drain-delay", "0", "--drain-timeout", "300ms"]).await;
    let address = portico.http();
    let call = Call::get("/").host("a.test").header("x-echo-hold", "1");
    let held = tokio::spawn(async move { call.to(address).await.map_err(|error| error.to_string()) });
    wait_until("the request in flight", async || if echo.in_flight() == 1 { Ok(()) } else { Err("none") }).await;
    assert_eq!(terminated(&mut portico.process).await, Some(0));
    assert!(held.await.unwrap().is_err());
}

#[tokio::test]
async fn a_second_sigterm_ends_at_once() {
    let (echo, mut portico) = simple_with(&["--drain-delay", "1h", "--drain-timeout", "1h"]).await;
    let address = portico.http();
    let call = Call::get("/").host("a.test").header("x-echo-hold", "1");
    let held = tokio::spawn(async move { call.to(address).await.map_err(|error| error.to_string()) });
    wait_until("the request in flight", async || if echo.in_flight() == 1 { Ok(()) } else { Err("none") }).await;
    portico.process.signal(Signal::TERM);
    unready(&portico).await;
    terminated(&mut portico.process).await;
    assert!(held.await.unwrap().is_err());
}

#[tokio::test]
async fn sigint_ends_like_sigterm() {
    let (_echo, mut portico) = simple_with(&["--drain-delay", "0"]).await;
    portico.process.signal(Signal::INT);
    assert_eq!(portico.process.exit().await.code(), Some(0));
}

#[tokio::test]
async fn sighup_reads_again_and_keeps_serving() {
    let (_echo, mut portico) = simple().await;
    let log = portico.process.stderr().len();
    portico.process.signal(Signal::HUP);
    wait_until("word of it", async || if portico.process.stderr().len() > log { Ok(()) } else { Err("silence") }).await;
    assert!(!portico.process.ended());
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().status, 200);
}

/// One clear line on stderr and exit code 2.
async fn refuses_to_start(arguments: &[&str], word: &str) {
    let mut process = portico().args(arguments).spawn();
    let code = process.exit().await.code();
    let error = wait_until("its words", async || {
        let error = process.stderr();
        if error.trim().is_empty() { Err("silence") } else { Ok(error) }
    })
    .await;
    assert_eq!(code, Some(2), "{arguments:?}: {error}");
    assert!(error.contains(word), "{word} in {error}");
    assert!(!error.contains("panicked"), "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_said_in_a_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--http", "--https", "--status", "--admin"] {
        refuses_to_start(&[flag, &address], &address).await;
    }
}

#[tokio::test]
async fn a_bad_flag_is_said_in_a_line() {
    for (arguments, word) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["--http", "nowhere"], "--http"),
        (&["--drain-delay", "soon"], "--drain-delay"),
        (&["--trusted-proxies", "lo"], "--trusted-proxies"),
        (&["--workers", "many"], "--workers"),
        (&["--default-tls-secret", "justaname"], "--default-tls-secret"),
        (&["--tls-cipher-suites", "TLS_NONE"], "TLS_NONE"),
        (&["--upstream-ca", "/absent.pem"], "/absent.pem"),
    ] {
        refuses_to_start(arguments, word).await;
    }
}

#[tokio::test]
async fn an_unreadable_path_is_said_in_a_line() {
    refuses_to_start(&["--manifests", "/absent/manifests"], "/absent/manifests").await;
}
