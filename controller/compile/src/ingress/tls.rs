//! TLS entries: which certificate each host gets.
//!
//! A certificate reaches a host only from the namespace that owns the host, and only when it covers it. What is wrong
//! with a certificate never takes a route away: the host is then served with the listener's choice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::IngressTLS;
use portico_shared::ir::{Certificate, CertificateName, HostPattern};
use portico_shared::{Code, Kind, ObjectRef};

use super::{Draft, Host, Ours, Scope, host};
use crate::certificate::{Certificates, Lookup};
use crate::report::{Problem, Reporter, Subject, quote};
use crate::snapshot::Key;

/// The TLS pass over all Ingresses.
struct Pass<'p, 'a, 's> {
    scope: &'p Scope,
    ours: &'p [Ours<'a>],
    owners: &'p HashMap<HostPattern, &'a ObjectRef>,
    hosts: &'p mut HashMap<HostPattern, Host<'a>>,
    tls_names: &'p mut BTreeMap<HostPattern, (CertificateName, usize)>,
    covering: &'p mut Vec<CertificateName>,
    certificates: &'p mut Certificates<'s>,
    report: &'p mut Reporter,
}

/// One TLS entry.
struct Entry<'e> {
    /// Place of the Ingress.
    place: usize,
    /// Place in `spec.tls`.
    index: usize,
    certificate: Option<&'e Arc<Certificate>>,
}

/// Gives hosts their certificates, and gathers those for names that no rule names.
pub(crate) fn claim(draft: &mut Draft<'_>, certificates: &mut Certificates<'_>, report: &mut Reporter) {
    let Draft { scope, ours, owners, hosts, tls_names, covering, .. } = draft;
    let mut pass = Pass { scope, ours, owners, hosts, tls_names, covering, certificates, report };
    for (place, ingress) in ours.iter().enumerate() {
        let entries = ingress.object.value.spec.as_ref().and_then(|spec| spec.tls.as_deref()).unwrap_or_default();
        for (index, entry) in entries.iter().enumerate() {
            pass.report.turn_to(Subject::Ingress(ingress.object.key()));
            let certificate = pass.find(ingress, index, entry);
            let claimed = Entry { place, index, certificate: certificate.as_ref() };
            match entry.hosts.as_deref() {
                None | Some([]) => pass.claim_own_hosts(&claimed),
                Some(listed) => {
                    for (at, text) in listed.iter().enumerate() {
                        pass.claim_listed(&claimed, at, text);
                    }
                }
            }
        }
    }
}

/// Takes the certificate that the operator named for everything else.
pub(crate) fn claim_default(
    draft: &mut Draft<'_>,
    key: Option<&Key>,
    certificates: &mut Certificates<'_>,
    report: &mut Reporter,
) {
    let Some(key) = key else { return };
    report.turn_to(Subject::Rest);
    let reason = match certificates.find(key, report) {
        Lookup::Usable(certificate) => {
            draft.default_certificate = Some(certificates.take(&certificate));
            return;
        }
        Lookup::Missing => "does not exist",
        Lookup::Unusable => "has no usable certificate",
    };
    let message = format!("the default certificate's Secret {key} {reason}; a self-signed certificate is served");
    let problem = Problem::error(Code::DefaultUnusable, "", message).hint("create or mend the Secret");
    report.add_missing(ObjectRef::new(Kind::Secret, &key.namespace, &key.name), problem);
}

impl<'a> Pass<'_, 'a, '_> {
    /// The entry's certificate; what is wrong is reported.
    fn find(&mut self, ingress: &Ours<'_>, index: usize, entry: &IngressTLS) -> Option<Arc<Certificate>> {
        let name = entry.secret_name.as_deref().filter(|name| !name.is_empty())?;
        let field = || format!("spec.tls[{index}].secretName");
        if name.contains('/') {
            let message = format!("{} is not the name of a Secret; the default certificate is served", quote(name));
            let problem = Problem::error(Code::ObjectInvalid, field(), message);
            self.report
                .add(ingress.object, problem.hint("name a Secret of the Ingress's own namespace, without slash"));
            return None;
        }
        let key = Key { namespace: ingress.reference().namespace.clone(), name: name.into() };
        match self.certificates.find(&key, self.report) {
            Lookup::Usable(certificate) => Some(certificate),
            Lookup::Unusable => None,
            Lookup::Missing => {
                let message = format!("Secret {key} does not exist; the default certificate is served");
                let problem = Problem::error(Code::SecretNotFound, field(), message);
                self.report
                    .add(ingress.object, problem.hint("create it with type kubernetes.io/tls, or correct the name"));
                None
            }
        }
    }

