//! Chains and keys made anew, in every encoding, and every way to get them wrong.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use portico_shared::ir::KeyFormat;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, SanType, SignatureAlgorithm,
};

use super::*;

fn name() -> CertificateName {
    CertificateName { namespace: "ns".into(), secret: "s".into() }
}

fn secret(kind: Option<&str>, data: &[(&str, &[u8])]) -> Secret {
    let data: BTreeMap<_, _> =
        data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec()))).collect();
    Secret { data: Some(data), type_: kind.map(str::to_owned), ..Secret::default() }
}

fn tls(certificate: &str, key: &str) -> Secret {
    secret(Some("kubernetes.io/tls"), &[("tls.crt", certificate.as_bytes()), ("tls.key", key.as_bytes())])
}

fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.subject_alt_names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
    params.distinguished_name.push(DnType::CommonName, "cn.example.com");
    params
}

/// A self-signed certificate with its key in PKCS#8.
fn made(algorithm: &'static SignatureAlgorithm) -> (String, KeyPair) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    (params(&["a.example.com"]).self_signed(&key).unwrap().pem(), key)
}

/// The content of the innermost OCTET STRING of a PKCS#8 key (RFC 5958 section 2): PKCS#1 or SEC1.
fn inner(pkcs8: &[u8]) -> &[u8] {
    let (_, sequence, _) = element(pkcs8);
    let (_, _, after_version) = element(sequence);
    let (_, _, after_algorithm) = element(after_version);
    let (tag, content, _) = element(after_algorithm);
    assert_eq!(tag, 4, "an OCTET STRING");
    content
}

/// Tag and content of the first DER element, and what follows it.
fn element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (length, start) = match der[1] {
        short if short < 0x80 => (usize::from(short), 2),
        long => {
            let count = usize::from(long & 0x7f);
            (der[2..2 + count].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), 2 + count)
        }
    };
    (der[0], &der[start..start + length], &der[start + length..])
}

fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in der.chunks(3) {
        let bits = group.iter().chain(&[0, 0]).take(3).fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for at in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[test]
fn every_key_of_every_encoding_is_read() {
    for (case, algorithm, label, format) in [
        ("P-256", &PKCS_ECDSA_P256_SHA256, "EC PRIVATE KEY", Some(KeyFormat::Sec1)),
        ("P-384", &PKCS_ECDSA_P384_SHA384, "EC PRIVATE KEY", Some(KeyFormat::Sec1)),
        ("P-521", &PKCS_ECDSA_P521_SHA512, "EC PRIVATE KEY", Some(KeyFormat::Sec1)),
        ("RSA", &PKCS_RSA_SHA256, "RSA PRIVATE KEY", Some(KeyFormat::Pkcs1)),
        ("Ed25519", &PKCS_ED25519, "", None),
    ] {
        let (certificate, key) = made(algorithm);
        let read_pkcs8 = read(name(), &tls(&certificate, &key.serialize_pem())).unwrap();
        assert_eq!(read_pkcs8.key.format, KeyFormat::Pkcs8, "case {case}");
        assert_eq!(read_pkcs8.key.der.expose()[..], key.serialize_der(), "case {case}");
        let Some(format) = format else { continue };
        let der = key.serialize_der();
        let old = format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}",
            pem(label, inner(&der))
        );
        let read_old = read(name(), &tls(&certificate, &old)).unwrap();
        assert_eq!(read_old.key.format, format, "case {case}");
        assert_eq!(read_old.key.der.expose()[..], *inner(&der), "case {case}");
    }
}

#[test]
fn names_dates_and_fingerprint_are_the_leafs() {
    let mut params = params(&["B.Example.com", "b.example.com", "*.c.example.com", "under_score.example.com"]);
    params.subject_alt_names.extend([
        SanType::IpAddress("10.0.0.1".parse().unwrap()),
        SanType::DnsName("nul\0.example.com".try_into().unwrap()),
        SanType::DnsName("a b.example.com".try_into().unwrap()),
        SanType::DnsName("*".try_into().unwrap()),
        SanType::DnsName("a.*.example.com".try_into().unwrap()),
        SanType::DnsName("".try_into().unwrap()),
    ]);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let read = read(name(), &tls(&certificate.pem(), &key.serialize_pem())).unwrap();
    let names: Vec<&str> = read.dns_names.iter().map(|name| &**name).collect();
    assert_eq!(names, ["b.example.com", "*.c.example.com", "under_score.example.com"]);
    assert_eq!((read.not_before, read.not_after), (1_577_836_800, 1_609_459_200));
    assert_eq!(read.fingerprint.len(), 64);
    assert_eq!(*read.fingerprint, fingerprint(certificate.der()));
    assert_eq!(read.name, name());
    assert_eq!(&*read.chain[0], &**certificate.der());
}

#[test]
fn a_common_name_is_no_name() {
    let key = KeyPair::generate().unwrap();
    let certificate = params(&[]).self_signed(&key).unwrap();
    let read = read(name(), &tls(&certificate.pem(), &key.serialize_pem())).unwrap();
    assert!(read.dns_names.is_empty());
}

