//! An authority and the certificates that it signs, with keys in every encoding a Secret may hold.
//!
//! Keys are made anew in each test; nothing secret is stored in the tree.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
};
pub use rustls::pki_types::CertificateDer;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::extensions::GeneralName;

/// Signs certificates that a client can be told to trust.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The authority's own certificate.
    pub certificate: CertificateDer<'static>,
    /// The same in PEM.
    pub pem: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new("Test Authority")
    }
}

impl Authority {
    /// An authority called `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("P-256 keys can be made");
        let certificate = params.self_signed(&key).expect("an authority can sign itself");
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), certificate: der, pem }
    }

    /// A certificate with an ECDSA P-256 key for `names`, valid now.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.sign(names, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256), Validity::Now)
    }

    /// The same with an RSA key of 2048 bits.
    #[must_use]
    pub fn issue_rsa(&self, names: &[&str]) -> Issued {
        self.sign(names, KeyPair::generate_for(&PKCS_RSA_SHA256), Validity::Now)
    }

    /// A certificate whose end has passed.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        self.sign(names, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256), Validity::Past)
    }

    fn sign(&self, names: &[&str], key: Result<KeyPair, rcgen::Error>, validity: Validity) -> Issued {
        let key = key.expect("the provider makes keys of this kind");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("test names are DNS names or addresses");
        params.distinguished_name.push(DnType::CommonName, "Test Certificate");
        if validity == Validity::Past {
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority can sign");
        Issued { chain: vec![certificate.der().clone(), self.certificate.clone()], pkcs8: key.serialize_der() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Validity {
    Now,
    Past,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Leaf first, then the authority.
    pub chain: Vec<CertificateDer<'static>>,
    pkcs8: Vec<u8>,
}

impl Issued {
    /// The leaf.
    #[must_use]
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// The chain in PEM, as in `tls.crt`.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    /// The key as PKCS#8 in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8)
    }

    /// An RSA key as PKCS#1 in PEM (RFC 8017 appendix A.1.2).
    #[must_use]
    pub fn key_pkcs1_pem(&self) -> String {
        pem("RSA PRIVATE KEY", inner_key(&self.pkcs8))
    }

    /// An elliptic curve key as SEC1 in PEM (RFC 5915).
    #[must_use]
    pub fn key_sec1_pem(&self) -> String {
        pem("EC PRIVATE KEY", inner_key(&self.pkcs8))
    }

    /// The key for rustls.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pkcs8.clone()).into()
    }
}

/// The DNS names of a certificate (RFC 5280 section 4.2.1.6).
///
/// # Panics
/// When it is malformed.
#[must_use]
pub fn dns_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).expect("a certificate");
    let names = parsed.subject_alternative_name().expect("at most one such extension");
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().copied().map(char::from));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

/// What PKCS#8 wraps: the third element of its outer sequence, an octet string (RFC 5208 section 5).
fn inner_key(pkcs8: &[u8]) -> &[u8] {
    let (outer, _) = element(pkcs8);
    let (_version, rest) = element(outer);
    let (_algorithm, rest) = element(rest);
    element(rest).0
}

/// Content of the first DER element, and what follows it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let short = usize::from(der[1]);
    let (length, start) = if short < 0x80 {
        (short, 2)
    } else {
        let octets = short & 0x7f;
        (der[2..2 + octets].iter().fold(0, |length, &octet| length << 8 | usize::from(octet)), 2 + octets)
    };
    (&der[start..start + length], &der[start + length..])
}
