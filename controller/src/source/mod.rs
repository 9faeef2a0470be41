//! Sources: what turns the outside world into one stream of changes.
//!
//! A source knows where objects come from and when they changed; it knows nothing of what they mean. The first event is a
//! whole listing, later ones are differences or, after a gap, a listing again: applied at once, so that no reader ever
//! sees half of one. Invariant: an object that cannot be read now is not a deletion.

pub mod directory;
pub mod kubernetes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use portico_compile::{AnyObject, Key};
use portico_shared::{Diagnostic, Kind, ObjectRef};
use tokio::sync::mpsc;

/// How many events may wait for the engine; a source that is faster waits.
pub const QUEUE: usize = 64;

/// What a source tells.
#[derive(Debug)]
pub enum Event {
    /// Objects changed.
    Change(Change),
    /// Something stands in the way of watching; what was told before stays valid.
    Trouble(String),
    /// Nothing stands in the way of watching any more.
    Calm,
    /// The zone that this process runs in, for topology hints.
    Zone(String),
}

/// Objects that change together.
#[derive(Debug)]
pub struct Change {
    /// The objects.
    pub objects: Objects,
    /// Everything the source itself complains of now; `None` when that did not change.
    pub diagnostics: Option<Vec<Diagnostic>>,
    /// When the source saw that something happened.
    pub noticed: Instant,
}

/// How the objects differ from those told before.
#[derive(Debug)]
pub enum Objects {
    /// A listing of these kinds: what it does not name is gone.
    Replace {
        /// Kinds that were listed whole.
        kinds: Vec<Kind>,
        /// All objects of these kinds.
        objects: Vec<AnyObject>,
    },
    /// Differences.
    Update {
        /// New and changed objects.
        upserts: Vec<AnyObject>,
        /// Objects that are gone.
        deletes: Vec<ObjectRef>,
    },
}

/// Secrets that the objects told so far refer to, for a source that reads Secrets by name only.
///
/// Sent again after each change, changed or not. The source answers each newly wanted Secret with an upsert or, when it
/// does not exist or cannot be read, with a delete: the engine waits a moment for it.
pub type Wanted = Arc<BTreeSet<Key>>;

/// A producer of objects.
pub trait Source: Send + 'static {
    /// Tells of everything until nobody listens any more.
    fn run(self, events: mpsc::Sender<Event>) -> impl Future<Output = ()> + Send;
}

/// Every kind that Portico reads.
pub const KINDS: [Kind; 7] = [
    Kind::Ingress,
    Kind::IngressClass,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Secret,
    Kind::ConfigMap,
    Kind::Namespace,
];
