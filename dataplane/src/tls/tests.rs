//! Handshakes of a real client with configurations as the workers have them.

use std::sync::Arc;

use portico_shared::Published;
use portico_shared::ir::{
    Certificate, CertificateName, HostPattern, INGRESS_LISTENER, Ir, KeyDer, KeyFormat, Listener, VirtualHost,
};
use portico_shared::redacted::Redacted;
use portico_shared::table::RoutingTable;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::*;
use crate::config::{Tls, TlsVersion};
use crate::upstream::tls::unverified;

fn name(secret: &str) -> CertificateName {
    CertificateName { namespace: "default".into(), secret: secret.into() }
}

fn certificate_with(secret: &str, names: &[&str], key: &KeyPair, format: KeyFormat) -> Arc<Certificate> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = CertificateParams::new(names.clone()).and_then(|parameters| parameters.self_signed(key));
    let pkcs8 = key.serialize_der();
    let der = if format == KeyFormat::Pkcs8 { &pkcs8 } else { inner_key(&pkcs8) };
    Arc::new(Certificate {
        name: name(secret),
        chain: vec![made.expect("a certificate").der().to_vec().into()],
        key: KeyDer { format, der: Redacted::new(Arc::new(der.to_vec().into())) },
        dns_names: names.iter().map(|name| name.as_str().into()).collect(),
        fingerprint: secret.into(),
        not_before: 0,
        not_after: i64::MAX,
    })
}

fn certificate(secret: &str, names: &[&str]) -> Arc<Certificate> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    certificate_with(secret, names, &key, KeyFormat::Pkcs8)
}

/// The content of a PKCS #8 key (RFC 5208 section 5): after version and algorithm an octet string.
fn inner_key(pkcs8: &[u8]) -> &[u8] {
    let (_, body) = element(pkcs8);
    let (version, _) = element(body);
    let (algorithm, _) = element(&body[version..]);
    element(&body[version + algorithm..]).1
}

/// Length of the first DER element and its content.
fn element(der: &[u8]) -> (usize, &[u8]) {
    let (header, length) = match usize::from(der[1]) {
        long @ 0x81..=0x84 => {
            let octets = &der[2..2 + (long - 0x80)];
            (2 + octets.len(), octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)))
        }
        short => (2, short),
    };
    (header + length, &der[header..header + length])
}

/// A table of these hosts with their certificates; the last certificate is the default when asked for.
fn table(hosts: &[(HostPattern, &Arc<Certificate>)], extra: &[&Arc<Certificate>], default: bool) -> Arc<RoutingTable> {
    let virtual_host = |(pattern, certificate): &(HostPattern, &Arc<Certificate>)| {
        let certificate = Some(certificate.name.clone());
        Arc::new(VirtualHost { pattern: pattern.clone(), routes: Vec::new(), fallback: None, certificate })
    };
    let listener = Listener {
        name: INGRESS_LISTENER.into(),
        virtual_hosts: hosts.iter().map(virtual_host).collect(),
        fallback: None,
        default_certificate: extra.last().filter(|_| default).map(|certificate| certificate.name.clone()),
        certificates: extra.iter().map(|certificate| certificate.name.clone()).collect(),
    };
    let mut certificates: Vec<_> =
        hosts.iter().map(|(_, certificate)| *certificate).chain(extra.iter().copied()).cloned().collect();
    certificates.sort_by(|a, b| a.name.cmp(&b.name));
    let ir = Ir { listeners: vec![listener], upstreams: Vec::new(), certificates };
    Arc::new(RoutingTable::build(Arc::new(ir), &RoutingTable::empty(), |_| None))
}

fn empty() -> Certificates {
    Certificates::new(self_signed().expect("a certificate"))
}

fn published(table: Arc<RoutingTable>) -> Arc<Published<Certificates>> {
    let (certificates, errors) = empty().next(table);
    assert_eq!(errors, []);
    Arc::new(Published::new(certificates))
}

