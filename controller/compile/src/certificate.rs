//! Certificates out of the snapshot's Secrets: which can be used, which are used, and when time changes the report.
//!
//! The store has read every Secret already ([`crate::secret::read`]); nothing is parsed here. A Secret whose content
//! cannot be used is reported on the Secret; a Secret that does not exist is the caller's to report, on the field
//! that names it.

use std::collections::HashMap;
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
    taken: HashMap<CertificateName, Arc<Certificate>>,
}

impl<'a> Certificates<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, taken: HashMap::new() }
    }

    /// The certificate of a Secret; the last usable version's when the present one is broken.
    pub(crate) fn find(&self, key: &Key, report: &mut Reporter) -> Lookup {
        let Some(entry) = self.snapshot.secrets.get(key) else { return Lookup::Missing };
        let problem = match &entry.certificate {
            Ok(certificate) => return Lookup::Usable(certificate.clone()),
            Err(problem) => problem,
        };
        let instead = match entry.last_usable {
            Some(_) => "its last usable version is served",
            None => "the default certificate is served",
        };
        // Whoever asks is told the same, which the report shows once.
        let problem = Problem::error(Code::SecretInvalid, "data", format!("{problem}; {instead}"));
        let hint = "data needs tls.crt (PEM chain, leaf first) and tls.key (PEM key of that leaf)";
        report.add(&entry.object, problem.hint(hint));
        entry.last_usable.clone().map_or(Lookup::Unusable, Lookup::Usable)
    }

    /// Takes a certificate into the IR. Repetitions change nothing.
    pub(crate) fn take(&mut self, certificate: &Arc<Certificate>) -> CertificateName {
        let name = certificate.name.clone();
        self.taken.entry(name.clone()).or_insert_with(|| certificate.clone());
        name
    }

    /// What was taken.
    pub(crate) fn finish(self) -> HashMap<CertificateName, Arc<Certificate>> {
        self.taken
    }
}

/// Judges the dates of certificates at the time of a snapshot. Returns the next moment at which time alone changes what
/// is said of them.
pub(crate) fn judge_dates(
    certificates: &[Arc<Certificate>],
    snapshot: &Snapshot,
    report: &mut Reporter,
) -> Option<i64> {
    certificates.iter().filter_map(|certificate| judge(certificate, snapshot, report)).min()
}

fn judge(certificate: &Certificate, snapshot: &Snapshot, report: &mut Reporter) -> Option<i64> {
    let now = snapshot.now;
    let notice = certificate.not_after.saturating_sub(EXPIRY_NOTICE);
    // RFC 5280 section 4.1.2.5: both ends are part of the validity.
    let end = certificate.not_after.saturating_add(1);
    let next = [certificate.not_before, notice, end].into_iter().filter(|moment| *moment > now).min();

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
        return next;
    };
    let key = Key { namespace: certificate.name.namespace.clone(), name: certificate.name.secret.clone() };
    if let Some(entry) = snapshot.secrets.get(&key) {
        report.add(&entry.object, problem);
    }
    next
}

/// A moment in UTC. Messages hold moments, never spans, so that they change at boundaries only.
fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| format!("Unix time {seconds}"), |moment| moment.to_string())
}
