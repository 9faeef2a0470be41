//! The certificate of last resort, made anew at each start.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

/// A self-signed certificate for `portico.invalid` with a fresh ECDSA P-256 key, which is never written anywhere.
///
/// Served where the table names no certificate: the connection is then encrypted, and no client takes it for the site.
/// Errors come from the provider, such as a system without randomness.
pub fn self_signed() -> Result<Arc<CertifiedKey>, String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())?;
    let mut parameters = CertificateParams::new([NAME.to_owned()]).map_err(|error| error.to_string())?;
    parameters.distinguished_name.remove(DnType::CommonName);
    parameters.distinguished_name.push(DnType::CommonName, "Portico default certificate");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = parameters.self_signed(&key).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    CertifiedKey::from_der(vec![certificate.der().clone()], key, &super::provider())
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

/// Its only name (RFC 2606 keeps the domain unused).
const NAME: &str = "portico.invalid";
