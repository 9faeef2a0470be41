//! The PROXY protocol: a header is found at the same octet however it comes, and names the client that its text names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::listener::proxy_protocol::{Header, parse};

/// What a balancer sends first.
pub fn proxy_protocol(octets: &[u8]) {
    let whole = parse(octets).map_err(|_| ());
    // As it comes, octet by octet: nothing is said before the end of the header, and nothing else behind it. What is wrong
    // may be told before everything is there, and stays wrong.
    let mut wrong = false;
    for length in 0..=octets.len().min(LONGEST + 8) {
        let part = parse(&octets[..length]).map_err(|_| ());
        match (&part, &whole) {
            (Ok(Some(header)), _) => {
                assert!(header.length <= length && !wrong);
                assert_eq!(part, whole, "at {length}");
            }
            (Ok(None), Ok(Some(header))) => assert!(length < header.length, "at {length}"),
            (Ok(None), _) => assert!(length < LONGEST && !wrong, "more is waited for at {length}"),
            (Err(()), _) => {
                assert!(whole.is_err(), "at {length}");
                wrong = true;
            }
        }
    }
    if let Ok(Some(header)) = whole {
        assert!(header.length <= octets.len() && header.length <= LONGEST);
        let text = &octets[..header.length];
        let expected = if text.starts_with(b"PROXY") { first(text) } else { second(text) };
        assert_eq!(Some(header), expected.map(|client| Header { length: text.len(), client }));
    }
}

/// Version 1 by its words.
fn first(text: &[u8]) -> Option<Option<SocketAddr>> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix("\r\n")?;
    assert!(!text.contains("\r\n") && text.len() <= 105);
    let words: Vec<_> = text.split(' ').collect();
    if words.get(1) == Some(&"UNKNOWN") {
        return Some(None);
    }
    let [_, family, source, destination, source_port, destination_port] = words[..] else { return None };
    let address = |word: &str| word.parse::<IpAddr>().ok().filter(|a| a.is_ipv4() == (family == "TCP4"));
    let port = |word: &str| word.parse::<u16>().ok().filter(|port| port.to_string() == word);
    address(destination).zip(port(destination_port))?;
    assert!(matches!(family, "TCP4" | "TCP6"));
    Some(Some((address(source)?, port(source_port)?).into()))
}

/// Version 2 by its offsets.
fn second(text: &[u8]) -> Option<Option<SocketAddr>> {
    assert_eq!(text.len(), 16 + (usize::from(text[14]) << 8) + usize::from(text[15]));
    let port = |at: usize| u16::from_be_bytes([text[at], text[at + 1]]);
    Some(match (text[12], text[13]) {
        (0x20, _) | (0x21, 0x00 | 0x31) => None,
        (0x21, 0x11) => Some((Ipv4Addr::new(text[16], text[17], text[18], text[19]), port(24)).into()),
        (0x21, 0x21) => {
            let mut address = [0; 16];
            address.copy_from_slice(&text[16..32]);
            Some((Ipv6Addr::from(address), port(48)).into())
        }
        _ => return None,
    })
}

/// Longest header that may be waited for.
const LONGEST: usize = 4096;
