//! Endpoint sets into effect, each with the moment of the change it came of.
//!
//! The data plane measures from there to the swap and to the first request; here is decided which moment belongs to which
//! upstream. A Service of which several slices changed has the oldest of their moments. Only a set that differs counts:
//! news of a pod that no upstream uses, or that changes no set, came into effect nowhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use portico_compile::Key;
use portico_dataplane::Publisher;
use portico_shared::EndpointSet;
use portico_shared::ir::{EndpointSource, UpstreamName};
use portico_shared::table::RoutingTable;

use super::round::service;

/// When the changes happened that this round is about, by Service; those without a date are not in it.
pub(super) type Moments = BTreeMap<Key, SystemTime>;

/// Puts sets that differ into the upstreams of a table. Returns how many did.
pub(super) fn swap<'s>(
    publisher: &Publisher,
    table: &RoutingTable,
    sets: impl IntoIterator<Item = (&'s UpstreamName, &'s Arc<EndpointSet>)>,
    moments: &Moments,
) -> usize {
    let mut swapped = 0;
    for (name, set) in sets {
        let Some(cell) = table.upstream(name) else { continue };
        if cell.upstream.source == EndpointSource::Compiled && *cell.endpoints.load() != **set {
            publisher.swap_endpoints(cell, set.clone(), moments.get(&service(name)).copied());
            swapped += 1;
        }
    }
    swapped
}

/// Dates the sets of these upstreams that come with a new table, before it is published; returns what to count once it is.
pub(super) fn date<'s>(
    table: &RoutingTable,
    previous: &RoutingTable,
    names: impl Iterator<Item = &'s UpstreamName>,
    moments: &Moments,
) -> Vec<SystemTime> {
    // With the first table everything comes into effect, and what it took was the start of the process.
    if moments.is_empty() || previous.generation() == 0 {
        return Vec::new();
    }
    let new = names.filter_map(|name| table.upstream(name)).filter(|cell| {
        let name = &cell.upstream.name;
        let before = previous.upstream(name).map(|before| before.endpoints.load());
        before.is_none_or(|before| *before != *cell.endpoints.load())
    });
    new.filter_map(|cell| {
        let moment = *moments.get(&service(&cell.upstream.name))?;
        cell.changed.set(Some(moment));
        Some(moment)
    })
    .collect()
}
