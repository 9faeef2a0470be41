//! Private keys made ready to sign, kept from one table to the next.

use std::collections::HashMap;
use std::sync::Arc;

use portico_shared::ir::{Certificate, CertificateName, KeyFormat};
use portico_shared::table::RoutingTable;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::CertifiedKey;

/// A certificate of the table that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificate {name}: {reason}")]
pub struct KeyError {
    /// Its name.
    pub name: CertificateName,
    /// The provider's reason.
    pub reason: String,
}

/// The certificates of a table with keys that can sign, by name.
///
/// Built at each publish; the resolver reads it. What is equal by value to what was there before is not parsed again. A
/// certificate that the provider refuses leaves the one of its name from before in service.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    entries: HashMap<CertificateName, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    certificate: Arc<Certificate>,
    key: Arc<CertifiedKey>,
}

impl Keys {
    /// The keys of a table, with one error for each certificate that could not be used.
    #[must_use]
    pub fn build(table: &RoutingTable, previous: &Self) -> (Self, Vec<KeyError>) {
        let mut keys = Self { entries: HashMap::with_capacity(table.ir().certificates.len()) };
        let mut errors = Vec::new();
        for certificate in &table.ir().certificates {
            let name = &certificate.name;
            let before = previous.entries.get(name);
            let equal = before.filter(|entry| entry.certificate == *certificate);
            let made = match equal {
                Some(entry) => Ok(entry.clone()),
                None => {
                    certified_key(certificate).map(|key| Entry { certificate: certificate.clone(), key: Arc::new(key) })
                }
            };
            let entry = match made {
                Ok(entry) => Some(entry),
                Err(reason) => {
                    errors.push(KeyError { name: name.clone(), reason: reason.to_string() });
                    before.cloned()
                }
            };
            keys.entries.extend(entry.map(|entry| (name.clone(), entry)));
        }
        (keys, errors)
    }

    /// The key of that certificate.
    #[must_use]
    pub fn get(&self, name: &CertificateName) -> Option<&Arc<CertifiedKey>> {
        self.entries.get(name).map(|entry| &entry.key)
    }
}

/// Parses chain and key; refused when the key is not the leaf's.
fn certified_key(certificate: &Certificate) -> Result<CertifiedKey, rustls::Error> {
    let chain = certificate.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let der = certificate.key.der.expose();
    let key = match certificate.key.format {
        KeyFormat::Pkcs8 => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(&***der)),
        KeyFormat::Pkcs1 => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(&***der)),
        KeyFormat::Sec1 => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(&***der)),
    };
    // The provider reads the borrowed octets: no copy of them is left behind.
    let key = CertifiedKey::new(chain, any_supported_type(&key)?);
    match key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(key),
        Err(differ) => Err(differ),
    }
}
