//! PROXY headers whole, in pieces, and broken ones.

use std::time::Duration;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = V2_SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(body.len()).expect("a short body").to_be_bytes());
    header.extend(body);
    header
}

fn v2_tcp4(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb];
    body.extend(extensions);
    v2(V2_PROXY, V2_TCP4, &body)
}

fn v2_tcp6(source: Ipv6Addr) -> Vec<u8> {
    let mut body = source.octets().to_vec();
    body.extend(Ipv6Addr::LOCALHOST.octets());
    body.extend([0x12, 0x67, 0x01, 0xbb]);
    v2(V2_PROXY, V2_TCP6, &body)
}

fn usable() -> Vec<(Vec<u8>, Option<&'static str>)> {
    vec![
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n".to_vec(), Some("192.0.2.7:4711")),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n".to_vec(), Some("[2001:db8::7]:4711")),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 443\r\n".to_vec(), Some("192.0.2.7:4711")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff::1 whatever it is 1 2 3 4 5\r\n".to_vec(), None),
        (v2_tcp4(b""), Some("192.0.2.7:4711")),
        (v2_tcp4(&[0x04, 0, 2, 1, 2]), Some("192.0.2.7:4711")),
        (v2_tcp4(&[0x20; 3000]), Some("192.0.2.7:4711")),
        (v2_tcp6("2001:db8::7".parse().expect("an address")), Some("[2001:db8::7]:4711")),
        (v2_tcp6(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped()), Some("192.0.2.7:4711")),
        (v2(V2_LOCAL, V2_UNSPECIFIED, b""), None),
        (v2(V2_LOCAL, V2_TCP4, b"short"), None),
        (v2(V2_PROXY, V2_UNSPECIFIED, b"ignored"), None),
        (v2(V2_PROXY, V2_UNIX, &[0; 216]), None),
    ]
}

/// A connected pair of sockets: sender, receiver.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (sender, received) = tokio::join!(TcpStream::connect(address), listener.accept());
    let sender = sender.expect("connected");
    sender.set_nodelay(true).expect("an option");
    (sender, received.expect("accepted").0)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test]
async fn headers_arrive_octet_by_octet_and_leave_the_rest() {
    for (header, expected) in usable() {
        let (mut sender, mut receiver) = pair().await;
        let shown = String::from_utf8_lossy(&header).into_owned();
        let send = async move {
            for octet in header.iter().take(64) {
                sender.write_all(&[*octet]).await.expect("sent");
                tokio::task::yield_now().await;
            }
            sender.write_all(&header[header.len().min(64)..]).await.expect("sent");
            sender.write_all(b"GET / HTTP/1.1\r\n").await.expect("sent");
            sender
        };
        let (mut sender, read) = tokio::join!(send, read(&mut receiver, soon()));
        let (client, mut rest) = read.unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!(client, expected.map(|text| text.parse().expect("an address")), "{shown}");
        sender.shutdown().await.expect("shut down");
        receiver.read_buf(&mut rest).await.expect("the rest");
        while receiver.read_buf(&mut rest).await.expect("the rest") > 0 {}
        assert_eq!(&rest[..], b"GET / HTTP/1.1\r\n", "{shown}");
    }
}

#[test]
fn every_shorter_piece_of_a_header_asks_for_more() {
    for (header, _) in usable() {
        for length in 0..header.len() {
            assert_eq!(parse(&header[..length]).expect("a beginning"), None, "{length} of {header:?}");
        }
    }
}

#[test]
fn what_is_no_header_is_refused() {
    let long_v1 = [&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat();
    let long_v2 = [V2_SIGNATURE, &[V2_PROXY, V2_TCP4, 0xff, 0xff]].concat();
    for octets in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"X",
        b"\x16\x03\x01",
        b"PROXY  TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443 \r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 04711 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 +4711 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        b"PROXY TCP4 192.0.2.007 198.51.100.1 4711 443\r\n",
        b"PROXY TCP4 ::1 ::1 4711 443\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 4711 443\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 443\r\n",
        b"PROXY \xff\r\n",
        b"PROXY \r\n",
        &long_v1,
        &long_v2,
        &v2(0x11, V2_TCP4, &[0; 12]),
        &v2(0x22, V2_TCP4, &[0; 12]),
        &v2(V2_PROXY, 0x12, &[0; 12]),
        &v2(V2_PROXY, 0x41, &[0; 12]),
        &v2(V2_PROXY, V2_TCP4, &[0; 11]),
        &v2(V2_PROXY, V2_TCP6, &[0; 35]),
    ] {
        let result = parse(octets);
        assert!(matches!(result, Err(ProxyProtocolError::Malformed(_))), "{octets:?}: {result:?}");
    }
}

#[tokio::test]
async fn ends_and_deadlines() {
    let (sender, mut receiver) = pair().await;
    drop(sender);
    assert!(matches!(read(&mut receiver, soon()).await, Err(ProxyProtocolError::Empty)));

    let (mut sender, mut receiver) = pair().await;
    sender.write_all(b"PROXY TCP4").await.expect("sent");
    drop(sender);
    assert!(matches!(read(&mut receiver, soon()).await, Err(ProxyProtocolError::Closed)));

    let (mut sender, mut receiver) = pair().await;
    sender.write_all(b"PROXY TCP4").await.expect("sent");
    let deadline = Instant::now() + Duration::from_millis(20);
    assert!(matches!(read(&mut receiver, deadline).await, Err(ProxyProtocolError::Timeout)));
}

proptest! {
    #[test]
    fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..600), version in 0..3) {
        let beginning: &[u8] = match version { 1 => V1_SIGNATURE, 2 => V2_SIGNATURE, _ => b"" };
        let octets = [beginning, &octets].concat();
        if let Ok(Some(header)) = parse(&octets) {
            prop_assert!(header.length <= octets.len() && header.length <= LONGEST);
        }
    }

    #[test]
    fn version_1_reads_what_is_written(source: Ipv6Addr, destination: Ipv6Addr, ports: (u16, u16)) {
        let line = format!("PROXY TCP6 {source} {destination} {} {}\r\n", ports.0, ports.1);
        let header = parse(line.as_bytes()).expect("a header");
        prop_assert_eq!(header, Some(Header { length: line.len(), client: Some((source, ports.0).into()) }));
    }
}
