//! The PROXY protocol, versions 1 and 2, as a receiver behind trusted senders.
//!
//! Knows the header, not who may send it. Invariant: no header over 4,096 octets is waited for, another protocol
//! is refused by its first octets, and octets after the header are handed on untouched.
//! Specification: HAProxy's proxy-protocol.txt, sections 2.1 and 2.2.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use super::tcp::canonical;

/// Why there is no usable header.
#[derive(Debug, thiserror::Error)]
pub enum ProxyProtocolError {
    /// The connection ended before its first octet, as a balancer's health check does.
    #[error("closed before the first octet")]
    Empty,
    /// The connection ended within the header.
    #[error("closed within the header")]
    Closed,
    /// The header was not whole at the deadline.
    #[error("no whole header in time")]
    Timeout,
    /// The octets are no header.
    #[error("{0}")]
    Malformed(&'static str),
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads the header that a connection must begin with.
///
/// Returns the client's address, canonical (`None` when the sender speaks for itself or does not know: the peer's address
/// counts then), and octets that came after the header.
pub async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    deadline: Instant,
) -> Result<(Option<SocketAddr>, BytesMut), ProxyProtocolError> {
    let mut octets = BytesMut::with_capacity(CHUNK);
    loop {
        octets.reserve(CHUNK);
        let count =
            timeout_at(deadline, stream.read_buf(&mut octets)).await.map_err(|_| ProxyProtocolError::Timeout)??;
        match parse(&octets)? {
            Some(header) => {
                octets.advance(header.length);
                return Ok((header.client.map(canonical), octets));
            }
            None if count > 0 => {}
            None if octets.is_empty() => return Err(ProxyProtocolError::Empty),
            None => return Err(ProxyProtocolError::Closed),
        }
    }
}

/// A whole header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: usize,
    pub(crate) client: Option<SocketAddr>,
}

/// The header at the beginning of `octets`; `None` when more are needed.
pub(crate) fn parse(octets: &[u8]) -> Result<Option<Header>, ProxyProtocolError> {
    let begins = |signature: &[u8]| {
        let common = signature.len().min(octets.len());
        octets[..common] == signature[..common]
    };
    if begins(V1_SIGNATURE) {
        parse_v1(octets)
    } else if begins(V2_SIGNATURE) {
        parse_v2(octets)
    } else {
        Err(ProxyProtocolError::Malformed("not a PROXY protocol header"))
    }
}

/// `PROXY TCP4 source destination source-port destination-port CRLF`.
fn parse_v1(octets: &[u8]) -> Result<Option<Header>, ProxyProtocolError> {
    let window = &octets[..octets.len().min(LONGEST_V1)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        let longer = octets.len() >= LONGEST_V1;
        return if longer { Err(ProxyProtocolError::Malformed("version 1 header too long")) } else { Ok(None) };
    };
    let malformed = || ProxyProtocolError::Malformed("malformed version 1 header");
    let line = octets.get(V1_SIGNATURE.len()..end).ok_or_else(malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| malformed())?;
    let mut words = line.split(' ');
    let client = match words.next() {
        // Whatever follows has to be ignored.
        Some("UNKNOWN") => None,
        Some(family @ ("TCP4" | "TCP6")) => {
            let (source, destination) = (address(words.next(), family), address(words.next(), family));
            let (source_port, destination_port) = (port(words.next()), port(words.next()));
            let whole = destination.and(destination_port).filter(|_| words.next().is_none());
            let client = whole.and(source.zip(source_port)).ok_or_else(malformed)?;
            Some(client.into())
        }
        _ => return Err(malformed()),
    };
    Ok(Some(Header { length: end + 2, client }))
}

fn address(word: Option<&str>, family: &str) -> Option<IpAddr> {
    if family == "TCP4" {
        word?.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    } else {
        word?.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    }
}

/// A decimal port in its shortest form.
fn port(word: Option<&str>) -> Option<u16> {
    let word = word?;
    let canonical = word.bytes().all(|octet| octet.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| canonical)
}

/// Signature, version and command, family and transport, length, then addresses and extensions, which are skipped.
fn parse_v2(octets: &[u8]) -> Result<Option<Header>, ProxyProtocolError> {
    let Some((fixed, rest)) = octets.split_at_checked(V2_FIXED) else { return Ok(None) };
    let (command, family) = (fixed[12], fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if !matches!(command, V2_LOCAL | V2_PROXY) {
        return Err(ProxyProtocolError::Malformed("unknown version 2 command"));
    }
    if V2_FIXED + length > LONGEST {
        return Err(ProxyProtocolError::Malformed("version 2 header too long"));
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let short = ProxyProtocolError::Malformed("version 2 addresses too short");
    let client = match (command, family) {
        (V2_LOCAL, _) | (_, V2_UNSPECIFIED | V2_UNIX) => None,
        (_, V2_TCP4) => {
            let (Some(source), Some(port)) = (body.first_chunk::<4>(), body.get(8..12)) else { return Err(short) };
            Some((Ipv4Addr::from(*source), u16::from_be_bytes([port[0], port[1]])).into())
        }
        (_, V2_TCP6) => {
            let (Some(source), Some(port)) = (body.first_chunk::<16>(), body.get(32..36)) else { return Err(short) };
            Some((Ipv6Addr::from(*source), u16::from_be_bytes([port[0], port[1]])).into())
        }
        _ => return Err(ProxyProtocolError::Malformed("version 2 family that is no TCP connection")),
    };
    Ok(Some(Header { length: V2_FIXED + length, client }))
}

const V1_SIGNATURE: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest version 1 header in octets, line end included.
const LONGEST_V1: usize = 107;
/// Octets of version 2 before the addresses.
const V2_FIXED: usize = 16;
/// Longest header in octets; room for extensions that carry a client certificate.
const LONGEST: usize = 4096;
const V2_LOCAL: u8 = 0x20;
const V2_PROXY: u8 = 0x21;
const V2_UNSPECIFIED: u8 = 0x00;
const V2_TCP4: u8 = 0x11;
const V2_TCP6: u8 = 0x21;
const V2_UNIX: u8 = 0x31;
/// Octets read at once.
const CHUNK: usize = 1024;

#[cfg(test)]
mod tests;
