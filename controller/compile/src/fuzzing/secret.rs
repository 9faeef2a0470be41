//! TLS Secrets: what is accepted belongs together and reads the same again, what is refused says nothing of its content.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use portico_shared::ir::CertificateName;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::secret::read;

/// A type, then `tls.crt` up to the first octet 0, then `tls.key`.
pub fn secret(octets: &[u8]) {
    let Some((&kind, rest)) = octets.split_first() else { return };
    let mut values = rest.splitn(2, |octet| *octet == 0);
    let mut data = BTreeMap::new();
    for key in ["tls.crt", "tls.key"] {
        if let Some(value) = values.next() {
            data.insert(key.to_owned(), ByteString(value.to_vec()));
        }
    }
    let kind = ["kubernetes.io/tls", "Opaque", "", "kubernetes.io/basic-auth"][usize::from(kind) % 4];
    let secret = Secret { type_: Some(kind.to_owned()), data: Some(data), ..Secret::default() };
    let name = CertificateName { namespace: "shop".into(), secret: "web".into() };
    match read(name.clone(), &secret) {
        Err(problem) => {
            let told = format!("{problem} {problem:?}");
            // Every message is one of a few texts: beside the type, numbers alone come from outside.
            assert!(told.len() < 500 && told.is_ascii());
        }
        Ok(certificate) => {
            assert!(matches!(kind, "kubernetes.io/tls" | "Opaque" | ""));
            let pem = &secret.data.as_ref().expect("data was given")["tls.crt"].0;
            let first = CertificateDer::from_pem_slice(pem).expect("the chain was read");
            assert_eq!(*first, *certificate.chain[0], "the leaf is the first certificate");
            assert_eq!(certificate.fingerprint.len(), 64);
            for name in &certificate.dns_names {
                assert!(name.len() <= 253 && !name.contains(|c: char| c.is_ascii_uppercase() || !c.is_ascii_graphic()));
            }
            let again = read(name, &secret).expect("it was accepted");
            assert_eq!(again, certificate);
            let shown = format!("{certificate:?}");
            let der = certificate.key.der.expose();
            // There every format has something private: numbers of RSA, the scalar of a curve.
            let private = &der[der.len() / 4..][..10];
            let public = certificate.chain.iter().any(|der| der.windows(private.len()).any(|part| part == private));
            let octets = format!("{private:?}");
            // Behind a key anything may stand, a part of its certificate, too.
            assert!(public || !shown.contains(octets.trim_matches(['[', ']'])), "the key shows");
        }
    }
}
