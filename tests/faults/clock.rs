//! The wall clock jumps, in the eyes of the process: libfaketime answers its questions for the time of day.
//!
//! How far that reaches: what asks the C library for the time of day. Monotonic time is not touched, as the kernel would
//! not touch it either. Leases need an API server; their tests are with those on a cluster.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portico_tests::certificate::Authority;
use portico_tests::client::{Call, Connection, Tls, get};
use portico_tests::scripted::Scripted;
use portico_tests::{Ingress, Service, secret};

use crate::backend::Backend;
use crate::load::{Load, Shape};
use crate::row::Figures;
use crate::stage::{HOST, setup, within};

/// The first of October 2019 in seconds since 1970: the kit's short certificate is of that year.
const PAST: i64 = 1_569_888_000;
const HOUR: i64 = 3600;
const DECADE: i64 = 3650 * 24 * HOUR;

/// R22: an hour and ten years, forth and back.
pub(crate) async fn jumps() -> Figures {
    let library = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    ];
    let library = library.into_iter().find(|path| Path::new(path).exists()).expect("apt-get install faketime");
    let places = tempfile::tempdir().unwrap();
    let clock = places.path().join("clock");
    // When the certificate was still valid; the other jumps start here.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let past = PAST - i64::try_from(now).unwrap();
    std::fs::write(&clock, format!("{past:+}")).unwrap();
    let (backend, silent) = (Backend::start(2).await, Scripted::silent().await);
    let issued = Authority::new("faults").issue_expired(&[HOST]);
    let documents = [
        Ingress::new("web").host(HOST, "web").tls(&[HOST], "web").to_string(),
        Service::new("web").with(&[backend.address]),
        Ingress::new("silent").host("silent.test", "silent").to_string(),
        Service::new("silent").with(&[silent.address]),
        secret("web", &issued),
    ];
    let portico = setup()
        .manifests(documents)
        .args(&["--upstream-response-timeout", "1s"])
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap())
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .start()
        .await;
    let load = Load::start(4, &Shape { pace: Duration::from_millis(5), ..Shape::get(portico.http(), HOST) });
    let mut idle = Connection::plain(portico.http()).await.unwrap();
    let (mut off, mut wrong, mut handshakes) = (Duration::ZERO, 0, 0);
    for jump in [HOUR, -HOUR, DECADE, -DECADE, 0] {
        std::fs::write(&clock, format!("{:+}", past + jump)).unwrap();
        let begun = Instant::now();
        let status = get(portico.http(), "silent.test", "/").await.map_or(0, |answer| answer.status);
        wrong += u64::from(status != 504);
        off = off.max(begun.elapsed().abs_diff(Duration::from_secs(1)));
        let kept = idle.send(Call::get("/").host(HOST).request()).await.map_or(0, |answer| answer.status);
        wrong += u64::from(kept != 200);
        let secure = Call::get("/").host(HOST).to_tls(portico.https(), &Tls::accepting_any()).await;
        handshakes += u64::from(secure.map_or(0, |answer| answer.status) != 200);
    }
    // A change makes everything be looked at again: the certificate has expired by now and is only warned of.
    std::fs::write(&clock, "+0").unwrap();
    portico.write("touch.yaml", &Ingress::new("touch").host("touch.test", "web").to_string());
    let warned = within(Duration::from_secs(10), async || {
        portico
            .diagnostics()
            .await
            .iter()
            .any(|found| found["message"].as_str().is_some_and(|text| text.contains("expired")))
    });
    let warned = warned.await;
    let secure = Call::get("/").host(HOST).to_tls(portico.https(), &Tls::accepting_any()).await;
    let served = secure.map_or(0, |answer| answer.status) == 200;
    let outcome = load.stop().await;
    Figures::default()
        .within("504 off by", off, Duration::from_millis(100))
        .none("wrong answers", wrong)
        .none("failed handshakes", handshakes)
        .holds("expired certificate warned of", warned)
        .holds("and served", served)
        .none("err", outcome.failed())
        .note("lease: TestTwoLeaders on a cluster".to_owned())
}
