//! What a compile gives to others, brought up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portico_shared::Report;
use portico_shared::ir::{
    Certificate, CertificateName, HostPattern, INGRESS_LISTENER, Ir, Listener, Route, Upstream, VirtualHost,
};

use super::patch::patched;
use super::settle::Touched;
use super::{Memory, Work};
use crate::certificate::judge_dates;
use crate::class::seniority;
use crate::ingress::{Scope, host, listener};
use crate::report::{Reporter, Subject};
use crate::snapshot::Snapshot;

impl Memory {
    /// Brings the IR and the endpoints up to date.
    pub(super) fn settle_ir(
        &mut self,
        work: &Work<'_>,
        hosts: &[Arc<VirtualHost>],
        fallback: Option<Arc<Route>>,
        covering: Vec<CertificateName>,
        default_certificate: Option<CertificateName>,
        touched: &mut Touched,
    ) {
        let before = self.ir.clone();
        let listener = before.listeners.first();
        let hosts_before = listener.map_or(&[][..], |listener| &listener.virtual_hosts);
        let virtual_hosts = self.virtual_hosts(work, hosts, hosts_before);
        let certificates = self.listed(covering);
        let (upstreams, used) =
            (self.settle_upstreams(work.is_whole(), touched), self.settle_certificates(work.is_whole(), touched));
        let lists = virtual_hosts.is_none() && upstreams.is_none() && used.is_none();
        let rest = |listener: &Listener| {
            (&listener.fallback, &listener.default_certificate, &listener.certificates)
                == (&fallback, &default_certificate, &certificates)
        };
        // Copying the lists would be most of what a small change costs.
        if lists && listener.is_some_and(rest) {
            return;
        }
        let listener = Listener {
            name: INGRESS_LISTENER.into(),
            virtual_hosts: virtual_hosts.unwrap_or_else(|| hosts_before.to_vec()),
            fallback,
            default_certificate,
            certificates,
        };
        let upstreams = upstreams.unwrap_or_else(|| before.upstreams.clone());
        let certificates = used.unwrap_or_else(|| before.certificates.clone());
        let ir = Ir { listeners: vec![listener], upstreams, certificates };
        if ir != *before {
            self.ir = Arc::new(ir);
        }
    }

    /// The virtual hosts, if they are others than before.
    fn virtual_hosts(
        &mut self,
        work: &Work<'_>,
        made: &[Arc<VirtualHost>],
        before: &[Arc<VirtualHost>],
    ) -> Option<Vec<Arc<VirtualHost>>> {
        let whole = work.is_whole();
        let mut changes: BTreeMap<&HostPattern, _> = BTreeMap::new();
        if let Scope::Hosts(hosts) = &work.scope {
            changes.extend(hosts.iter().map(|pattern| (pattern, None)));
        }
        changes.extend(made.iter().map(|host| (&host.pattern, Some(host.clone()))));
        let ruled = patched(before, &changes, |host| &host.pattern, whole);
        let all = ruled.as_deref().unwrap_or(before);
        // The certificates of names without a rule serve whatever they cover. That is enough for such a name, unless a
        // wildcard host would answer it with another certificate.
        let find = |hosts: &'_ [Arc<VirtualHost>], pattern: &HostPattern| {
            let at = hosts.binary_search_by(|host| host.pattern.cmp(pattern)).ok()?;
            Some(hosts[at].clone())
        };
        let mut hosted = Vec::new();
        for (pattern, name) in self.names.iter_mut().filter(|(pattern, _)| work.scope.holds(pattern)) {
            let wildcard = host::wildcard_above(pattern).and_then(|wildcard| find(all, &wildcard));
            let other = wildcard.filter(|it| it.certificate.as_ref().is_some_and(|other| *other != name.certificate));
            name.hosted = other.is_some();
            hosted.extend(other.map(|wildcard| {
                let before = find(before, pattern);
                listener::named(pattern.clone(), name.certificate.clone(), &wildcard, before.as_ref())
            }));
        }
        let changes = hosted.iter().map(|host| (&host.pattern, Some(host.clone()))).collect();
        let hosted = patched(all, &changes, |host| &host.pattern, false);
        hosted.or(ruled)
    }

    /// Certificates for whatever they cover, those of the oldest Ingresses first, each once.
    fn listed(&self, covering: Vec<CertificateName>) -> Vec<CertificateName> {
        let mut listed: Vec<_> = self.names.values().filter(|name| !name.hosted).collect();
        listed.sort_by(|a, b| {
            seniority(&a.ingress).cmp(&seniority(&b.ingress)).then_with(|| a.certificate.cmp(&b.certificate))
        });
        let mut seen = BTreeSet::new();
        let all = listed.into_iter().map(|name| name.certificate.clone()).chain(covering);
        all.filter(|certificate| seen.insert(certificate.clone())).collect()
    }

    fn settle_upstreams(&mut self, whole: bool, touched: &mut Touched) -> Option<Vec<Arc<Upstream>>> {
        let mut changes = BTreeMap::new();
        for name in &touched.upstreams {
            if self.upstreams.get(name).is_some_and(|kept| kept.asked == 0) {
                self.upstreams.remove(name);
                self.authorities.remove(name);
                touched.report |= self.problems.remove(&Subject::Upstream(name.clone())).is_some();
            }
            let taken = self.upstreams.get(name).filter(|kept| kept.taken > 0).map(|kept| &kept.built);
            let upstream = taken.and_then(|built| built.upstream.as_ref().ok().cloned());
            match taken.and_then(|built| built.endpoints.as_ref()) {
                Some(set) if self.endpoints.get(name).is_some_and(|before| Arc::ptr_eq(before, set)) => {}
                Some(set) => drop(self.endpoints.insert(name.clone(), set.clone())),
                None => drop(self.endpoints.remove(name)),
            }
            match taken.is_some_and(|built| built.literal) {
                true => drop(self.literals.insert(name.clone())),
                false => drop(self.literals.remove(name)),
            }
            changes.insert(name, upstream);
        }
        patched(&self.ir.upstreams, &changes, |upstream| &upstream.name, whole)
    }

    fn settle_certificates(&self, whole: bool, touched: &Touched) -> Option<Vec<Arc<Certificate>>> {
        let now = |name| {
            let of_hosts = self.certificates.get(name).map(|(certificate, _)| certificate);
            of_hosts.or_else(|| self.rest.certificates.get(name)).cloned()
        };
        let changes = touched.certificates.iter().map(|name| (name, now(name))).collect();
        patched(&self.ir.certificates, &changes, |certificate| &certificate.name, whole)
    }

    /// Brings the report up to date; returns the next moment at which time alone changes it.
    pub(super) fn settle_report(&mut self, snapshot: &Snapshot, touched: &Touched) -> Option<i64> {
        let mut report = Reporter::default();
        let boundary = judge_dates(&self.ir.certificates, snapshot, &mut report);
        let dates: Vec<_> = report.finish().into_values().flatten().collect();
        if touched.report || dates != self.dates {
            self.dates = dates;
            let all = self.problems.values().flatten().chain(&self.dates).cloned().collect();
            self.report = Arc::new(Report::new(all));
        }
        boundary
    }
}
