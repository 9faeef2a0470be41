//! What the demo tells: commands to paste.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::stage::{HOST, Stage};
use crate::app::App;

/// Where the demo listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) status: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Addresses {
    /// Where a bound Portico listens, as a client on this machine reaches it.
    pub(super) fn of(app: &App) -> Self {
        let bound = app.addresses();
        let [http, https] = bound.dataplane[..] else { unreachable!("serve binds HTTP and HTTPS") };
        let (status, admin) = (bound.status, bound.admin);
        Self { http: reached(http), https: reached(https), status: reached(status), admin: reached(admin) }
    }
}

/// Commands that work as printed.
pub(super) fn text(stage: &Stage, addresses: &Addresses) -> String {
    let portico = std::env::current_exe().map_or_else(|_| "portico".to_owned(), |path| quote(&path));
    let manifests = quote(&stage.manifests());
    let authority = quote(&stage.authority());
    let Addresses { http, https, status, admin } = addresses;
    let (port, address) = (https.port(), https.ip());
    format!(
        "\
A hotel is open: {HOST} on http://{http} and https://{https}.
Every Service has two backends that answer who they are and what they received.

# By host: hotel-service
curl -H 'Host: {HOST}' http://{http}/rooms

# The longer path wins: restaurant-service, written by another Ingress
curl -H 'Host: {HOST}' http://{http}/restaurant/menu

# Over TLS, with the certificate verified
curl --cacert {authority} --resolve {HOST}:{port}:{address} 'https://{HOST}:{port}/rooms?floor=2'

# Over TLS without verifying, with a body
curl -k --resolve {HOST}:{port}:{address} -d 'table for two' https://{HOST}:{port}/restaurant/book

# A host that nobody named: 404
curl -i http://{http}/

# Why a request goes where it goes, and everything that is served
{portico} explain http://{HOST}/restaurant/menu --admin http://{admin}
{portico} routes --admin http://{admin}

# What was counted
curl http://{status}/metrics

Edit the manifests in {manifests} and try again: changes hold at once.
Each request is logged below. Ctrl-C ends it.
"
    )
}

/// The address as a client on this machine reaches it.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A path as a shell takes it.
fn quote(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_ports_in_use() {
        let stage = Stage::build().unwrap();
        let at = |port| reached(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
        let addresses = Addresses { http: at(18080), https: at(18443), status: at(19090), admin: at(19091) };
        let text = text(&stage, &addresses);
        for part in [
            "curl -H 'Host: hotel.example.com' http://127.0.0.1:18080/rooms\n",
            "--resolve hotel.example.com:18443:127.0.0.1 'https://hotel.example.com:18443/rooms?floor=2'\n",
            "routes --admin http://127.0.0.1:19091\n",
            "curl http://127.0.0.1:19090/metrics\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn paths_are_quoted_when_they_must_be() {
        assert_eq!(quote(Path::new("/tmp/a-b_1")), "/tmp/a-b_1");
        assert_eq!(quote(Path::new("/tmp/it's here")), "'/tmp/it'\\''s here'");
    }

    #[test]
    fn what_is_served_has_no_fault() {
        let stage = Stage::build().unwrap();
        let options = portico_compile::Options {
            default_tls_secret: Some(portico_compile::Key::new("default", "hotel-tls")),
            ..Default::default()
        };
        let loaded = crate::cli::load::read(&[stage.manifests()], options).unwrap();
        assert_eq!(loaded.report.diagnostics(), []);
        let view = crate::view::routes::routes(&loaded.served());
        let endpoints: Vec<_> = view.upstreams.iter().map(|upstream| upstream.endpoints.len()).collect();
        assert_eq!((endpoints, view.certificates.len()), (vec![2, 2], 1));
    }
}
