//! Everything together: real files, real sockets, and signals that come from the test.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use portico_dataplane::Config;
use portico_dataplane::config::Binding;
use portico_tests::client::{Answer, Call, get};
use portico_tests::manifest::{Path, Service};
use portico_tests::{Echo, Ingress, wait_until};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Addresses, App, Ending, Settings, Signal, Signals, SourceSettings, StartError};
use crate::view::diagnostics::DiagnosticsView;
use crate::view::explain::ExplainView;
use crate::view::routes::RoutesView;

struct Running {
    directory: TempDir,
    addresses: Addresses,
    signals: mpsc::Sender<Signal>,
    ended: JoinHandle<Result<Ending, StartError>>,
    echo: Echo,
}

impl Running {
    async fn start(drain_delay: Duration) -> Self {
        let echo = Echo::start("one").await;
        let directory = tempfile::tempdir().expect("a directory");
        let app = App::bind(settings(&directory, drain_delay)).await.expect("it starts");
        let addresses = app.addresses().clone();
        let (signals, receiver) = Signals::from_sender();
        let ended = tokio::spawn(app.run(receiver));
        let running = Self { directory, addresses, signals, ended, echo };
        running.write("a.yaml", &Ingress::new("a").path("a.test", Path::P, "/", "one").to_string());
        running.write("service.yaml", &Service::new("one").with(&[running.echo.address]));
        wait_until("a first answer", async || running.answer().await).await;
        running
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).expect("written");
    }

    async fn answer(&self) -> Result<Answer, String> {
        match get(self.addresses.dataplane[0], "a.test", "/x").await {
            Ok(answer) if answer.status == 200 => Ok(answer),
            Ok(answer) => Err(answer.status.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn status(&self, path: &str) -> (u16, String) {
        let answer = get(self.addresses.status, "status", path).await.expect("it answers");
        (answer.status, answer.text())
    }

    async fn admin<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let answer = get(self.addresses.admin, "localhost", path).await.expect("it answers");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{path}");
        serde_json::from_slice(&answer.body).expect("what the types say")
    }
}

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn settings(directory: &TempDir, drain_delay: Duration) -> Settings {
    let bindings = vec![Binding::ingress(local(), false), Binding::ingress(local(), true)];
    let dataplane = Config { bindings, drain_delay, drain_timeout: Duration::from_secs(2), ..Config::default() };
    Settings {
        source: SourceSettings::Manifests(vec![directory.path().to_owned()]),
        options: portico_compile::Options::default(),
        dataplane,
        status: local(),
        admin: local(),
        hold_off: Duration::from_millis(20),
        resolver: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn life_from_readiness_to_drain() {
    let running = Running::start(Duration::from_millis(300)).await;
    assert_eq!(running.status("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(running.status("/readyz").await, (200, "ok\n".to_owned()));
    for path in ["/", "/routes", "/metrics/", "/metrics/../healthz"] {
        assert_eq!(running.status(path).await.0, 404, "{path}");
    }
    assert_eq!(get(running.addresses.admin, "localhost", "/metrics").await.expect("an answer").status, 404);
    running.signals.send(Signal::Terminate).await.expect("it runs");
    let draining = (503, "draining\n".to_owned());
    wait_until("unreadiness", async || match running.status("/readyz").await {
        answer if answer == draining => Ok(()),
        answer => Err(format!("{answer:?}")),
    })
    .await;
    running.answer().await.expect("served during the delay");
    assert_eq!(running.ended.await.expect("no panic").expect("it ran"), Ending::Drained { cut: 0 });
    let refused = tokio::net::TcpStream::connect(running.addresses.status).await;
    assert!(refused.is_err(), "the status address is given up last");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_signal_ends_at_once() {
    let running = Running::start(Duration::from_secs(3600)).await;
    running.signals.send(Signal::Terminate).await.expect("it runs");
    running.signals.send(Signal::Terminate).await.expect("it drains");
    assert_eq!(running.ended.await.expect("no panic").expect("it ran"), Ending::AtOnce);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_take_effect_and_are_told() {
    let running = Running::start(Duration::ZERO).await;
    let other = Echo::start("two").await;
    running.write("service.yaml", &Service::new("one").with(&[other.address]));
    wait_until("the other backend", async || match running.answer().await?.backend() {
        Some("two") => Ok(()),
        backend => Err(format!("{backend:?}")),
    })
    .await;
    running.write("b.yaml", &Ingress::new("b").path("b.test", Path::E, "/b", "missing").to_string());
    let routes = wait_until("the other route", async || {
        let routes: RoutesView = running.admin("/routes").await;
        if routes.listeners[0].hosts.len() == 2 { Ok(routes) } else { Err("not yet") }
    })
    .await;
    assert_eq!(routes.upstreams[0].endpoints, [other.address.to_string()]);
    let told: DiagnosticsView = running.admin("/diagnostics").await;
    assert!(told.diagnostics.iter().any(|it| it.code == "ServiceNotFound" && it.location.is_some()), "{told:?}");
    let good: ExplainView = running.admin("/explain?url=http%3A%2F%2Fa.test%2Fx").await;
    assert!(good.served && good.route.is_some_and(|route| route.origin.place.is_some()));
    let bad: ExplainView = running.admin("/explain?url=http://b.test/b").await;
    assert_eq!((bad.served, bad.status, bad.diagnostics.len()), (false, Some(503), 1));
    for query in ["", "?url=nonsense", "?url=http://a/&method=%20", "?url=http://a/&header=x"] {
        let answer = get(running.addresses.admin, "localhost", &format!("/explain{query}")).await.expect("an answer");
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(answer.json()["error"].is_string());
    }
    running.signals.send(Signal::Rescan).await.expect("it runs");
    running.answer().await.expect("nothing changes");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_every_side() {
    let running = Running::start(Duration::ZERO).await;
    let answer = Call::get("/metrics").to(running.addresses.status).await.expect("an answer");
    assert!(answer.header("content-type").is_some_and(|it| it.starts_with("application/openmetrics-text")));
    let text = answer.text();
    for line in [
        "portico_build_info{version=\"",
        "portico_table_generation ",
        "portico_compile_seconds_count ",
        "portico_change_effect_seconds_count ",
        "portico_diagnostics{code=\"NoEndpoints\"} ",
        "portico_diagnostics{code=\"LimitReached\"} 0",
        "portico_objects{kind=\"Ingress\"} 1",
        "portico_compile_panics_total 0",
        "portico_source_errors_total 0",
        "portico_dns_names 0",
        "portico_last_change_age_seconds ",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_start_time_seconds ",
        "# EOF",
    ] {
        assert!(text.lines().any(|it| it.starts_with(line)), "{line} in\n{text}");
    }
    let mut families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect::<Vec<_>>();
    let count = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), count, "no family comes twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let holder = std::net::TcpListener::bind(local()).expect("a free port");
    let taken = holder.local_addr().expect("an address");
    let fresh = || settings(&directory, Duration::ZERO);
    let nowhere = directory.path().join("nowhere");
    let dataplane = Config { bindings: vec![Binding::ingress(taken, false)], ..fresh().dataplane };
    for (settings, beginning) in [
        (Settings { dataplane, ..fresh() }, format!("cannot listen on {taken}: ")),
        (Settings { status: taken, ..fresh() }, format!("cannot listen on {taken} for status: ")),
        (Settings { admin: taken, ..fresh() }, format!("cannot listen on {taken} for admin: ")),
        (
            Settings { source: SourceSettings::Manifests(vec![nowhere.clone()]), ..fresh() },
            format!("cannot read {}: ", nowhere.display()),
        ),
    ] {
        let error = App::bind(settings).await.expect_err("it cannot start").to_string();
        assert!(error.starts_with(&beginning) && !error.contains('\n'), "{error}");
    }
}
