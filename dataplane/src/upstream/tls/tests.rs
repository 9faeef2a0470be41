//! Handshakes of these configurations with endpoints as they are found.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

fn parameters(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).expect("parameters")
}

fn issuer() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = parameters("ca.test");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().expect("a key")).expect("an authority")
}

fn signing(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

/// An endpoint with a certificate that `issuer` signed, or that signed itself.
fn endpoint(parameters: &CertificateParams, issuer: Option<&CertifiedIssuer<'static, KeyPair>>) -> Arc<ServerConfig> {
    let key = KeyPair::generate().expect("a key");
    let certificate = match issuer {
        Some(issuer) => parameters.signed_by(&key, issuer),
        None => parameters.self_signed(&key),
    };
    let chain = vec![certificate.expect("a certificate").der().clone()];
    serving(CertifiedKey::from_der(chain, signing(&key), &provider()).expect("a matching key"))
}

fn serving(key: CertifiedKey) -> Arc<ServerConfig> {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(key));
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn settings(authorities: Option<&str>, verify: bool) -> UpstreamTls {
    UpstreamTls { server_name: "a.test".into(), verify, authorities: authorities.map(Into::into) }
}

/// The protocol agreed on by ALPN, or why there is no session.
async fn agreed(
    tls: &UpstreamTls,
    protocol: Protocol,
    default: &Authorities,
    endpoint: &Arc<ServerConfig>,
) -> std::io::Result<Option<Vec<u8>>> {
    let config = client_config(tls, protocol, default).expect("good settings");
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (client, _endpoint) = tokio::join!(
        TlsConnector::from(config).connect(server_name(tls).expect("a name"), near),
        TlsAcceptor::from(endpoint.clone()).accept(far)
    );
    Ok(client?.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

fn nothing_added() -> Authorities {
    Authorities::new(None).expect("nothing to parse")
}

#[tokio::test]
async fn endpoints_are_verified_unless_told_otherwise() {
    let (ours, theirs) = (issuer(), issuer());
    let mut expired = parameters("a.test");
    expired.not_before = date_time_ymd(2019, 1, 1);
    expired.not_after = date_time_ymd(2020, 1, 1);
    let pem = ours.pem();
    for (case, endpoint, accepted) in [
        ("good", endpoint(&parameters("a.test"), Some(&ours)), true),
        ("another authority", endpoint(&parameters("a.test"), Some(&theirs)), false),
        ("another name", endpoint(&parameters("b.test"), Some(&ours)), false),
        ("expired", endpoint(&expired, Some(&ours)), false),
        ("self-signed", endpoint(&parameters("a.test"), None), false),
    ] {
        let default = nothing_added();
        let verified = agreed(&settings(Some(&pem), true), Protocol::Https, &default, &endpoint).await;
        assert_eq!(verified.is_ok(), accepted, "{case}: {verified:?}");
        let by_system = agreed(&settings(None, true), Protocol::Https, &system_only(), &endpoint).await;
        assert!(by_system.is_err(), "{case} by authorities that never saw it");
        let off = agreed(&settings(None, false), Protocol::Https, &default, &endpoint).await;
        assert!(off.is_ok(), "{case} without verification: {off:?}");
    }
}

/// The system's authorities, or one nobody uses where the system has none.
fn system_only() -> Authorities {
    Authorities::new(Some(&issuer().pem())).expect("an authority")
}

#[tokio::test]
async fn authorities_of_the_settings_stand_beside_the_systems() {
    let ours = issuer();
    let endpoint = endpoint(&parameters("a.test"), Some(&ours));
    let default = Authorities::new(Some(&ours.pem())).expect("an authority");
    agreed(&settings(None, true), Protocol::Https, &default, &endpoint).await.expect("a session");
    let own = issuer().pem();
    let replaced = agreed(&settings(Some(&own), true), Protocol::Https, &default, &endpoint).await;
    assert!(replaced.is_err(), "an upstream's own authorities replace the others");
}

#[tokio::test]
async fn unverified_is_still_signed_by_the_certificates_key() {
    let certificate = parameters("a.test").self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
    let other = KeyPair::generate().expect("a key");
    let key = provider().key_provider.load_private_key(signing(&other)).expect("a key");
    let endpoint = serving(CertifiedKey::new(vec![certificate.der().clone()], key));
    let off = agreed(&settings(None, false), Protocol::Https, &nothing_added(), &endpoint).await;
    assert!(off.is_err(), "somebody without the key");
}

#[tokio::test]
async fn protocols_are_offered_by_alpn() {
    let endpoint = endpoint(&parameters("a.test"), None);
    for (protocol, expected) in [(Protocol::Https, &b"h2"[..]), (Protocol::Https1, b"http/1.1")] {
        let agreed = agreed(&settings(None, false), protocol, &nothing_added(), &endpoint).await;
        assert_eq!(agreed.expect("a session").as_deref(), Some(expected), "{protocol:?}");
    }
}

#[test]
fn settings_that_cannot_be_used_are_errors() {
    let unreadable = "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n";
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "no PEM", unreadable, no_certificate] {
        let result = client_config(&settings(Some(pem), true), Protocol::Https, &nothing_added());
        assert!(matches!(result, Err(UpstreamTlsError::Authorities(_))), "{pem:?}");
    }
    assert!(Authorities::new(Some("no PEM")).is_err());
    let odd = UpstreamTls { server_name: "not a name".into(), ..settings(None, true) };
    assert!(matches!(server_name(&odd), Err(UpstreamTlsError::Name(_))));
    let address = UpstreamTls { server_name: "192.0.2.1".into(), ..settings(None, true) };
    assert!(matches!(server_name(&address), Ok(ServerName::IpAddress(_))));
}
