//! The name service of ExternalName Services fails.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use portico_tests::client::get;
use portico_tests::dns::Dns;
use portico_tests::{Ingress, Service};
use serde_json::json;
use tokio::net::UdpSocket;

use crate::backend::Backend;
use crate::load::{Load, Shape};
use crate::row::Figures;
use crate::stage::{HOST, setup};

/// R29: the name service falls silent after its first answer, and never knew another name.
pub(crate) async fn failure() -> Figures {
    let (dns, backend) = (Dns::start().await, Backend::start(2).await);
    let port = backend.address.port();
    dns.set("known.example.com", &[IpAddr::from([127, 0, 0, 1])]);
    let between = Between::start(dns.address).await;
    let named = |name: &str, external: &str| {
        let service = Service::new(name)
            .spec("type", json!("ExternalName"))
            .spec("externalName", json!(external))
            .ports(json!([{"port": port}]));
        let ingress = Ingress::new(name).host(&format!("{name}.test"), &format!("{name}:{port}"));
        [ingress.to_string(), service.to_string()]
    };
    let documents = [
        named("known", "known.example.com"),
        named("unknown", "unknown.example.com"),
        [Ingress::new("web").host(HOST, "web").to_string(), Service::new("web").with(&[backend.address])],
    ];
    let portico = setup()
        .manifests(documents.concat())
        .args(&["--resolver", &between.address.to_string(), "--allow-local-external-names"])
        .start()
        .await;
    portico.answers_status("known.test", "/", 200).await;
    between.silent.store(true, SeqCst);
    let others = Load::start(2, &Shape { pace: Duration::from_millis(5), ..Shape::get(portico.http(), HOST) });
    let (mut lost, mut slow, mut odd) = (0, Duration::ZERO, 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        lost += u64::from(get(portico.http(), "known.test", "/").await.map_or(0, |answer| answer.status) != 200);
        let asked = Instant::now();
        let status = get(portico.http(), "unknown.test", "/").await.map_or(0, |answer| answer.status);
        odd += u64::from(!matches!(status, 502 | 503));
        slow = slow.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let others = others.stop().await;
    Figures::default()
        .none("err of the known name over 12 s", lost)
        .none("unknown name not 502 or 503", odd)
        .within("which comes within", slow, Duration::from_millis(100))
        .none("err of others", others.failed())
        .within("p99 of others", others.quantile(0.99), Duration::from_millis(100))
        .note("5 min: unit tests with a paused clock".to_owned())
}

/// Passes questions and answers on until it falls silent.
struct Between {
    address: SocketAddr,
    silent: Arc<AtomicBool>,
}

impl Between {
    async fn start(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, silent) = (socket.local_addr().unwrap(), Arc::<AtomicBool>::default());
        let quiet = silent.clone();
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet).await {
                if quiet.load(SeqCst) {
                    continue;
                }
                let onward = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                onward.send_to(&packet[..length], to).await.unwrap();
                let answer = tokio::time::timeout(Duration::from_secs(1), onward.recv(&mut packet)).await;
                if let Ok(Ok(length)) = answer {
                    let _ = socket.send_to(&packet[..length], client).await;
                }
            }
        });
        Self { address, silent }
    }
}
