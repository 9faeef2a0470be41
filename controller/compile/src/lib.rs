//! Objects in, intent and diagnostics out: the pure compile step of Portico.
//!
//! No client, runtime, file system or clock; the time comes in the [`Snapshot`]. [`compile`] never fails: what cannot
//! be used is left out or answers 503, and the [`Report`] says so with object, field, place and remedy.

pub mod annotation;
mod caps;
mod certificate;
mod class;
mod conflict;
mod endpoints;
pub mod external_name;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod ingress;
pub mod manifest;
mod memory;
mod protocol;
mod report;
pub mod secret;
mod service;
mod slice;
mod snapshot;
mod sorted;
mod suggest;
mod supply;
pub mod trim;
mod upstream;
mod upstream_tls;
mod wanted;

use std::collections::BTreeSet;
use std::sync::Arc;

use portico_shared::ir::{Ir, UpstreamName};
use portico_shared::{EndpointSet, ObjectRef, Report};

use certificate::Certificates;
use ingress::{Draft, default_backend, listener, rules, tls};
pub use memory::Memory;
use memory::{Passed, Work};
use report::Reporter;
pub use slice::Slice;
pub use snapshot::{
    AnyObject, DefaultBackend, HostOwnership, Key, Object, Options, SERVICE_LABEL, SecretEntry, Slices, Snapshot,
};
pub use sorted::Sorted;
use upstream::Upstreams;
pub use upstream::endpoints;
pub use wanted::wanted_secrets;

/// The result of a compile.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// What to serve. Equal to the last one: nothing to swap.
    pub ir: Arc<Ir>,
    /// Endpoints of every upstream whose source is [`portico_shared::ir::EndpointSource::Compiled`].
    pub endpoints: Sorted<UpstreamName, Arc<EndpointSet>>,
    /// Upstreams whose endpoints were gathered by this compile; those of others are what they were.
    pub fresh: BTreeSet<UpstreamName>,
    /// Upstreams whose one address stands in an ExternalName.
    pub literals: BTreeSet<UpstreamName>,
    /// Every problem found.
    pub report: Arc<Report>,
    /// The Ingresses of ours that have at least one usable rule.
    pub served: Arc<BTreeSet<ObjectRef>>,
    /// Every Ingress of ours, served or not.
    pub ours: Arc<BTreeSet<ObjectRef>>,
    /// The next moment, seconds since 1970, at which time alone changes the report (a certificate's start, end, or the
    /// beginning of its last 14 days).
    pub next_boundary: Option<i64>,
}

/// Compiles a snapshot. Pure and deterministic: equal snapshots give equal results, whatever order they were built in.
#[must_use]
pub fn compile(snapshot: &Snapshot) -> Compiled {
    compile_after(snapshot, &mut Memory::default())
}

/// Compiles a snapshot that came after another, of which memory is given: the result is that of [`compile`], but only
/// what the difference touches is made. What did not change is the same value as before.
///
/// The passes, each of which sees what the ones before it left:
#[must_use]
pub fn compile_after(snapshot: &Snapshot, memory: &mut Memory) -> Compiled {
    let options = &*snapshot.options;
    let mut report = Reporter::default();
    // Which Ingresses of ours to read, oldest first, and for which hosts.
    let work = Work::find(snapshot, memory, &mut report);
    let mut common = std::mem::take(&mut memory.common);
    let common = &mut common;
    // Annotations and hosts.
    let ours = ingress::read(work.ingresses.iter().copied(), &mut report);
    let mut draft = Draft::new(&work.scope, &work.owners, ours);
    // Who owns each host and which paths are asked for there.
    rules::claim(&mut draft, options.host_ownership, &mut common.paths, &mut report);
    // The oldest claim of a path stands; claims that nothing can reach are marked.
    conflict::settle(&mut draft, &mut report);
    // Where misses go.
    default_backend::claim(&mut draft, &mut report);
    // Which certificate each host gets.
    let mut certificates = Certificates::new(snapshot);
    tls::claim(&mut draft, &mut certificates, &mut report);
    tls::claim_default(&mut draft, options.default_tls_secret.as_ref(), &mut certificates, &mut report);
    // Routes, with the Services that they name resolved on the way.
    let mut upstreams = Upstreams::new(snapshot, std::mem::take(&mut memory.upstreams), &work.services);
    let before = memory.ir.listeners.first().map_or(&[][..], |listener| &listener.virtual_hosts);
    let hosts = listener::hosts(&mut draft, before, options, common, &mut upstreams, &mut report);
    let misses = listener::misses(&draft.ours, draft.fallback, options, common, &mut upstreams, &mut report);
    // All that in the place of what was there.
    let (upstreams, fresh) = upstreams.finish();
    let Draft { ours, tls_names: names, covering, default_certificate, .. } = draft;
    let (certificates, problems) = (certificates.finish(), report.finish());
    let passed =
        Passed { ours, hosts, misses, names, covering, default_certificate, certificates, upstreams, fresh, problems };
    memory.common = std::mem::take(common);
    let (fresh, next_boundary) = memory.settle(snapshot, &work, passed);
    memory.compiled(fresh, next_boundary)
}
