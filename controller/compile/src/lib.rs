//! Objects in, intent and diagnostics out: the pure compile step of Portico.
//!
//! No client, runtime, file system or clock; the time comes in the [`Snapshot`]. [`compile`] never fails: what cannot
//! be used is left out or answers 503, and the [`Report`] says so with object, field, place and remedy.

pub mod annotation;
mod certificate;
mod class;
mod conflict;
mod endpoints;
pub mod external_name;
mod ingress;
pub mod manifest;
mod protocol;
mod report;
pub mod secret;
mod service;
mod slice;
mod snapshot;
mod suggest;
mod supply;
mod upstream;
mod upstream_tls;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;

use portico_shared::ir::{Ir, UpstreamName};
use portico_shared::{EndpointSet, ObjectRef, Report};

use certificate::Certificates;
use ingress::{default_backend, listener, rules, tls};
use report::Reporter;
pub use slice::Slice;
pub use snapshot::{
    AnyObject, DefaultBackend, HostOwnership, Key, Object, Options, SERVICE_LABEL, SecretEntry, Snapshot,
};
use upstream::Upstreams;
pub use upstream::endpoints;
pub use wanted::wanted_secrets;

/// The result of a compile.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// What to serve. Equal to the last one: nothing to swap.
    pub ir: Ir,
    /// Endpoints of every upstream whose source is [`portico_shared::ir::EndpointSource::Compiled`].
    pub endpoints: BTreeMap<UpstreamName, Arc<EndpointSet>>,
    /// Every problem found.
    pub report: Report,
    /// The Ingresses of ours that have at least one usable rule.
    pub served: Vec<ObjectRef>,
    /// Every Ingress of ours, served or not.
    pub ours: Vec<ObjectRef>,
    /// The next moment, seconds since 1970, at which time alone changes the report (a certificate's start, end, or the
    /// beginning of its last 14 days).
    pub next_boundary: Option<i64>,
}

/// Compiles a snapshot. Pure and deterministic: equal snapshots give equal results, whatever order they were built in.
#[must_use]
pub fn compile(snapshot: &Snapshot) -> Compiled {
    compile_after(snapshot, &Ir::default())
}

/// Compiles a snapshot that came after another, whose IR is given: the result is that of [`compile`], but what is equal
/// to a part of that IR is not made again. With few changes that is nearly everything.
///
/// The passes, each of which sees what the ones before it left:
#[must_use]
pub fn compile_after(snapshot: &Snapshot, before: &Ir) -> Compiled {
    let options = &*snapshot.options;
    let mut report = Reporter::default();
    // Ours, oldest first, with annotations and hosts read.
    let selected = class::select(snapshot, &mut report);
    let ours = selected.iter().map(|object| object.reference.clone()).collect();
    let mut draft = ingress::read(selected, &mut report);
    // Who owns each host and which paths are asked for there.
    rules::claim(&mut draft, options.host_ownership, &mut report);
    // The oldest claim of a path stands; claims that nothing can reach are marked.
    conflict::settle(&mut draft, &mut report);
    // Where misses go.
    default_backend::claim(&mut draft, &mut report);
    // Which certificate each host gets.
    let mut certificates = Certificates::new(snapshot);
    tls::claim(&mut draft, &mut certificates, &mut report);
    tls::claim_default(&mut draft, options.default_tls_secret.as_ref(), &mut certificates, &mut report);
    // Routes, with the Services that they name resolved on the way.
    let mut upstreams = Upstreams::new(snapshot);
    let (listener, served) = listener::build(draft, before.listeners.first(), options, &mut upstreams, &mut report);
    // Only what is named is kept.
    let (certificates, next_boundary) = certificates.finish();
    let (upstreams, endpoints) = upstreams.finish();
    let ir = Ir { listeners: vec![listener], upstreams, certificates };
    Compiled { ir, endpoints, report: report.finish(), served, ours, next_boundary }
}
