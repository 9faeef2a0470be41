//! What an attacker's connection costs in memory; a process of its own, because what others allocate would count.

#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
#[path = "../kit/mod.rs"]
mod kit;

use kit::{Proxy, eventually};

/// What the binary allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Resident memory of this process in octets.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<usize>().ok()).expect("a number") * 1024
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block of a request with that many empty cookies, each of one octet but for the first.
fn block(crumbs: usize) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x84, 0x41, 0x01, b'a', 0x60, 0];
    block.resize(block.len() + crumbs - 1, 0xbe);
    block
}

/// CVE-2026-49975: indexed fields of one octet that become 100 in memory, on streams whose window never opens.
#[tokio::test]
async fn streams_full_of_crumbs_pin_little() {
    const CONNECTIONS: u64 = 10;
    let proxy = Proxy::start(&[], |config| config.bindings[0].h2c = true).await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = proxy.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        client.send(&frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
        clients.push(client);
    }
    eventually("all are open", || proxy.counted(|worker| worker.connections_active.get()) == CONNECTIONS).await;
    let before = resident();
    for client in &mut clients {
        let streams = (0..100).flat_map(|stream| frame(1, 4, stream * 2 + 1, &block(400)));
        client.send(&streams.collect::<Vec<_>>()).await;
    }
    // Their answers wait for a window.
    eventually("all are answered", || proxy.running.metrics().requests_in_flight() == CONNECTIONS * 100).await;
    let each = resident().saturating_sub(before) / CONNECTIONS as usize;
    println!("{each} octets a connection");
    assert!(each < 2_500_000, "{each} octets a connection; 5 million when nothing is held back");
}
