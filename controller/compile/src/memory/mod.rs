//! What one compile keeps for the next, so that a change costs what it touches.
//!
//! The unit is the host: who asks for anything there, what came of it, and which upstreams and certificate that took.
//! `work` finds out which Ingresses and hosts a change touches, the passes run over these alone, and `settle` puts what
//! they make in the place of what was there. Invariant: after each compile everything here is what a compile of the same
//! snapshot without memory leaves; objects that did not change are the same values, by which changes are told.

mod output;
mod patch;
mod settle;
mod users;
mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::Ingress;
use portico_shared::ir::{Certificate, CertificateName, HostPattern, Ir, UpstreamName};
use portico_shared::{Diagnostic, EndpointSet, ObjectRef, Report};

use crate::Compiled;
use crate::caps::Caps;
use crate::ingress::route::Common;
use crate::report::Problems;
use crate::snapshot::{Key, Object, Snapshot};
use crate::sorted::Sorted;
use crate::upstream::{Kept, Uses};
pub(crate) use settle::Passed;
use users::Users;
pub(crate) use work::Work;

/// What a compile leaves for the next one of the same cluster. Empty at first, and after [`Default::default`] always right.
#[derive(Debug, Default)]
pub struct Memory {
    /// What was compiled; `None` before the first.
    snapshot: Option<Snapshot>,
    pub(crate) ir: Arc<Ir>,
    pub(crate) endpoints: Sorted<UpstreamName, Arc<EndpointSet>>,
    pub(crate) ours: Arc<BTreeSet<ObjectRef>>,
    pub(crate) served: Arc<BTreeSet<ObjectRef>>,
    pub(crate) report: Arc<Report>,
    /// Upstreams whose address stands in an ExternalName.
    pub(crate) literals: BTreeSet<UpstreamName>,
    problems: Problems,
    /// Problems that depend on the time.
    dates: Vec<Diagnostic>,
    /// Hosts that an Ingress of ours names, in a rule or a TLS entry.
    hosts: HashMap<HostPattern, Record>,
    /// Names of TLS entries that no rule names.
    names: BTreeMap<HostPattern, Name>,
    rest: Rest,
    users: Users,
    caps: Caps,
    pub(crate) upstreams: HashMap<UpstreamName, Kept>,
    /// The Secret that an upstream's authorities are read from, where there is one.
    authorities: BTreeMap<UpstreamName, Key>,
    /// Certificates of hosts and names, with the number of those.
    certificates: HashMap<CertificateName, (Arc<Certificate>, usize)>,
    pub(crate) common: Common,
    /// Compiles since `common` was pruned.
    unpruned: usize,
}

/// One host.
#[derive(Debug)]
struct Record {
    /// Ingresses that name it, by seniority, and whether each has a route here that requests can reach.
    named_by: Box<[(Arc<Object<Ingress>>, bool)]>,
    uses: Uses,
    certificate: Option<CertificateName>,
}

/// A name of a TLS entry that no rule names.
#[derive(Debug)]
struct Name {
    certificate: CertificateName,
    /// Whose entry it is.
    ingress: Arc<Object<Ingress>>,
    /// Whether it had to become a virtual host.
    hosted: bool,
}

/// What belongs to no host and is compiled each time.
#[derive(Debug, Default)]
struct Rest {
    /// The Ingress whose default backend takes all misses.
    served: Option<ObjectRef>,
    uses: Uses,
    certificates: BTreeMap<CertificateName, Arc<Certificate>>,
}

impl Memory {
    /// What was compiled, for others.
    pub(crate) fn compiled(&self, fresh: BTreeSet<UpstreamName>, next_boundary: Option<i64>) -> Compiled {
        Compiled {
            ir: self.ir.clone(),
            endpoints: self.endpoints.clone(),
            fresh,
            literals: self.literals.clone(),
            report: self.report.clone(),
            served: self.served.clone(),
            ours: self.ours.clone(),
            next_boundary,
        }
    }
}
