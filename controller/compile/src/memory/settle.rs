//! What the passes made takes the place of what was there.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use portico_shared::ObjectRef;
use portico_shared::ir::{Certificate, CertificateName, HostPattern, Route, UpstreamName, VirtualHost};

use super::{Memory, Name, Record, Rest, Work};
use crate::ingress::listener::Made;
use crate::ingress::{self, Ours, Scope};
use crate::report::{Problems, Subject};
use crate::snapshot::{Key, Snapshot};
use crate::upstream::{Fresh, Kept, Uses};

/// What the passes made of some work.
#[derive(Debug)]
pub(crate) struct Passed<'a> {
    pub(crate) ours: Vec<Ours<'a>>,
    /// Hosts that rules name.
    pub(crate) hosts: Vec<Made<Arc<VirtualHost>>>,
    pub(crate) misses: Made<Option<Arc<Route>>>,
    /// Names that only TLS entries name, with the place of the Ingress.
    pub(crate) names: BTreeMap<HostPattern, (CertificateName, usize)>,
    pub(crate) covering: Vec<CertificateName>,
    pub(crate) default_certificate: Option<CertificateName>,
    pub(crate) certificates: HashMap<CertificateName, Arc<Certificate>>,
    pub(crate) upstreams: HashMap<UpstreamName, Kept>,
    pub(crate) fresh: Vec<Fresh>,
    pub(crate) problems: Problems,
}

/// What may be another than before.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) upstreams: BTreeSet<UpstreamName>,
    pub(super) certificates: BTreeSet<CertificateName>,
    /// Whether the report is.
    pub(super) report: bool,
}

impl Memory {
    /// Forgets all but what the next results can share.
    pub(super) fn forget(&mut self) {
        let Self { ir, ours, served, common, .. } = std::mem::take(self);
        *self = Self { ir, ours, served, common, ..Self::default() };
    }

    /// Takes in what was made. Returns the upstreams whose endpoints were gathered now, and the next moment at which time
    /// alone changes the report.
    pub(crate) fn settle(
        &mut self,
        snapshot: &Snapshot,
        work: &Work<'_>,
        passed: Passed<'_>,
    ) -> (BTreeSet<UpstreamName>, Option<i64>) {
        let Passed { ours, mut hosts, misses, names, covering, default_certificate, certificates, .. } = passed;
        let mut touched = Touched { report: work.is_whole(), ..Touched::default() };
        self.upstreams = passed.upstreams;
        self.release(&work.scope, &mut touched);
        self.file(work, &ours, passed.problems, &mut touched);
        let fresh: BTreeSet<_> = passed.fresh.iter().map(|fresh| fresh.built.name.clone()).collect();
        passed.fresh.into_iter().for_each(|fresh| self.build(fresh, &mut touched));

        let mut records = named_by(&ours, &work.scope);
        for host in &mut hosts {
            let Some(record) = records.get_mut(&host.value.pattern) else { continue };
            record.certificate.clone_from(&host.value.certificate);
            record.uses = std::mem::take(&mut host.uses);
            for place in &host.served {
                let ingress = ours[*place].object;
                if let Some(at) = record.place_of(&ours[*place]) {
                    record.named_by[at] = (ingress.clone(), true);
                }
            }
        }
        for (pattern, (certificate, place)) in names {
            let Some(record) = records.get_mut(&pattern) else { continue };
            record.certificate = Some(certificate.clone());
            let name = Name { certificate, ingress: ours[place].object.clone(), hosted: false };
            self.names.insert(pattern, name);
        }
        self.hold(records, &certificates, &mut touched);

        let of_rest = covering.iter().chain(&default_certificate).filter_map(|name| certificates.get_key_value(name));
        let certificates = of_rest.map(|(name, certificate)| (name.clone(), certificate.clone())).collect();
        let served = misses.served.first().map(|place| ours[*place].reference().clone());
        self.rest = Rest { served, uses: misses.uses, certificates };
        let uses = std::mem::take(&mut self.rest.uses);
        self.count(&uses, &mut touched);
        self.rest.uses = uses;
        touched.certificates.extend(self.rest.certificates.keys().cloned());

        self.settle_ingresses(work, &ours);
        let hosts: Vec<_> = hosts.into_iter().map(|made| made.value).collect();
        self.settle_ir(work, &hosts, misses.value, covering, default_certificate, &mut touched);
        let boundary = self.settle_report(snapshot, &touched);
        self.snapshot = Some(snapshot.clone());
        self.unpruned += 1;
        if self.unpruned > PRUNED {
            self.unpruned = 0;
            self.common.prune();
        }
        (fresh, boundary)
    }