fn config(certificates: &Arc<Published<Certificates>>, settings: &Tls) -> Arc<ServerConfig> {
    let ticketer = ticketer().expect("a ticketer");
    let resolver = Resolver::new(INGRESS_LISTENER.into(), certificates.clone(), settings.strict_sni);
    server_config(settings, Arc::new(resolver), ticketer).expect("good settings")
}

/// A client that takes any certificate and remembers sessions.
fn any_client(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions);
    let builder = builder.expect("good versions").dangerous().with_custom_certificate_verifier(unverified());
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

type Sessions = (client::TlsStream<DuplexStream>, server::TlsStream<DuplexStream>);

async fn handshake(client: &Arc<ClientConfig>, config: &Arc<ServerConfig>, host: &str) -> std::io::Result<Sessions> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let host = ServerName::try_from(host.to_owned()).expect("a name");
    let (client, server) = tokio::join!(
        TlsConnector::from(client.clone()).connect(host, near),
        TlsAcceptor::from(config.clone()).accept(far)
    );
    Ok((client?, server?))
}

/// The leaf that a client gets for a name (an address sends none).
async fn leaf(config: &Arc<ServerConfig>, host: &str) -> std::io::Result<CertificateDer<'static>> {
    let (client, _server) = handshake(&any_client(&[&TLS13]), config, host).await?;
    Ok(client.get_ref().1.peer_certificates().expect("a certificate")[0].clone())
}

#[tokio::test]
async fn certificates_by_server_name() {
    let [exact, wildcard, covering, default] = [
        certificate("exact", &["x.test"]),
        certificate("wildcard", &["*.test"]),
        certificate("covering", &["*.other.test", "one.more.test"]),
        certificate("default", &["default.test"]),
    ];
    let hosts = [(HostPattern::Exact("a.test".into()), &exact), (HostPattern::OneLabel("test".into()), &wildcard)];
    let with_default = published(table(&hosts, &[&covering, &default], true));
    let without = published(table(&hosts, &[&covering], false));
    let last_resort = without.load().choose(INGRESS_LISTENER, None, false).expect("a certificate");
    let strict = Tls { strict_sni: true, ..Tls::default() };
    for (host, expected, refused_when_strict) in [
        ("a.test", Some(&exact), false),
        ("A.Test", Some(&exact), false),
        ("b.test", Some(&wildcard), false),
        ("c.other.test", Some(&covering), false),
        ("one.more.test", Some(&covering), false),
        ("a.b.test", None, true),
        ("test", None, true),
        ("192.0.2.1", None, false),
    ] {
        let der = |certificate: &Arc<Certificate>| CertificateDer::from(certificate.chain[0].to_vec());
        let got = leaf(&config(&with_default, &Tls::default()), host).await.expect("a handshake");
        assert_eq!(got, der(expected.unwrap_or(&default)), "{host}");
        let got = leaf(&config(&without, &Tls::default()), host).await.expect("a handshake");
        assert_eq!(got, expected.map_or_else(|| last_resort.cert[0].clone(), der), "{host} without a default");
        let got = leaf(&config(&with_default, &strict), host).await;
        assert_eq!(got.is_err(), refused_when_strict, "{host} strictly");
    }
}

#[tokio::test]
async fn keys_of_every_kind() {
    let ecdsa = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    for (key, format) in
        [(&ecdsa, KeyFormat::Pkcs8), (&ecdsa, KeyFormat::Sec1), (&rsa, KeyFormat::Pkcs8), (&rsa, KeyFormat::Pkcs1)]
    {
        let certificate = certificate_with("it", &["a.test"], key, format);
        let config = config(&published(table(&[(HostPattern::Any, &certificate)], &[], false)), &Tls::default());
        for versions in [&[&TLS12][..], &[&TLS13]] {
            let (client, _server) = handshake(&any_client(versions), &config, "a.test").await.expect("a handshake");
            let leaf = &client.get_ref().1.peer_certificates().expect("a certificate")[0];
            assert_eq!(leaf.as_ref(), &*certificate.chain[0], "{:?} {format:?}", key.algorithm());
        }
    }
}

