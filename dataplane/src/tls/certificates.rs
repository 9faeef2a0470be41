//! What a handshake is answered from: a table, its keys, and the certificate of last resort.

use std::sync::Arc;

use portico_shared::normalise::authority;
use portico_shared::table::{CertificateChoice, RoutingTable};
use rustls::sign::CertifiedKey;

use super::keys::{KeyError, Keys};

/// The certificates served now; swapped as a whole with the table.
#[derive(Clone, Debug)]
pub struct Certificates {
    table: Arc<RoutingTable>,
    keys: Keys,
    self_signed: Arc<CertifiedKey>,
}

impl Certificates {
    /// Certificates before the first table: the self-signed one alone.
    #[must_use]
    pub fn new(self_signed: Arc<CertifiedKey>) -> Self {
        Self { table: Arc::new(RoutingTable::empty()), keys: Keys::default(), self_signed }
    }

    /// The certificates of the next table, with one error for each that cannot be served: one of the same name from
    /// before goes on being served, else its listener's default.
    #[must_use]
    pub fn next(&self, table: Arc<RoutingTable>) -> (Self, Vec<KeyError>) {
        let (keys, errors) = Keys::build(&table, &self.keys);
        (Self { table, keys, self_signed: self.self_signed.clone() }, errors)
    }

    /// The certificate of a handshake on `listener`, by the server name as the client sent it.
    ///
    /// `strict` refuses a name for which the table has no certificate but a default; without a name the default serves.
    #[must_use]
    pub fn choose(&self, listener: &str, server_name: Option<&str>, strict: bool) -> Option<Arc<CertifiedKey>> {
        let name = server_name.and_then(authority::name);
        let listener = self.table.listener(listener);
        let choice = listener.map_or(CertificateChoice::SelfSigned, |listener| listener.certificate(name.as_deref()));
        let by_name = matches!(
            choice,
            CertificateChoice::Host(_) | CertificateChoice::Wildcard(_) | CertificateChoice::Covering(_)
        );
        if strict && server_name.is_some() && !by_name {
            return None;
        }
        let key = |choice: CertificateChoice<'_>| self.keys.get(&choice.certificate()?.name).cloned();
        let default = || key(listener?.certificate(None));
        Some(key(choice).or_else(default).unwrap_or_else(|| self.self_signed.clone()))
    }
}
