//! A name service on loopback: answers A and AAAA queries from a table that a test may change (RFC 1035 section 4).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Names in lower case without trailing dot, and their addresses.
type Table = Arc<Mutex<HashMap<String, Vec<IpAddr>>>>;

/// A listening name service; names that it does not know do not exist.
#[derive(Debug)]
pub struct Dns {
    /// Where it listens (UDP).
    pub address: SocketAddr,
    table: Table,
    task: JoinHandle<()>,
}

impl Dns {
    /// On a port of 127.0.0.1, knowing nothing.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a loopback address can be bound");
        let address = socket.local_addr().expect("a socket has an address");
        let table = Table::default();
        let known = table.clone();
        let task = tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut query).await {
                let answer = answer(&query[..length], &known);
                // A client that has gone asks again.
                let _ = socket.send_to(&answer, client).await;
            }
        });
        Self { address, table, task }
    }

    /// Sets the addresses of a name.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.table.lock().expect("no holder panics").insert(name.to_owned(), addresses.to_vec());
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(query: &[u8], table: &Table) -> Vec<u8> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let question = &query[HEADER..at + 5];
    let wanted = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let known = table.lock().expect("no holder panics").get(&labels.join(".")).cloned();
    let records: Vec<(u16, Vec<u8>)> = known
        .iter()
        .flatten()
        .map(|address| match address {
            IpAddr::V4(v4) => (A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (AAAA, v6.octets().to_vec()),
        })
        .filter(|(kind, _)| *kind == wanted)
        .collect();
    let code = if known.is_some() { 0 } else { NAME_ERROR };
    let count = u16::try_from(records.len()).expect("a test has few addresses");
    // Same identifier; a response, authoritative, recursion as asked.
    let mut out = vec![query[0], query[1], 0x84 | query[2] & 1, 0x80 | code, 0, 1];
    out.extend(count.to_be_bytes());
    out.extend([0; 4]);
    out.extend(question);
    for (kind, octets) in records {
        // The name is the one asked about.
        out.extend([0xc0, u8::try_from(HEADER).expect("twelve")]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out.extend(TIME_TO_LIVE.to_be_bytes());
        out.extend(u16::try_from(octets.len()).expect("at most sixteen").to_be_bytes());
        out.extend(octets);
    }
    out
}

const HEADER: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;
const NAME_ERROR: u8 = 3;
/// Seconds.
const TIME_TO_LIVE: u32 = 1;