#[tokio::test]
async fn a_client_that_verifies_is_content() {
    let certificate = certificate("it", &["a.test"]);
    let config = config(&published(table(&[(HostPattern::Any, &certificate)], &[], false)), &Tls::default());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate.chain[0].to_vec())).expect("a root");
    let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let client = Arc::new(client.expect("versions").with_root_certificates(roots).with_no_client_auth());
    let (client, server) = handshake(&client, &config, "a.test").await.expect("a handshake");
    let (client, server) = (client.get_ref().1, server.get_ref().1);
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = client.negotiated_key_exchange_group().expect("a group").name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(server.server_name(), Some("a.test"));
    assert_eq!(server.alpn_protocol(), None, "the client offered none");
}

#[tokio::test]
async fn http_2_is_preferred_and_strangers_are_refused() {
    let config = config(&Arc::new(Published::new(empty())), &Tls::default());
    for (offered, expected) in
        [(&[&b"http/1.1"[..], b"h2"][..], Some(&b"h2"[..])), (&[b"http/1.1"], Some(b"http/1.1")), (&[b"ftp"], None)]
    {
        let mut client = (*any_client(&[&TLS13])).clone();
        client.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let sessions = handshake(&Arc::new(client), &config, "a.test").await;
        let agreed = sessions.ok().and_then(|(client, _)| client.get_ref().1.alpn_protocol().map(<[u8]>::to_vec));
        assert_eq!(agreed.as_deref(), expected);
    }
}

/// A handshake and one octet each way, so that the client has its tickets.
async fn kind(client: &Arc<ClientConfig>, config: &Arc<ServerConfig>) -> HandshakeKind {
    let (mut client, mut server) = handshake(client, config, "a.test").await.expect("a handshake");
    server.write_all(b"x").await.expect("sent");
    server.flush().await.expect("sent");
    client.read_u8().await.expect("received");
    server.get_ref().1.handshake_kind().expect("a finished handshake")
}

#[tokio::test]
async fn sessions_resume_at_any_configuration_with_the_same_ticketer() {
    let certificates = published(table(&[(HostPattern::Any, &certificate("it", &["a.test"]))], &[], false));
    let resolver = Arc::new(Resolver::new(INGRESS_LISTENER.into(), certificates, false));
    let make = |ticketer| server_config(&Tls::default(), resolver.clone(), ticketer).expect("good settings");
    let shared = ticketer().expect("a ticketer");
    let (first, second, other) = (make(shared.clone()), make(shared), make(ticketer().expect("a ticketer")));
    for version in [&TLS12, &TLS13] {
        let client = any_client(&[version]);
        assert_eq!(kind(&client, &first).await, HandshakeKind::Full);
        assert_eq!(kind(&client, &second).await, HandshakeKind::Resumed);
        assert_eq!(kind(&client, &other).await, HandshakeKind::Full, "tickets of another process");
    }
}

#[tokio::test]
async fn a_new_certificate_serves_the_next_handshake() {
    let [old, new] = ["old", "new"].map(|_| certificate("it", &["a.test"]));
    let certificates = published(table(&[(HostPattern::Any, &old)], &[], false));
    let config = config(&certificates, &Tls::default());
    assert_eq!(leaf(&config, "a.test").await.expect("a handshake").as_ref(), &*old.chain[0]);
    let (next, errors) = certificates.load().next(table(&[(HostPattern::Any, &new)], &[], false));
    assert_eq!(errors, []);
    certificates.store(Arc::new(next));
    assert_eq!(leaf(&config, "a.test").await.expect("a handshake").as_ref(), &*new.chain[0]);
}

