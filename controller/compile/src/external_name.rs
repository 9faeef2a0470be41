//! Guards of ExternalName Services: a tenant must not turn the proxy against itself, the node or another namespace.
//!
//! Judges text and addresses; resolves nothing. Names are judged here, the addresses that they resolve to by whoever
//! resolves them, with [`refuse_address`]: one rule for both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portico_shared::normalise::authority;

/// What an `externalName` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExternalName {
    /// A name to resolve: lower case, no trailing dot.
    Dns(String),
    /// An address, canonical.
    Address(IpAddr),
}

/// Who asks and under which rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard<'a> {
    /// Namespace of the Service.
    pub(crate) namespace: &'a str,
    /// DNS domain of the cluster.
    pub(crate) cluster_domain: &'a str,
    /// Let everything pass that can be used at all.
    pub(crate) unguarded: bool,
}

impl Guard<'_> {
    /// Judges an `externalName`; the error says why it is refused.
    pub(crate) fn judge(self, text: &str) -> Result<ExternalName, String> {
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            let address = address.to_canonical();
            return match refuse_address(address) {
                Some(reason) if !self.unguarded => Err(format!("{address} is {reason}")),
                _ => Ok(ExternalName::Address(address)),
            };
        }
        let name = authority::name(text).ok_or("it is neither a DNS name nor an address")?;
        // Resolvers of old read these as addresses (`127.1`, `0x7f000001`); no registered name looks so.
        if name
            .rsplit('.')
            .next()
            .is_some_and(|label| label.starts_with("0x") || label.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err("it looks like an address in an unusual spelling".to_owned());
        }
        if !self.unguarded {
            self.refuse_name(&name)?;
        }
        Ok(ExternalName::Dns(name.into_owned()))
    }

    fn refuse_name(self, name: &str) -> Result<(), String> {
        if name == "localhost" || name.ends_with(".localhost") || name == "localhost.localdomain" {
            return Err("it names this machine".to_owned());
        }
        let inside = name
            .strip_suffix(self.cluster_domain.trim_end_matches('.').to_ascii_lowercase().as_str())
            .and_then(|rest| rest.strip_suffix('.'));
        let mut labels = inside.unwrap_or(name).rsplit('.');
        let kind = labels.next().unwrap_or_default();
        if kind != "svc" && !(kind == "pod" && inside.is_some()) {
            return Ok(());
        }
        let namespace = labels.next().unwrap_or_default();
        let service = labels.next().unwrap_or_default();
        if namespace != self.namespace {
            return Err(format!("it names something in namespace {namespace}"));
        }
        if (namespace, service) == ("default", "kubernetes") {
            return Err("it names the API server".to_owned());
        }
        Ok(())
    }
}

/// Why an address may not be connected to on behalf of an ExternalName, in words that follow "is"; `None` when it may.
///
/// Covers loopback, unspecified, link-local, multicast and broadcast addresses and the metadata services of clouds, also
/// when an IPv4 address hides in an IPv6 one (mapped,
/// compatible, translated, NAT64 of RFC 6052 and RFC 8215, 6to4 of RFC 3056).
#[must_use]
pub fn refuse_address(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(v4) => refuse_v4(v4),
        IpAddr::V6(v6) => refuse_v6(v6),
    }
}

fn refuse_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.octets()[0] == 0 {
        Some("an unspecified address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if METADATA_V4.contains(&address) {
        Some("a metadata service's address")
    } else if address.is_link_local() {
        Some("a link-local address")
    } else if address.is_multicast() || address.is_broadcast() {
        Some("a multicast or broadcast address")
    } else {
        None
    }
}

fn refuse_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    if address.is_unspecified() {
        return Some("an unspecified address");
    }
    if address.is_loopback() {
        return Some("a loopback address");
    }
    if METADATA_V6.contains(&address) {
        return Some("a metadata service's address");
    }
    if address.is_unicast_link_local() {
        return Some("a link-local address");
    }
    if address.is_multicast() {
        return Some("a multicast or broadcast address");
    }
    let pair = |at: usize| {
        let [[a, b], [c, d]] = [segments[at].to_be_bytes(), segments[at + 1].to_be_bytes()];
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0 | 1, ..] => refuse_v4(pair(6)),
        [0x2002, ..] => refuse_v4(pair(1)),
        _ => None,
    }
}

/// Metadata services: AWS, GCP, Azure and others; Alibaba; Oracle; Azure's host.
const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// Metadata services over IPv6: AWS, GCP.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: Guard<'_> = Guard { namespace: "shop", cluster_domain: "cluster.local", unguarded: false };

    #[test]
    fn names() {
        for (text, allowed) in [
            ("api.example.com", true),
            ("API.example.com.", true),
            ("web.shop.svc", true),
            ("web.shop.svc.cluster.local", true),
            ("web.shop.svc.cluster.local.", true),
            ("pod-0.web.shop.svc", true),
            ("web.other.svc", false),
            ("web.other.SVC.Cluster.Local", false),
            ("10-0-0-1.other.pod.cluster.local", false),
            ("svc", false),
            ("svc.cluster.local", false),
            ("pod", true),
            ("cluster.local", true),
            ("svc.example.com", true),
            ("localhost", false),
            ("LOCALHOST.", false),
            ("x.localhost", false),
            ("localhost.localdomain", false),
            ("localhost.example.com", true),
            ("", false),
            ("a b", false),
            ("http://a", false),
            ("a:80", false),
            ("127.1", false),
            ("2130706433", false),
            ("0x7f.0x1", false),
            ("0x7f000001", false),
            ("1.2.3.4.5", false),
        ] {
            assert_eq!(GUARD.judge(text).is_ok(), allowed, "{text}");
        }
        let default = Guard { namespace: "default", ..GUARD };
        assert!(default.judge("kubernetes.default.svc").is_err());
        assert!(default.judge("web.default.svc").is_ok());
        let unguarded = Guard { unguarded: true, ..GUARD };
        for text in ["localhost", "web.other.svc", "127.0.0.1"] {
            assert!(unguarded.judge(text).is_ok(), "{text}");
        }
        assert!(unguarded.judge("a b").is_err());
    }

    #[test]
    fn addresses() {
        for (text, allowed) in [
            ("203.0.113.7", true),
            ("10.1.2.3", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("0.0.0.0", false),
            ("169.254.169.254", false),
            ("169.254.1.1", false),
            ("100.100.100.200", false),
            ("168.63.129.16", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("2001:db8::1", true),
            ("[2001:db8::1]", true),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("ff02::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:203.0.113.7", true),
            ("::127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b:1::7f00:1", false),
            ("::ffff:0:7f00:1", false),
            ("64:ff9b::cb00:7107", true),
            ("2002:7f00:1::", false),
        ] {
            assert_eq!(GUARD.judge(text).is_ok(), allowed, "{text}");
        }
    }
}