    /// A host that the entry lists.
    fn claim_listed(&mut self, entry: &Entry<'_>, at: usize, text: &str) {
        let ours = self.ours;
        let object = ours[entry.place].object;
        let field = format!("spec.tls[{}].hosts[{at}]", entry.index);
        let pattern = match host::of_tls(text) {
            Ok(pattern) => pattern,
            Err(message) => {
                let problem = Problem::error(Code::ObjectInvalid, field, format!("{message}; it is left out"));
                self.report.turn_to(Subject::Ingress(object.key()));
                return self.report.add(object, problem.hint("write a DNS name in lower case, or *. before one"));
            }
        };
        if !self.scope.holds(&pattern) {
            return;
        }
        self.report.turn_to(Subject::Host(pattern.clone()));
        let owner = self.owner(&pattern).or_else(|| self.owner(&host::wildcard_above(&pattern)?));
        if let Some(owner) = owner.filter(|owner| *owner.namespace != *ours[entry.place].namespace()) {
            return self.report.add(object, owned_elsewhere(&pattern, owner, field));
        }
        if let Some(host) = self.hosts.get_mut(&pattern) {
            host.tls = true;
        }
        let Some(certificate) = entry.certificate else { return };
        if !certificate.covers(&pattern.to_string()) {
            return self.report.add(object, mismatch(&pattern, certificate, field));
        }
        self.give(entry, &pattern, certificate, field);
    }

    /// An entry without hosts: it holds for the hosts of the Ingress's rules that the certificate covers, and where the
    /// Ingress takes any host, for every name that it covers.
    fn claim_own_hosts(&mut self, entry: &Entry<'_>) {
        let ours = self.ours;
        let ingress = &ours[entry.place];
        let field = format!("spec.tls[{}]", entry.index);
        let mut covering = !ingress.has_rules();
        for rule in &ingress.rules {
            let Some(host) = self.hosts.get_mut(&rule.pattern) else { continue };
            let owner = &ours[host.owner];
            let covers = |certificate: &Arc<Certificate>| {
                rule.pattern == HostPattern::Any || certificate.covers(&rule.pattern.to_string())
            };
            if entry.certificate.is_some_and(|certificate| !covers(certificate)) {
                continue;
            }
            self.report.turn_to(Subject::Host(rule.pattern.clone()));
            if owner.namespace() != ingress.namespace() {
                let problem = owned_elsewhere(&rule.pattern, owner.reference(), field.clone());
                self.report.add(ingress.object, problem);
                continue;
            }
            host.tls = true;
            match (&rule.pattern, entry.certificate) {
                (HostPattern::Any, _) => covering = true,
                (pattern, Some(certificate)) => self.give(entry, pattern, certificate, field.clone()),
                (_, None) => {}
            }
        }
        if let (true, Some(certificate)) = (covering, entry.certificate) {
            self.covering.push(self.certificates.take(certificate));
        }
    }

    /// The oldest Ingress with a rule for a host.
    fn owner(&self, pattern: &HostPattern) -> Option<&'a ObjectRef> {
        let here = self.hosts.get(pattern).map(|host| self.ours[host.owner].reference());
        here.or_else(|| self.owners.get(pattern).copied())
    }

    /// Gives a name its certificate, unless an older entry did.
    fn give(&mut self, entry: &Entry<'_>, pattern: &HostPattern, certificate: &Arc<Certificate>, field: String) {
        let slot = match self.hosts.get_mut(pattern) {
            Some(host) => host.certificate.as_ref(),
            None => self.tls_names.get(pattern),
        };
        if let Some((name, winner)) = slot {
            if *name != certificate.name {
                let winner = self.ours[*winner].reference();
                let message = format!(
                    "host {pattern} already has the certificate of Secret {name} by {winner}; this entry is not used for it"
                );
                let problem = Problem::warning(Code::HostConflict, field, message);
                self.report.add(self.ours[entry.place].object, problem.hint("remove one of the two; the older stands"));
            }
            return;
        }
        let named = (self.certificates.take(certificate), entry.place);
        match self.hosts.get_mut(pattern) {
            Some(host) => host.certificate = Some(named),
            None => drop(self.tls_names.insert(pattern.clone(), named)),
        }
    }
}

fn owned_elsewhere(pattern: &HostPattern, owner: &ObjectRef, field: String) -> Problem {
    let message = format!(
        "host {pattern} belongs to namespace {}, by {owner}; its certificate comes from there only",
        owner.namespace
    );
    Problem::warning(Code::HostConflict, field, message).hint("put the TLS entry into an Ingress of that namespace")
}

fn mismatch(pattern: &HostPattern, certificate: &Certificate, field: String) -> Problem {
    const SHOWN: usize = 5;
    let mut names: Vec<&str> = certificate.dns_names.iter().map(|name| &**name).take(SHOWN).collect();
    if certificate.dns_names.len() > SHOWN {
        names.push("...");
    }
    let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
    let message = format!(
        "the certificate of Secret {} does not cover host {pattern} (it covers {names}); the default certificate is served",
        certificate.name
    );
    Problem::warning(Code::CertificateMismatch, field, message)
        .hint("issue a certificate with this name among its subject alternative names")
}