    /// Lets go of what hosts in scope, and what belongs to no host, held.
    fn release(&mut self, scope: &Scope, touched: &mut Touched) {
        let rest = std::mem::take(&mut self.rest);
        self.uncount(&rest.uses, touched);
        touched.certificates.extend(rest.certificates.into_keys());
        let Scope::Hosts(hosts) = scope else { return };
        for pattern in hosts {
            self.names.remove(pattern);
            let Some(record) = self.hosts.remove(pattern) else { continue };
            self.uncount(&record.uses, touched);
            let Some(name) = record.certificate else { continue };
            if let Some((_, hosts)) = self.certificates.get_mut(&name) {
                *hosts -= 1;
                if *hosts == 0 {
                    self.certificates.remove(&name);
                }
            }
            touched.certificates.insert(name);
        }
    }

    /// Replaces the problems of all parts that were looked at.
    fn file(&mut self, work: &Work<'_>, ours: &[Ours<'_>], mut found: Problems, touched: &mut Touched) {
        if let Scope::Hosts(hosts) = &work.scope {
            let read = ours.iter().map(|ingress| ingress.object.key());
            let ingresses = work.touched.iter().cloned().chain(read).map(Subject::Ingress);
            let subjects = ingresses.chain(hosts.iter().cloned().map(Subject::Host)).chain([Subject::Rest]);
            for subject in subjects.collect::<HashSet<_>>() {
                let Some(now) = found.remove(&subject) else {
                    touched.report |= self.problems.remove(&subject).is_some();
                    continue;
                };
                touched.report |= self.problems.get(&subject) != Some(&now);
                self.problems.insert(subject, now);
            }
        }
        self.problems.extend(found);
    }

    /// Takes in an upstream that was built now.
    fn build(&mut self, fresh: Fresh, touched: &mut Touched) {
        let Fresh { built, problems, authorities } = fresh;
        let name = built.name.clone();
        let subject = Subject::Upstream(name.clone());
        touched.report |= self.problems.get(&subject).map_or(&[][..], Vec::as_slice) != problems;
        match problems.is_empty() {
            true => drop(self.problems.remove(&subject)),
            false => drop(self.problems.insert(subject, problems)),
        }
        match authorities {
            Some(secret) => drop(self.authorities.insert(name.clone(), secret)),
            None => drop(self.authorities.remove(&name)),
        }
        // Whoever used the one before was let go of.
        self.upstreams.insert(name.clone(), Kept { built, asked: 0, taken: 0 });
        touched.upstreams.insert(name);
    }

    /// Takes in the hosts in scope.
    fn hold(
        &mut self,
        records: HashMap<HostPattern, Record>,
        certificates: &HashMap<CertificateName, Arc<Certificate>>,
        touched: &mut Touched,
    ) {
        self.hosts.reserve(records.len());
        for (pattern, record) in records {
            self.count(&record.uses, touched);
            if let Some((name, certificate)) = record.certificate.as_ref().and_then(|it| certificates.get_key_value(it))
            {
                self.certificates.entry(name.clone()).or_insert_with(|| (certificate.clone(), 0)).1 += 1;
                touched.certificates.insert(name.clone());
            }
            self.hosts.insert(pattern, record);
        }
    }

    fn count(&mut self, uses: &Uses, touched: &mut Touched) {
        for (built, taken) in uses {
            if let Some(kept) = self.upstreams.get_mut(&built.name) {
                kept.asked += 1;
                kept.taken += usize::from(*taken);
                touched.upstreams.insert(built.name.clone());
            }
        }
    }

    fn uncount(&mut self, uses: &Uses, touched: &mut Touched) {
        for (built, taken) in uses {
            if let Some(kept) = self.upstreams.get_mut(&built.name) {
                kept.asked -= 1;
                kept.taken -= usize::from(*taken);
                touched.upstreams.insert(built.name.clone());
            }
        }
    }

    /// Which Ingresses are ours and served, and what they refer to.
    fn settle_ingresses(&mut self, work: &Work<'_>, ours: &[Ours<'_>]) {
        let served = ours.iter().filter(|ingress| self.serves(ingress)).map(|it| it.reference().clone());
        let served: BTreeSet<ObjectRef> = served.collect();
        let refused = work.refused.iter().map(|ingress| &ingress.reference);
        let read = ours.iter().map(|ingress| ingress.reference()).chain(refused);
        if work.is_whole() {
            ours.iter().for_each(|ingress| self.users.add(ingress.object));
            replace(&mut self.served, served);
            replace(&mut self.ours, read.cloned().collect());
            return;
        }
        let gone: Vec<_> = work.touched.iter().filter_map(|key| self.ingress(key).cloned()).collect();
        gone.iter().for_each(|ingress| self.users.remove(ingress));
        let is_touched = |ingress: &ObjectRef| {
            work.touched.contains(&Key { namespace: ingress.namespace.clone(), name: ingress.name.clone() })
        };
        for ingress in ours.iter().filter(|ingress| is_touched(ingress.reference())) {
            self.users.add(ingress.object);
        }
        let all: BTreeSet<_> = read.clone().chain(gone.iter().map(|ingress| &ingress.reference)).collect();
        let read: BTreeSet<_> = read.collect();
        for reference in all {
            include(&mut self.served, reference, served.contains(reference));
            include(&mut self.ours, reference, read.contains(reference));
        }
    }

    /// Whether requests can reach a route of an Ingress on any host.
    fn serves(&self, ingress: &Ours<'_>) -> bool {
        self.rest.served.as_ref() == Some(ingress.reference())
            || ingress.rules.iter().any(|rule| {
                let record = self.hosts.get(&rule.pattern);
                record.is_some_and(|record| record.place_of(ingress).is_some_and(|at| record.named_by[at].1))
            })
    }
}

