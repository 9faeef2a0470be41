//! The client's side of TLS: whom to trust, what to offer.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Error;
use crate::certificate::Authority;
use crate::stream::Stream;

/// Settings of a TLS client.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts what `authority` signed, for the name that is asked for.
    #[must_use]
    pub fn trusting(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.clone()).expect("an authority's certificate is well-formed");
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build();
        Self::with(verifier.expect("the store has a root"), rustls::ALL_VERSIONS)
    }

    /// Takes any certificate, to look at what is offered.
    #[must_use]
    pub fn accepting_any() -> Self {
        Self::with(Arc::new(AcceptAny), rustls::ALL_VERSIONS)
    }

    /// Takes any certificate and speaks TLS 1.2 only.
    #[must_use]
    pub fn version_1_2() -> Self {
        Self::with(Arc::new(AcceptAny), &[&rustls::version::TLS12])
    }

    /// Takes any certificate and speaks TLS 1.3 only.
    #[must_use]
    pub fn version_1_3() -> Self {
        Self::with(Arc::new(AcceptAny), &[&rustls::version::TLS13])
    }

    /// Takes any certificate and agrees on keys by X25519MLKEM768 only.
    #[must_use]
    pub fn post_quantum_only() -> Self {
        let kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
        let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
        Self::of(provider.into(), Arc::new(AcceptAny), &[&rustls::version::TLS13])
    }

    /// Whether a handshake resumed an earlier session.
    #[must_use]
    pub fn resumed(stream: &Stream) -> bool {
        let Stream::Tls(tls) = stream else { return false };
        tls.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    fn with(verifier: Arc<dyn ServerCertVerifier>, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self::of(provider(), verifier, versions)
    }

    fn of(
        provider: Arc<CryptoProvider>,
        verifier: Arc<dyn ServerCertVerifier>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("the provider speaks these versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Self { config: Arc::new(config) }
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// Offers these protocols.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        let config = Arc::make_mut(&mut self.config);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Never resumes a session, so that every connection is shown a certificate.
    #[must_use]
    pub fn without_resumption(mut self) -> Self {
        Arc::make_mut(&mut self.config).resumption = Resumption::disabled();
        self
    }

    /// Connects and shakes hands. A name that is an address sends no server name (RFC 6066 section 3).
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> Result<Stream, Error> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Stream::Tls(Box::new(self.over(tcp, name).await?)))
    }

    /// Shakes hands over a connection.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn over(&self, tcp: TcpStream, name: &str) -> Result<TlsStream<TcpStream>, Error> {
        let name = ServerName::try_from(name.to_owned())?;
        Ok(TlsConnector::from(self.config.clone()).connect(name, tcp).await?)
    }
}

/// The certificate that the other end showed; `None` in clear.
#[must_use]
pub fn leaf(stream: &Stream) -> Option<CertificateDer<'static>> {
    let Stream::Tls(tls) = stream else { return None };
    tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.clone().into_owned())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Trusts whatever is shown.
#[derive(Debug)]
struct AcceptAny;

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