#[test]
fn types_and_line_ends_that_pass() {
    let (certificate, key) = made(&PKCS_ECDSA_P256_SHA256);
    let key = key.serialize_pem();
    for (case, kind, certificate, key) in [
        ("no type", None, certificate.clone(), key.clone()),
        ("Opaque", Some("Opaque"), certificate.clone(), key.clone()),
        ("CRLF", Some("kubernetes.io/tls"), certificate.replace('\n', "\r\n"), key.replace('\n', "\r\n")),
        ("text around", None, format!("subject=a\n{certificate}tail"), format!("Bag Attributes\n{key}")),
        ("key in both", None, format!("{key}{certificate}"), format!("{certificate}{key}")),
    ] {
        let secret = secret(kind, &[("tls.crt", certificate.as_bytes()), ("tls.key", key.as_bytes())]);
        assert_eq!(read(name(), &secret).map(|read| read.chain.len()), Ok(1), "case {case}");
    }
}

#[test]
fn chains_keep_their_order_and_start_with_the_leaf() {
    let mut authority = params(&[]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = params(&["a.example.com"]).signed_by(&key, &issuer).unwrap();
    let (leaf, authority, key) = (leaf.pem(), issuer.pem(), key.serialize_pem());
    let right = read(name(), &tls(&format!("{leaf}{authority}"), &key)).unwrap();
    assert_eq!(right.chain.len(), 2);
    assert_eq!(right.dns_names.len(), 1);
    let turned = read(name(), &tls(&format!("{authority}{leaf}"), &key));
    assert_eq!(turned, Err(SecretProblem::LeafNotFirst(1)));
}

#[test]
fn what_cannot_be_used_is_refused_without_showing_it() {
    let (certificate, key) = made(&PKCS_ECDSA_P256_SHA256);
    let (_, other) = made(&PKCS_ECDSA_P256_SHA256);
    let (_, rsa) = made(&PKCS_RSA_SHA256);
    let (der, key) = (key.serialize_der(), key.serialize_pem());
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let cases: Vec<(&str, String, String, SecretProblem)> = vec![
        ("no certificate", String::new(), key.clone(), SecretProblem::CertificateMissing),
        ("text for a certificate", "hello".into(), key.clone(), SecretProblem::CertificateMissing),
        ("certificate cut", cut(&certificate), key.clone(), SecretProblem::PemBroken("tls.crt")),
        ("certificate not DER", pem("CERTIFICATE", b"hunter2"), key.clone(), SecretProblem::CertificateBroken(0)),
        ("second not DER", format!("{certificate}{}", pem("CERTIFICATE", b"x")), key.clone(), SecretProblem::CertificateBroken(1)),
        ("no key", certificate.clone(), String::new(), SecretProblem::PrivateKeyMissing),
        ("certificate for a key", certificate.clone(), certificate.clone(), SecretProblem::PrivateKeyMissing),
        ("key cut", certificate.clone(), cut(&key), SecretProblem::PemBroken("tls.key")),
        ("key not base64", certificate.clone(), "-----BEGIN PRIVATE KEY-----\nhunter2!!\n-----END PRIVATE KEY-----\n".into(), SecretProblem::PemBroken("tls.key")),
        ("key not DER", certificate.clone(), pem("PRIVATE KEY", b"hunter2"), SecretProblem::PrivateKeyUnusable),
        ("key damaged", certificate.clone(), pem("PRIVATE KEY", &der[..der.len() - 1]), SecretProblem::PrivateKeyUnusable),
        ("key under another label", certificate.clone(), pem("RSA PRIVATE KEY", &der), SecretProblem::PrivateKeyUnusable),
        ("OpenSSH key", certificate.clone(), pem("OPENSSH PRIVATE KEY", b"hunter2"), SecretProblem::PrivateKeyUnusable),
        ("encrypted PKCS#8", certificate.clone(), pem("ENCRYPTED PRIVATE KEY", b"hunter2"), SecretProblem::PrivateKeyEncrypted),
        ("encrypted PKCS#1", certificate.clone(), "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nhunter2\n-----END RSA PRIVATE KEY-----\n".into(), SecretProblem::PrivateKeyEncrypted),
        ("key of another", certificate.clone(), other.serialize_pem(), SecretProblem::PrivateKeyForeign),
        ("key of another kind", certificate.clone(), rsa.serialize_pem(), SecretProblem::PrivateKeyForeign),
    ];
    for (case, certificate, key, expected) in cases {
        let problem = read(name(), &tls(&certificate, &key)).expect_err(case);
        assert_eq!(problem, expected, "case {case}");
        assert!(!format!("{problem} {problem:?}").contains("hunter2"), "case {case}");
    }
}

#[test]
fn secrets_of_the_wrong_shape() {
    let cases = [
        (secret(None, &[]), SecretProblem::KeyMissing("tls.crt")),
        (Secret::default(), SecretProblem::KeyMissing("tls.crt")),
        (secret(None, &[("tls.crt", made(&PKCS_ED25519).0.as_bytes())]), SecretProblem::KeyMissing("tls.key")),
        (secret(Some("kubernetes.io/ssh-auth"), &[]), SecretProblem::TypeUnsupported("kubernetes.io/ssh-auth".into())),
    ];
    for (secret, expected) in cases {
        assert_eq!(read(name(), &secret), Err(expected));
    }
}

#[test]
fn no_form_of_a_certificate_shows_its_key() {
    let (certificate, key) = made(&PKCS_ECDSA_P256_SHA256);
    let read = read(name(), &tls(&certificate, &key.serialize_pem())).unwrap();
    let shown = format!("{read:?} {}", serde_json::to_string(&read).unwrap());
    assert!(shown.contains("redacted"));
    let bytes = format!("{:?}", &key.serialize_der()[40..60]);
    assert!(!shown.contains(bytes.trim_matches(['[', ']'])));
}
