//! Addresses that a name may not lead to: what every ExternalName is refused, ourselves and the API server.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use portico_compile::external_name::refuse_address;
use portico_shared::Published;

/// What a resolved name may not lead to.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Let everything pass.
    pub unguarded: bool,
    /// Addresses and ports that we listen on; an unspecified address stands for every address of this machine.
    pub own: Vec<SocketAddr>,
    /// Addresses of the API server, refused on every port.
    pub api_server: Vec<IpAddr>,
    /// Where the API server listens behind these addresses, learned while running; clones share it. With ports, since
    /// the machines that it runs on may offer other things, too.
    pub api_endpoints: Arc<Published<BTreeSet<SocketAddr>>>,
}

impl Guard {
    /// Why nothing may be sent to this address, in words that follow "is"; `None` when it may.
    #[must_use]
    pub fn refuse(&self, address: SocketAddr) -> Option<&'static str> {
        if self.unguarded {
            return None;
        }
        let ip = address.ip().to_canonical();
        refuse_address(ip)
            .or_else(|| self.is_api_server(ip, address.port()).then_some("the API server"))
            .or_else(|| self.own.iter().any(|own| is_own(*own, ip, address.port())).then_some("Portico itself"))
    }

    /// Takes note of where the API server listens. When none is known, what was known stands: a server that starts again
    /// takes itself out for a moment.
    pub fn learn(&self, endpoints: BTreeSet<SocketAddr>) {
        if !endpoints.is_empty() && *self.api_endpoints.load() != endpoints {
            self.api_endpoints.store(Arc::new(endpoints));
        }
    }

    fn is_api_server(&self, ip: IpAddr, port: u16) -> bool {
        let known = self.api_server.iter().any(|it| it.to_canonical() == ip);
        known || self.api_endpoints.load().contains(&SocketAddr::new(ip, port))
    }
}

fn is_own(own: SocketAddr, ip: IpAddr, port: u16) -> bool {
    let own_ip = own.ip().to_canonical();
    own.port() == port && (own_ip == ip || own_ip.is_unspecified() && is_local(ip))
}

/// Whether an address is one of this machine's: only such can be bound.
fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_and_allowed() {
        let own: Vec<SocketAddr> = ["192.0.2.7:8080", "[::]:8443"].map(|it| it.parse().expect("an address")).to_vec();
        let guard = Guard { own, api_server: vec!["10.96.0.1".parse().expect("an address")], ..Guard::default() };
        guard.learn(["198.51.100.1:6443".parse().expect("an address")].into());
        guard.learn(BTreeSet::new());
        for (address, refused) in [
            ("203.0.113.7:80", None),
            ("127.0.0.1:80", Some("a loopback address")),
            ("[::ffff:169.254.169.254]:80", Some("a metadata service's address")),
            ("10.96.0.1:6443", Some("the API server")),
            ("[::ffff:10.96.0.1]:443", Some("the API server")),
            ("[::ffff:198.51.100.1]:6443", Some("the API server")),
            ("198.51.100.1:80", None),
            ("192.0.2.7:8080", Some("Portico itself")),
            ("192.0.2.7:80", None),
            ("203.0.113.7:8443", None),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(guard.refuse(address), refused, "{address}");
            assert_eq!(Guard { unguarded: true, ..guard.clone() }.refuse(address), None, "{address}");
        }
    }
}
