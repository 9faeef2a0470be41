//! Private keys: which section of a PEM text is one, and which public key belongs to it.

use std::sync::Arc;

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use portico_shared::Redacted;
use portico_shared::ir::{KeyDer, KeyFormat};
use rustls_pki_types::pem::{PemObject, SectionKind};

use super::SecretProblem;

/// The first private key of a PEM text. Other sections, such as the `EC PARAMETERS` that OpenSSL writes, are skipped.
pub(super) fn read(pem: &[u8]) -> Result<KeyDer, SecretProblem> {
    // Both forms of encryption say so in clear: RFC 5958's section label and RFC 1421's Proc-Type header.
    if contains(pem, b"ENCRYPTED") {
        return Err(SecretProblem::PrivateKeyEncrypted);
    }
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(|_| SecretProblem::PemBroken("tls.key"))?;
        let format = match kind {
            SectionKind::PrivateKey => KeyFormat::Pkcs8,
            SectionKind::RsaPrivateKey => KeyFormat::Pkcs1,
            SectionKind::EcPrivateKey => KeyFormat::Sec1,
            _ => continue,
        };
        return Ok(KeyDer { format, der: Redacted::new(Arc::new(der.into())) });
    }
    // Sections that end so but are none of the above: DSA, OpenSSH.
    let foreign = contains(pem, b"PRIVATE KEY-----");
    Err(if foreign { SecretProblem::PrivateKeyUnusable } else { SecretProblem::PrivateKeyMissing })
}

/// The public keys that `key` may have, as they stand in a certificate; none when it is damaged or of another kind.
///
/// A SEC1 key that names no curve may have one on each.
pub(super) fn public_keys(key: &KeyDer) -> Vec<Vec<u8>> {
    let der = key.der.expose();
    let rsa = |pair: rsa::KeyPair| pair.public_key().as_ref().to_vec();
    let ecdsa = |pair: EcdsaKeyPair| pair.public_key().as_ref().to_vec();
    match key.format {
        KeyFormat::Pkcs1 => rsa::KeyPair::from_der(der).map(rsa).into_iter().collect(),
        KeyFormat::Sec1 => {
            CURVES.iter().filter_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok()).map(ecdsa).collect()
        }
        KeyFormat::Pkcs8 => {
            let ed25519 =
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(|pair| pair.public_key().as_ref().to_vec());
            CURVES
                .iter()
                .filter_map(|curve| EcdsaKeyPair::from_pkcs8(curve, der).ok())
                .map(ecdsa)
                .chain(rsa::KeyPair::from_pkcs8(der).map(rsa))
                .chain(ed25519)
                .collect()
        }
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

const CURVES: &[&EcdsaSigningAlgorithm] =
    &[&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING];
