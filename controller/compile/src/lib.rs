//! Objects in, intent and diagnostics out: the pure compile step of Portico.
//!
//! No client, runtime, file system or clock; the time comes in the [`Snapshot`]. [`compile`] never fails: what cannot
//! be used is left out or answers 503, and the [`Report`] says so with object, field, place and remedy.

pub mod manifest;
pub mod secret;
mod snapshot;

use std::collections::BTreeMap;
use std::sync::Arc;

use portico_shared::ir::{Ir, UpstreamName};
use portico_shared::{EndpointSet, ObjectRef, Report};

pub use snapshot::{AnyObject, DefaultBackend, HostOwnership, Key, Object, Options, SecretEntry, Snapshot};

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
    /// The next moment, seconds since 1970, at which time alone changes the report (a certificate's start, end, or the
    /// beginning of its last 14 days).
    pub next_boundary: Option<i64>,
}
