//! toxiproxy between Portico and an upstream: it delays, resets and cuts what flows without knowing HTTP. `TOXIPROXY` names
//! the program, which `tests/faults/run` builds; without it the rows make do with upstreams that misbehave by themselves.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portico_tests::client::{Call, get};

use crate::backend::Backend;
use crate::row::Figures;
use crate::stage::{HOST, count, serve, within};
use crate::upstream;

/// A running toxiproxy; it ends when dropped.
pub(crate) struct Toxiproxy {
    process: Child,
    api: SocketAddr,
}

impl Toxiproxy {
    /// One on a port that nobody else has in the namespace of the rows; `None` when none is named.
    pub(crate) async fn start() -> Option<Self> {
        let program = std::env::var_os("TOXIPROXY")?;
        let api = SocketAddr::from(([127, 0, 0, 1], 8474));
        let mut command = Command::new(program);
        command.args(["-host", "127.0.0.1", "-port", "8474"]).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("TOXIPROXY names a program");
        let own = Self { process, api };
        let answers = within(Duration::from_secs(5), async || get(api, "localhost", "/version").await.is_ok());
        assert!(answers.await, "toxiproxy does not answer");
        Some(own)
    }

    /// A new way to an upstream with one toxic on what comes back; its address.
    async fn before(&self, upstream: SocketAddr, name: &str, toxic: &str, attributes: &str) -> SocketAddr {
        let proxy = format!(r#"{{"name":"{name}","listen":"127.0.0.1:0","upstream":"{upstream}","enabled":true}}"#);
        let made = self.ask("/proxies", proxy).await;
        self.ask(
            &format!("/proxies/{name}/toxics"),
            format!(r#"{{"type":"{toxic}","stream":"downstream","attributes":{{{attributes}}}}}"#),
        )
        .await;
        made["listen"].as_str().and_then(|text| text.parse().ok()).expect("it says where it listens")
    }

    async fn ask(&self, path: &str, body: String) -> serde_json::Value {
        let answer = Call::post(path, body).host("localhost").to(self.api).await.expect("toxiproxy answers");
        assert!(matches!(answer.status, 200 | 201), "{answer}");
        answer.json()
    }
}

impl Drop for Toxiproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// R03 once more: the way is reset as soon as the upstream answers.
pub(crate) async fn resets(figures: Figures) -> Figures {
    let Some(toxiproxy) = Toxiproxy::start().await else { return figures };
    let good = Backend::start(2).await;
    let bad = toxiproxy.before(good.address, "reset", "reset_peer", r#""timeout":0"#).await;
    let failed = upstream::failed_beside(bad, good.address).await;
    let (wrong, worst) = upstream::alone(bad).await;
    figures.none("toxiproxy: err of 50 GET", failed).none("POST not 502", wrong).within(
        "502 within",
        worst,
        Duration::from_millis(50),
    )
}

/// R04 once more: the way ends within the answer.
pub(crate) async fn cuts(figures: Figures) -> Figures {
    let Some(toxiproxy) = Toxiproxy::start().await else { return figures };
    let whole = Backend::start(10_000).await;
    let bad = toxiproxy.before(whole.address, "cut", "limit_data", r#""bytes":5000"#).await;
    let portico = serve(&[bad], &["--eject-after", "0"]).await;
    let mut clean = 0;
    for _ in 0..20 {
        clean += u64::from(get(portico.http(), HOST, "/").await.is_ok_and(|answer| answer.status == 200));
    }
    let kept = count(&portico, "portico_upstream_connections_idle", &[]).await;
    figures.none("toxiproxy: clean ends of 20", clean).none("connections kept", kept)
}

/// R05 once more: every answer is late, once within the time for it and once beyond.
pub(crate) async fn delays(figures: Figures) -> Figures {
    let Some(toxiproxy) = Toxiproxy::start().await else { return figures };
    let backend = Backend::start(2).await;
    let (timeout, most) = (Duration::from_millis(1000), Duration::from_millis(100));
    let mut figures = figures;
    for (name, delay, status) in [("late", 400_u64, 200), ("too-late", 3000, 504)] {
        let slow = toxiproxy.before(backend.address, name, "latency", &format!(r#""latency":{delay}"#)).await;
        let portico = serve(&[slow], &["--upstream-response-timeout", "1s"]).await;
        let begun = Instant::now();
        let answer = get(portico.http(), HOST, "/").await.map_or(0, |answer| answer.status);
        let off = begun.elapsed().abs_diff(timeout.min(Duration::from_millis(delay)));
        figures =
            figures.holds(&format!("toxiproxy, {delay} ms: {status}"), answer == status).within("off by", off, most);
    }
    figures
}
