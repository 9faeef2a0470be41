//! Packets that get lost, in a network namespace made for it: `tests/faults/run` makes it, and nothing else is in it.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use portico_tests::client::{Call, Connection, get};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::row::Figures;
use crate::stage::{HOST, count, serve, within};

/// Rules that drop; gone when dropped.
struct Drops;

impl Drops {
    /// Drops what these words of nft match, in the own namespace.
    fn new(matching: &[String]) -> Self {
        let interfaces = std::fs::read_dir("/sys/class/net").unwrap().count();
        let links = Command::new("ip").args(["-o", "link"]).output().unwrap();
        let links = String::from_utf8_lossy(&links.stdout).lines().count();
        assert!(
            links == 1,
            "{links} links of {interfaces} here: rules are only made in a namespace of our own, by tests/faults/run"
        );
        let rules: String = matching.iter().map(|words| format!("add rule inet faults drops {words} drop\n")).collect();
        nft(&format!(
            "add table inet faults\nadd chain inet faults drops {{ type filter hook input priority 0; }}\n{rules}"
        ));
        Self
    }
}

impl Drop for Drops {
    fn drop(&mut self) {
        nft("delete table inet faults\n");
    }
}

fn nft(script: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let done = Command::new("nft").arg("-f").arg(file.path()).output().expect("apt-get install nftables");
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
}

/// R02: one of three swallows every SYN.
pub(crate) async fn black_hole() -> Figures {
    let (one, two, hole) = (Backend::start(2).await, Backend::start(2).await, Backend::start(2).await);
    let _drops = Drops::new(&[format!("tcp dport {}", hole.address.port())]);
    let portico = serve(&[one.address, hole.address, two.address], &["--eject-for", "30s"]).await;
    let (mut failed, mut times) = (0, Vec::new());
    for _ in 0..60 {
        let begun = Instant::now();
        failed += u64::from(get(portico.http(), HOST, "/").await.map_or(0, |answer| answer.status) != 200);
        times.push(begun.elapsed());
    }
    let hits = times.iter().filter(|time| **time > Duration::from_secs(1)).count();
    times.sort_unstable();
    let after = count(&portico, "portico_upstream_ejections_total", &[]).await;
    Figures::default()
        .none("err", failed)
        .within("slowest first hit", times[times.len() - 1], Duration::from_millis(2100))
        .at_most("first hits", f64::from(u32::try_from(hits).unwrap()), 3.0, "")
        .at_least("ejections", f64::from(u32::try_from(after).unwrap()), 1.0, "")
}

/// R28: a client's and an upstream's packets get lost once they are connected. Probes come every 5 s instead of 30 s, and
/// everything is expected in a sixth of the time.
pub(crate) async fn half_open() -> Figures {
    let (lost, good) = (Backend::start(2).await, Backend::start(2).await);
    let flags = ["--probe-interval", "5s", "--upstream-keep-alive", "10m", "--upstream-response-timeout", "4s"];
    let portico = serve(&[lost.address, good.address], &flags).await;
    let mut client = TcpStream::connect(portico.http()).await.unwrap();
    client.write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    client.read_u8().await.unwrap();
    let mut warm = Connection::plain(portico.http()).await.unwrap();
    for _ in 0..4 {
        warm.send(Call::get("/").host(HOST).request()).await.unwrap();
    }
    drop(warm);
    let idle = count(&portico, "portico_upstream_connections_idle", &[]).await;
    let own: SocketAddr = client.local_addr().unwrap();
    let drops = Drops::new(&[
        format!("tcp sport {}", own.port()),
        format!("tcp dport {}", own.port()),
        format!("tcp sport {}", lost.address.port()),
        format!("tcp dport {}", lost.address.port()),
    ]);
    let begun = Instant::now();
    let client_gone =
        within(Duration::from_secs(40), async || count(&portico, "portico_connections_active", &[]).await == 0);
    let client_gone = client_gone.await;
    let client_after = begun.elapsed();
    let pool_gone = within(Duration::from_secs(20), async || {
        count(&portico, "portico_upstream_connections_idle", &[]).await < idle
    });
    let pool_gone = pool_gone.await;
    let pool_after = begun.elapsed();
    let (mut failed, mut slow) = (0, Duration::ZERO);
    for _ in 0..10 {
        let asked = Instant::now();
        failed += u64::from(get(portico.http(), HOST, "/").await.map_or(0, |answer| answer.status) != 200);
        slow = slow.max(asked.elapsed());
    }
    drop(drops);
    Figures::default()
        .holds("client's connection gone", client_gone)
        .at_most("after", client_after.as_secs_f64(), 21.0, " s")
        .holds("pooled connection gone", pool_gone)
        .at_most("after", pool_after.as_secs_f64(), 21.0, " s")
        .none("err afterwards", failed)
        .within("slowest", slow, Duration::from_millis(2100))
}