#[test]
fn equal_certificates_keep_their_keys_and_bad_ones_keep_the_last_good() {
    let [good, other] = [certificate("good", &["a.test"]), certificate("other", &["b.test"])];
    let hosts = [(HostPattern::Exact("a.test".into()), &good), (HostPattern::Exact("b.test".into()), &other)];
    let (first, errors) = Keys::build(&table(&hosts, &[], false), &Keys::default());
    assert_eq!(errors, []);
    let bad = Arc::new(Certificate { key: other.key.clone(), ..(*good).clone() });
    let copy = Arc::new((*other).clone());
    let hosts = [(HostPattern::Exact("a.test".into()), &bad), (HostPattern::Exact("b.test".into()), &copy)];
    let (second, errors) = Keys::build(&table(&hosts, &[], false), &first);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].name, good.name);
    for certificate in [&good, &other] {
        let [before, after] = [&first, &second].map(|keys| keys.get(&certificate.name).expect("a key"));
        assert!(Arc::ptr_eq(before, after), "{}", certificate.name);
    }
    let (third, _) = Keys::build(&table(&hosts, &[], false), &Keys::default());
    assert!(third.get(&bad.name).is_none(), "never served with a key that is not its own");
    assert!(!format!("{second:?}").contains(&format!("{:?}", &good.key.der.expose()[..8])), "no key is printed");
}

#[test]
fn a_host_whose_certificate_is_unusable_gets_the_default() {
    let [host, default] = [certificate("host", &["a.test"]), certificate("default", &["b.test"])];
    let bad = Arc::new(Certificate { key: default.key.clone(), ..(*host).clone() });
    let (certificates, errors) = empty().next(table(&[(HostPattern::Any, &bad)], &[&default], true));
    assert_eq!(errors.len(), 1);
    let chosen = certificates.choose(INGRESS_LISTENER, Some("a.test"), true).expect("a certificate");
    assert_eq!(chosen.cert[0].as_ref(), &*default.chain[0]);
}

#[test]
fn suites_and_versions() {
    let build = |min_version, suites: &[&str]| {
        let settings = Tls {
            min_version,
            cipher_suites: suites.iter().map(|name| (*name).to_owned()).collect(),
            ..Tls::default()
        };
        let resolver = Resolver::new(INGRESS_LISTENER.into(), Arc::new(Published::new(empty())), false);
        server_config(&settings, Arc::new(resolver), ticketer().expect("a ticketer"))
    };
    let config = build(TlsVersion::V1_2, &["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
    assert_eq!(config.expect("known names").crypto_provider().cipher_suites.len(), 2);
    let error = build(TlsVersion::V1_2, &["TLS_RSA_WITH_RC4_128_MD5"]).expect_err("not a suite of ours");
    assert!(error.contains("RC4") && error.contains("TLS_AES_256_GCM_SHA384"), "{error}");
    build(TlsVersion::V1_3, &["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]).expect_err("no suite for TLS 1.3");
}

#[tokio::test]
async fn the_oldest_version_is_kept() {
    let settings = Tls { min_version: TlsVersion::V1_3, ..Tls::default() };
    let config = config(&Arc::new(Published::new(empty())), &settings);
    assert!(handshake(&any_client(&[&TLS12]), &config, "a.test").await.is_err());
    assert!(handshake(&any_client(&[&TLS13]), &config, "a.test").await.is_ok());
}

#[tokio::test]
async fn the_certificate_of_last_resort_has_a_name() {
    let made = self_signed().expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert[0].clone()).expect("a certificate that parses");
    let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let client = Arc::new(client.expect("versions").with_root_certificates(roots).with_no_client_auth());
    let config = config(&Arc::new(Published::new(Certificates::new(made))), &Tls::default());
    handshake(&client, &config, "portico.invalid").await.expect("the name is there");
    assert!(handshake(&client, &config, "a.test").await.is_err());
}
