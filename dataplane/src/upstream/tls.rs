//! TLS towards upstreams: what is offered and how the endpoint is verified.
//!
//! Knows settings, not connections. Invariant: verification is off only where [`UpstreamTls::verify`] says so; authorities
//! that cannot be read are an error and never the system's instead.

use std::fmt;
use std::sync::{Arc, OnceLock};

use portico_shared::ir::{Protocol, UpstreamTls};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::tls::provider;

/// Why an upstream's TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamTlsError {
    /// The authorities are no PEM certificates.
    #[error("certificate authorities: {0}")]
    Authorities(String),
    /// There is nothing to verify with: neither the system nor the settings have an authority.
    #[error("no certificate authority to verify the upstream with")]
    NoAuthorities,
    /// The name is neither a DNS name nor an IP address.
    #[error("{0:?} is no name that a certificate can be checked against")]
    Name(Arc<str>),
    /// The provider refuses the settings.
    #[error("{0}")]
    Provider(#[from] rustls::Error),
}

/// The authorities of upstreams that name none of their own: the system's and those of the settings.
#[derive(Debug)]
pub struct Authorities {
    added: Vec<CertificateDer<'static>>,
    store: OnceLock<Arc<RootCertStore>>,
}

impl Authorities {
    /// With [`crate::config::Upstream::authorities`] beside the system's, which are read when they are first needed.
    pub fn new(pem: Option<&str>) -> Result<Self, UpstreamTlsError> {
        let added = pem.map_or(Ok(Vec::new()), certificates)?;
        Ok(Self { added, store: OnceLock::new() })
    }

    /// All of them. Certificates of the system that cannot be read are skipped and logged once.
    fn store(&self) -> &Arc<RootCertStore> {
        self.store.get_or_init(|| {
            let system = rustls_native_certs::load_native_certs();
            for error in &system.errors {
                tracing::warn!(%error, "cannot read the system's certificate authorities");
            }
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(system.certs.into_iter().chain(self.added.iter().cloned()));
            Arc::new(store)
        })
    }
}

/// The configuration of an upstream's connections, made once for equal settings and kept by the caller.
///
/// [`Protocol::Https`] offers HTTP/2 and HTTP/1.1, anything else HTTP/1.1 alone. Sessions resume; early data is off.
pub fn client_config(
    tls: &UpstreamTls,
    protocol: Protocol,
    default: &Authorities,
) -> Result<Arc<ClientConfig>, UpstreamTlsError> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let mut config = if tls.verify {
        let roots = match &tls.authorities {
            Some(pem) => Arc::new(store(pem)?),
            None => default.store().clone(),
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let verifier = verifier.map_err(|_| UpstreamTlsError::NoAuthorities)?;
        builder.with_webpki_verifier(verifier).with_no_client_auth()
    } else {
        let verifier = Arc::new(Unverified { provider });
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    };
    config.alpn_protocols = match protocol {
        Protocol::Https => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Https1 | Protocol::Http1 | Protocol::H2c => vec![b"http/1.1".to_vec()],
    };
    Ok(Arc::new(config))
}

/// The name to send and to check the certificate against; an IP address is checked but not sent (RFC 6066 section 3).
pub fn server_name(tls: &UpstreamTls) -> Result<ServerName<'static>, UpstreamTlsError> {
    ServerName::try_from(&*tls.server_name)
        .map(|name| name.to_owned())
        .map_err(|_| UpstreamTlsError::Name(tls.server_name.clone()))
}

/// Every certificate of `pem` as an authority.
fn store(pem: &str) -> Result<RootCertStore, UpstreamTlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(|error| UpstreamTlsError::Authorities(error.to_string()))?;
    }
    Ok(store)
}

/// The certificates of `pem`, at least one.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, UpstreamTlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(UpstreamTlsError::Authorities("no certificate in the PEM".to_owned()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(UpstreamTlsError::Authorities(error.to_string())),
    }
}

/// Takes any certificate. The handshake must still be signed by its key, so the connection ends at whoever has that.
struct Unverified {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unverified")
    }
}

/// A verifier for tests of the other direction, which take any certificate too.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn unverified() -> Arc<dyn ServerCertVerifier> {
    Arc::new(Unverified { provider: provider() })
}

#[cfg(test)]
mod tests;