impl Record {
    /// The place of an Ingress among those that name the host.
    fn place_of(&self, ingress: &Ours<'_>) -> Option<usize> {
        let wanted = crate::class::seniority(ingress.object);
        self.named_by.binary_search_by(|(other, _)| crate::class::seniority(other).cmp(&wanted)).ok()
    }
}

/// The hosts in scope that Ingresses name, each with these; they come by seniority.
fn named_by(ours: &[Ours<'_>], scope: &Scope) -> HashMap<HostPattern, Record> {
    let mut naming: HashMap<HostPattern, Vec<usize>> = HashMap::new();
    for (place, ingress) in ours.iter().enumerate() {
        let ruled = ingress.rules.iter().map(|rule| rule.pattern.clone());
        for pattern in ruled.chain(ingress::listed(&ingress.object.value)).filter(|pattern| scope.holds(pattern)) {
            let places = naming.entry(pattern).or_default();
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }
    let record = |places: Vec<usize>| Record {
        named_by: places.into_iter().map(|place| (ours[place].object.clone(), false)).collect(),
        uses: Uses::default(),
        certificate: None,
    };
    naming.into_iter().map(|(pattern, places)| (pattern, record(places))).collect()
}

/// Sets a value unless it is equal, so that who holds the one before sees that nothing changed.
fn replace<T: PartialEq>(slot: &mut Arc<T>, value: T) {
    if **slot != value {
        *slot = Arc::new(value);
    }
}

fn include(set: &mut Arc<BTreeSet<ObjectRef>>, reference: &ObjectRef, wanted: bool) {
    if set.contains(reference) != wanted {
        match wanted {
            true => drop(Arc::make_mut(set).insert(reference.clone())),
            false => drop(Arc::make_mut(set).remove(reference)),
        }
    }
}

/// Compiles after which what routes had in common, and none has any more, is dropped.
const PRUNED: usize = 100;
