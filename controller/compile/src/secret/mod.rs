//! Reading a TLS Secret: certificate chain and key, checked to belong together.
//!
//! Knows nothing of hosts or of the time: whom a certificate covers and whether it is valid now is judged where it is
//! used. Key material leaves only inside `Redacted`, and no problem holds a byte of either.

mod key;

use std::fmt::Write;
use std::sync::Arc;

use aws_lc_rs::digest;
use k8s_openapi::api::core::v1::Secret;
use portico_shared::ir::{Certificate, CertificateName};
use rustls_pki_types::pem::{PemObject, SectionKind};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Why a Secret has no usable certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    /// The Secret is of a type that holds no certificate.
    #[error("type {0:?} holds no certificate; use kubernetes.io/tls")]
    TypeUnsupported(String),
    /// A key of the Secret's data is missing.
    #[error("data key {0} is missing")]
    KeyMissing(&'static str),
    /// A value is not PEM.
    #[error("{0} is broken PEM")]
    PemBroken(&'static str),
    /// `tls.crt` has no section `CERTIFICATE`.
    #[error("tls.crt holds no PEM section CERTIFICATE")]
    CertificateMissing,
    /// A certificate of the chain cannot be parsed; the leaf is number 0.
    #[error("certificate {0} of tls.crt, counted from 0, is not a DER X.509 certificate")]
    CertificateBroken(usize),
    /// `tls.key` has no section that is a private key.
    #[error("tls.key holds no PEM section PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY")]
    PrivateKeyMissing,
    /// The private key is encrypted.
    #[error("the key of tls.key is encrypted; store it without a passphrase")]
    PrivateKeyEncrypted,
    /// The private key is of a kind that cannot be used, or is damaged.
    #[error(
        "the key of tls.key cannot be used; it must be RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519"
    )]
    PrivateKeyUnusable,
    /// The key belongs to a certificate of the chain, but not to the first.
    #[error("the key of tls.key belongs to certificate {0} of tls.crt, counted from 0; the leaf must come first")]
    LeafNotFirst(usize),
    /// The key belongs to none of the certificates.
    #[error("the key of tls.key does not belong to the certificate of tls.crt")]
    PrivateKeyForeign,
}

/// Reads certificate and key, checks that they belong together and returns them; validity dates are not judged here.
///
/// The Secret is of type `kubernetes.io/tls` or `Opaque` (also when it says none), with the PEM chain, leaf first, in
/// `tls.crt` and its key in `tls.key`: PKCS#8 (RFC 5958), PKCS#1 (RFC 8017) or SEC1 (RFC 5915). Names are those of the
/// leaf's subject alternative names alone; a common name counts for nothing (RFC 9525 section 2).
///
/// # Errors
/// The first [`SecretProblem`] found.
pub fn read(name: CertificateName, secret: &Secret) -> Result<Certificate, SecretProblem> {
    let kind = secret.type_.as_deref().unwrap_or_default();
    if !matches!(kind, "" | "Opaque" | "kubernetes.io/tls") {
        return Err(SecretProblem::TypeUnsupported(kind.to_owned()));
    }
    let chain = chain(datum(secret, "tls.crt")?)?;
    let certificates = chain
        .iter()
        .enumerate()
        .map(|(at, der)| parse(der).ok_or(SecretProblem::CertificateBroken(at)))
        .collect::<Result<Vec<_>, _>>()?;
    let leaf = certificates.first().ok_or(SecretProblem::CertificateMissing)?;
    let key = key::read(datum(secret, "tls.key")?)?;
    let public_keys = key::public_keys(&key);
    if public_keys.is_empty() {
        return Err(SecretProblem::PrivateKeyUnusable);
    }
    let owner = certificates.iter().position(|certificate| public_keys.contains(&public_key(certificate)));
    match owner {
        Some(0) => {}
        Some(other) => return Err(SecretProblem::LeafNotFirst(other)),
        None => return Err(SecretProblem::PrivateKeyForeign),
    }
    let validity = leaf.validity();
    Ok(Certificate {
        name,
        dns_names: dns_names(leaf),
        fingerprint: fingerprint(&chain[0]).into(),
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
        key,
        chain: chain.iter().map(|der| Arc::from(&**der)).collect(),
    })
}

fn datum<'a>(secret: &'a Secret, key: &'static str) -> Result<&'a [u8], SecretProblem> {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    value.map(|value| &*value.0).ok_or(SecretProblem::KeyMissing(key))
}

fn chain(pem: &[u8]) -> Result<Vec<Vec<u8>>, SecretProblem> {
    let mut chain = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        match section {
            Ok((SectionKind::Certificate, der)) => chain.push(der),
            Ok(_) => {}
            Err(_) => return Err(SecretProblem::PemBroken("tls.crt")),
        }
    }
    Ok(chain)
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

fn public_key(certificate: &X509Certificate<'_>) -> Vec<u8> {
    certificate.public_key().subject_public_key.data.to_vec()
}

/// The leaf's DNS names in lower case, each once; what is no DNS name is left out.
fn dns_names(leaf: &X509Certificate<'_>) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    if let Ok(Some(extension)) = leaf.subject_alternative_name() {
        for name in &extension.value.general_names {
            let GeneralName::DNSName(name) = name else { continue };
            let name = name.to_ascii_lowercase();
            if is_dns_name(&name) && !names.iter().any(|known| **known == *name) {
                names.push(name.into());
            }
        }
    }
    names
}

/// A host name, or `*.` and one. Underscores pass, since some names in use have them.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.strip_prefix("*.").unwrap_or(name).split('.').all(label)
}

fn fingerprint(der: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in digest::digest(&digest::SHA256, der).as_ref() {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    hex
}

#[cfg(test)]
mod tests;
