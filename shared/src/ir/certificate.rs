//! A certificate with its private key, checked to belong together.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::redacted::{Erased, Redacted};

/// A certificate's name: the Secret it was read from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CertificateName {
    /// Namespace of the Secret.
    pub namespace: Arc<str>,
    /// Name of the Secret.
    pub secret: Arc<str>,
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.secret)
    }
}

/// How a private key is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum KeyFormat {
    /// `PRIVATE KEY`.
    Pkcs8,
    /// `RSA PRIVATE KEY`.
    Pkcs1,
    /// `EC PRIVATE KEY`.
    Sec1,
}

/// A private key in DER.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct KeyDer {
    /// Encoding of the bytes.
    pub format: KeyFormat,
    /// The key.
    pub der: Redacted<Arc<Erased>>,
}

/// A usable certificate: chain, key that belongs to the leaf, names and dates.
///
/// Built by the compile step from a Secret, never with a key that does not fit; read by the data plane's resolver.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Certificate {
    /// Where it came from.
    pub name: CertificateName,
    /// DER certificates, leaf first.
    #[serde(serialize_with = "lengths")]
    pub chain: Vec<Arc<[u8]>>,
    /// The leaf's key.
    pub key: KeyDer,
    /// DNS names of the leaf's subject alternative names, lower case; wildcards as `*.suffix`.
    pub dns_names: Vec<Arc<str>>,
    /// SHA-256 of the leaf in lower-case hex.
    pub fingerprint: Arc<str>,
    /// Start of validity, seconds since 1970.
    pub not_before: i64,
    /// End of validity, seconds since 1970.
    pub not_after: i64,
}

impl Certificate {
    /// Whether the leaf is valid for `host`, a normalised name or a pattern `*.suffix` (RFC 9525 section 6.3: a wildcard
    /// stands for exactly one label).
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.dns_names.iter().any(|name| {
            **name == *host
                || name.strip_prefix("*.").is_some_and(|suffix| {
                    host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix)
                })
        })
    }
}

fn lengths<S: serde::Serializer>(chain: &[Arc<[u8]>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(chain.iter().map(|der| format!("{} octets", der.len())))
}
