//! The first octets of TLS: whatever they are, the handshake ends or waits, keeps little, and the certificate is the one
//! that a scan of all names chooses.

use std::sync::{Arc, LazyLock};

use portico_shared::ir::{
    Certificate, CertificateName, HostPattern, INGRESS_LISTENER, Ir, KeyDer, KeyFormat, Listener, VirtualHost,
};
use portico_shared::normalise::authority;
use portico_shared::table::RoutingTable;
use portico_shared::{Published, Redacted};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::server::{Acceptor, ServerConnection};
use rustls::{ClientConfig, ClientConnection, ServerConfig};

use super::{Choices, pieces};
use crate::tls::{Certificates, Resolver, provider, self_signed, server_config, ticketer};
use crate::upstream::tls::unverified;

/// How to begin, a server name, where to change what, then octets.
pub fn client_hello(octets: &[u8]) {
    let mut choices = Choices(octets);
    let (seed, own) = (choices.octet(), choices.flag());
    let name = String::from_utf8_lossy(choices.octets()).into_owned();
    chosen(&name);
    let mut wire = if own { Vec::new() } else { hello(&name, choices.flag()) };
    for _ in 0..if own { 0 } else { choices.octet() % 8 } {
        let at = usize::from(choices.octet()) << 8 | usize::from(choices.octet());
        let at = at % (wire.len() + 1);
        let end = (at + usize::from(choices.octet() % 4)).min(wire.len());
        let new = choices.octets();
        wire.splice(at..end, new.iter().copied());
    }
    wire.extend_from_slice(choices.0);
    for config in &STAGE.configs {
        let whole = handshake(config, std::iter::once(&wire[..]));
        let cut = handshake(config, pieces(seed, &wire));
        assert_eq!(whole, cut, "cutting changes the verdict");
    }
    accepted(&wire);
}

/// How a handshake stands: whether it was refused, and the name that was asked for.
fn handshake<'a>(config: &Arc<ServerConfig>, pieces: impl Iterator<Item = &'a [u8]>) -> (bool, Option<String>) {
    let mut connection = ServerConnection::new(config.clone()).expect("a configuration in order");
    let mut answer = Vec::new();
    let mut refused = false;
    'all: for mut piece in pieces {
        while !piece.is_empty() {
            let Ok(1..) = connection.read_tls(&mut piece) else { break 'all };
            refused = connection.process_new_packets().is_err();
            while connection.wants_write() {
                connection.write_tls(&mut answer).expect("a vector takes everything");
            }
            assert!(answer.len() < 64 * 1024, "an answer of {} octets", answer.len());
            if refused {
                break 'all;
            }
        }
    }
    let name = connection.server_name().map(str::to_owned);
    if let Some(name) = &name {
        assert!(authority::name(name).is_some(), "{name:?} is taken for a name");
    }
    (refused, name)
}

/// The same octets to the part of rustls that only reads a ClientHello: its name chooses as the resolver does.
fn accepted(mut wire: &[u8]) {
    let mut acceptor = Acceptor::default();
    while acceptor.read_tls(&mut wire).is_ok_and(|count| count > 0) {
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => return accepted.client_hello().server_name().into_iter().for_each(chosen),
            Err(_) => return,
        }
    }
}

/// The certificate for a name is the one that scanning finds.
fn chosen(name: &str) {
    for strict in [false, true] {
        let found = STAGE.certificates.load().choose(INGRESS_LISTENER, Some(name), strict);
        let found = found.map(|key| key.cert[0].to_vec());
        let normal = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let of = |at: usize| Some(STAGE.chains[at].clone());
        let expected = match normal.split_once('.') {
            _ if normal == "a.test" => of(0),
            _ if normal == "b.a.test" => of(2),
            Some((label, "a.test")) if authority::name(label).is_some() => of(1),
            _ if normal == "default.test" => of(3),
            _ if strict => None,
            _ => of(3),
        };
        assert_eq!(found, expected, "{name:?}, strict: {strict}");
    }
}

/// What a client of this process would send.
fn hello(name: &str, old: bool) -> Vec<u8> {
    let name = name.to_owned().try_into().unwrap_or_else(|_| "b.a.test".try_into().expect("a name"));
    let config = &STAGE.clients[usize::from(old)];
    let mut client = ClientConnection::new(config.clone(), name).expect("a configuration in order");
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).expect("a vector takes everything");
    }
    wire
}

/// A listener for `a.test`, `*.a.test`, `b.a.test` and a default.
struct Stage {
    certificates: Arc<Published<Certificates>>,
    chains: Vec<Vec<u8>>,
    configs: Vec<Arc<ServerConfig>>,
    clients: Vec<Arc<ClientConfig>>,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let made: Vec<_> = ["a.test", "*.a.test", "b.a.test", "default.test"].into_iter().map(certificate).collect();
    let host = |pattern, at: usize| {
        let certificate = Some(made[at].name.clone());
        Arc::new(VirtualHost { pattern, routes: Vec::new(), fallback: None, certificate })
    };
    let listener = Listener {
        name: INGRESS_LISTENER.into(),
        virtual_hosts: vec![
            host(HostPattern::Exact("a.test".into()), 0),
            host(HostPattern::OneLabel("a.test".into()), 1),
            host(HostPattern::Exact("b.a.test".into()), 2),
        ],
        fallback: None,
        default_certificate: Some(made[3].name.clone()),
        certificates: vec![made[3].name.clone()],
    };
    let chains = made.iter().map(|certificate| certificate.chain[0].to_vec()).collect();
    let mut certificates = made;
    certificates.sort_by(|a, b| a.name.cmp(&b.name));
    let ir = Ir { listeners: vec![listener], upstreams: Vec::new(), certificates };
    let table = Arc::new(RoutingTable::build(Arc::new(ir), &RoutingTable::empty(), |_| None));
    let (certificates, errors) = Certificates::new(self_signed().expect("a certificate")).next(table);
    assert_eq!(errors, []);
    let certificates = Arc::new(Published::new(certificates));
    let config = |strict| {
        let resolver = Arc::new(Resolver::new(INGRESS_LISTENER.into(), certificates.clone(), strict));
        server_config(&crate::config::Tls::default(), resolver, ticketer().expect("a ticketer")).expect("in order")
    };
    let configs = vec![config(false), config(true)];
    let client = |versions| {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions);
        let verifier = builder.expect("known versions").dangerous().with_custom_certificate_verifier(unverified());
        Arc::new(verifier.with_no_client_auth())
    };
    let clients = vec![client(rustls::ALL_VERSIONS), client(&[&rustls::version::TLS12])];
    Stage { certificates, chains, configs, clients }
});

fn certificate(name: &str) -> Arc<Certificate> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let made = CertificateParams::new([name.to_owned()]).and_then(|parameters| parameters.self_signed(&key));
    Arc::new(Certificate {
        name: CertificateName { namespace: "default".into(), secret: name.into() },
        chain: vec![made.expect("a certificate").der().to_vec().into()],
        key: KeyDer { format: KeyFormat::Pkcs8, der: Redacted::new(Arc::new(key.serialize_der().into())) },
        dns_names: vec![name.into()],
        fingerprint: name.into(),
        not_before: 0,
        not_after: i64::MAX,
    })
}
