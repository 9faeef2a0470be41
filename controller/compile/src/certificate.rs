//! Certificates out of the snapshot's Secrets: which can be used, which are used, and when time changes the report.
//!
//! The store has read every Secret already ([`crate::secret::read`]); nothing is parsed here. A Secret whose content
//! cannot be used is reported once, on the Secret; a Secret that does not exist is the caller's to report, on the field
//! that names it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use portico_shared::Code;
use portico_shared::ir::{Certificate, CertificateName};

use crate::report::{Problem, Reporter};
use crate::snapshot::{Key, Snapshot};

/// How long before its end a certificate is reported, in seconds: 14 days.
const EXPIRY_NOTICE: i64 = 14 * 86_400;

/// What a Secret gives.
#[derive(Clone, Debug)]
pub(crate) enum Lookup {
    /// There is no such Secret.
    Missing,
    /// Its content cannot be used and no earlier version could; reported.
    Unusable,
    /// A certificate, of this version or of the last usable one.
    Usable(Arc<Certificate>),
}

/// Certificates asked for and taken so far.
#[derive(Debug)]
pub(crate) struct Certificates<'a> {
    snapshot: &'a Snapshot,
    reported: BTreeSet<&'a Key>,
    taken: BTreeMap<CertificateName, Arc<Certificate>>,
    boundary: Option<i64>,
}

impl<'a> Certificates<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, reported: BTreeSet::new(), taken: BTreeMap::new(), boundary: None }
    }

    /// The certificate of a Secret; the last usable version's when the present one is broken.
    pub(crate) fn find(&mut self, key: &Key, report: &mut Reporter) -> Lookup {
        let Some((key, entry)) = self.snapshot.secrets.get_key_value(key) else { return Lookup::Missing };
        let problem = match &entry.certificate {
            Ok(certificate) => return Lookup::Usable(certificate.clone()),
            Err(problem) => problem,
        };
        if self.reported.insert(key) {
            let instead = match entry.last_usable {
                Some(_) => "its last usable version is served",
                None => "the default certificate is served",
            };
            let problem = Problem::error(Code::SecretInvalid, "data", format!("{problem}; {instead}"));
            report.add(
                &entry.object,
                problem.hint("data needs tls.crt (PEM chain, leaf first) and tls.key (PEM key of that leaf)"),
            );
        }
        entry.last_usable.clone().map_or(Lookup::Unusable, Lookup::Usable)
    }

    /// Takes a certificate into the IR and judges its dates. Repetitions change nothing.
    pub(crate) fn take(&mut self, certificate: &Arc<Certificate>, report: &mut Reporter) -> CertificateName {
        let name = certificate.name.clone();
        if self.taken.insert(name.clone(), certificate.clone()).is_none() {
            self.judge_dates(certificate, report);
        }
        name
    }

    fn judge_dates(&mut self, certificate: &Certificate, report: &mut Reporter) {
        let now = self.snapshot.now;
        let notice = certificate.not_after.saturating_sub(EXPIRY_NOTICE);
        // RFC 5280 section 4.1.2.5: both ends are part of the validity.
        let end = certificate.not_after.saturating_add(1);
        let next = [certificate.not_before, notice, end].into_iter().filter(|moment| *moment > now).min();
        self.boundary = self.boundary.into_iter().chain(next).min();

        let problem = if now >= end {
            let message = format!("the certificate ended at {}; it is still served", date(certificate.not_after));
            Problem::warning(Code::CertificateExpired, "data", message).hint("renew the certificate; clients refuse it")
        } else if now < certificate.not_before {
            let message = format!("the certificate is not valid before {}", date(certificate.not_before));
            Problem::warning(Code::CertificateExpired, "data", message)
                .hint("wait, issue one that is valid now, or check this machine's clock")
        } else if now >= notice {
            let message = format!("the certificate ends at {}, within 14 days", date(certificate.not_after));
            Problem::warning(Code::CertificateExpiring, "data", message).hint("renew the certificate")
        } else {
            return;
        };
        let key = Key { namespace: certificate.name.namespace.clone(), name: certificate.name.secret.clone() };
        if let Some(entry) = self.snapshot.secrets.get(&key) {
            report.add(&entry.object, problem);
        }
    }

    /// What was taken, sorted by name, and the next moment at which time alone changes the report.
    pub(crate) fn finish(self) -> (Vec<Arc<Certificate>>, Option<i64>) {
        (self.taken.into_values().collect(), self.boundary)
    }
}

/// A moment in UTC. Messages hold moments, never spans, so that they change at boundaries only.
fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| format!("Unix time {seconds}"), |moment| moment.to_string())
}
