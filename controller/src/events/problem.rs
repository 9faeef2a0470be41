//! Who is told of which problem: diagnostics of any object become notes on the Ingresses of ours that name it.
//!
//! Pure. Ingresses of others get no Event, whatever is wrong with them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{Ingress, IngressBackend};
use portico_compile::{Key, Snapshot, annotation};
use portico_shared::{Code, Diagnostic, Kind, ObjectRef, Severity};

use crate::engine::Current;

/// One thing to tell of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Problem {
    /// The object that the Event is shown at.
    pub(super) object: ObjectRef,
    /// The object that it is about, when that is another one.
    pub(super) related: Option<ObjectRef>,
    pub(super) severity: Severity,
    pub(super) code: Code,
    pub(super) note: Arc<str>,
}

/// Everything there is to tell now.
pub(super) fn problems(current: &Current) -> HashSet<Problem> {
    let mut namers = None;
    let mut found = HashSet::new();
    for diagnostic in current.report.diagnostics() {
        let Some(object) = diagnostic.object.as_ref().filter(|_| diagnostic.code != Code::ClassForeign) else {
            continue;
        };
        match object.kind {
            Kind::Ingress => {
                if current.ours.contains(object) {
                    found.insert(problem(diagnostic, object, object));
                }
            }
            Kind::Service | Kind::EndpointSlice | Kind::Secret => {
                let namers = namers.get_or_insert_with(|| Namers::new(&current.snapshot, &current.ours));
                let ingresses = namers.of(&current.snapshot, object);
                found.extend(ingresses.iter().map(|ingress| problem(diagnostic, object, ingress)));
                if !ingresses.is_empty() && is_shown(&current.snapshot, object) {
                    found.insert(problem(diagnostic, object, object));
                }
            }
            Kind::IngressClass | Kind::ConfigMap | Kind::Namespace => {}
        }
    }
    found
}

fn problem(diagnostic: &Diagnostic, about: &ObjectRef, told_at: &ObjectRef) -> Problem {
    let related = (about != told_at).then(|| about.clone());
    let about = related.as_ref().map(|about| format!("{about}: ")).unwrap_or_default();
    let field = if diagnostic.field.is_empty() { String::new() } else { format!("{}: ", diagnostic.field) };
    let hint = diagnostic.hint.as_ref().map(|hint| format!("; to mend it, {hint}")).unwrap_or_default();
    let note = format!("{about}{field}{}{hint}", diagnostic.message);
    let (severity, code) = (diagnostic.severity, diagnostic.code);
    Problem { object: told_at.clone(), related, severity, code, note: cut(&note, NOTE).into() }
}

/// Which Ingresses of ours name a Service or Secret, oldest first.
#[derive(Debug, Default)]
struct Namers {
    services: BTreeMap<Key, Vec<ObjectRef>>,
    secrets: BTreeMap<Key, Vec<ObjectRef>>,
}

impl Namers {
    fn new(snapshot: &Snapshot, ours: &BTreeSet<ObjectRef>) -> Self {
        let mut namers = Self::default();
        let mut ingresses: Vec<_> =
            snapshot.ingresses.values().filter(|ingress| ours.contains(&ingress.reference)).collect();
        ingresses.sort_by_key(|ingress| (&ingress.value.metadata.creation_timestamp, &ingress.reference));
        for ingress in ingresses {
            let namespace = &*ingress.reference.namespace;
            for service in services(&ingress.value) {
                add(&mut namers.services, Key::new(namespace, service), &ingress.reference);
            }
            for secret in secrets(&ingress.value) {
                add(&mut namers.secrets, Key::new(namespace, secret), &ingress.reference);
            }
        }
        for (service, ingresses) in &namers.services {
            let Some(secret) = authorities(snapshot, service) else { continue };
            ingresses.iter().for_each(|ingress| add(&mut namers.secrets, secret.clone(), ingress));
        }
        namers
    }

    fn of(&self, snapshot: &Snapshot, object: &ObjectRef) -> &[ObjectRef] {
        let key = Key { namespace: object.namespace.clone(), name: object.name.clone() };
        let found = match object.kind {
            Kind::Secret => self.secrets.get(&key),
            Kind::EndpointSlice => owner(snapshot, &key).and_then(|service| self.services.get(service)),
            _ => self.services.get(&key),
        };
        found.map(Vec::as_slice).unwrap_or_default()
    }
}

/// Notes that `ingress` names `key`, up to [`NAMERS`].
fn add(namers: &mut BTreeMap<Key, Vec<ObjectRef>>, key: Key, ingress: &ObjectRef) {
    let list = namers.entry(key).or_default();
    if list.len() < NAMERS && !list.contains(ingress) {
        list.push(ingress.clone());
    }
}

fn services(ingress: &Ingress) -> impl Iterator<Item = &str> {
    let spec = ingress.spec.as_ref();
    let fallback = spec.and_then(|spec| spec.default_backend.as_ref());
    let rules = spec.and_then(|spec| spec.rules.as_ref()).into_iter().flatten();
    let paths = rules.filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths);
    let backends = fallback.into_iter().chain(paths.map(|path| &path.backend));
    backends.filter_map(|backend: &IngressBackend| Some(backend.service.as_ref()?.name.as_str()))
}

fn secrets(ingress: &Ingress) -> impl Iterator<Item = &str> {
    let tls = ingress.spec.as_ref().and_then(|spec| spec.tls.as_ref()).into_iter().flatten();
    tls.filter_map(|tls| tls.secret_name.as_deref())
}

/// The Secret that a Service names for its TLS upstream.
fn authorities(snapshot: &Snapshot, service: &Key) -> Option<Key> {
    let annotations = snapshot.services.get(service)?.value.metadata.annotations.as_ref()?;
    let name = annotations.get(&format!("{}upstream-ca", annotation::PREFIX))?;
    Some(Key { namespace: service.namespace.clone(), name: name.as_str().into() })
}

/// The Service of an EndpointSlice.
fn owner<'a>(snapshot: &'a Snapshot, slice: &Key) -> Option<&'a Key> {
    let first = Key { namespace: slice.namespace.clone(), name: "".into() };
    let same = snapshot.slices.from(&first).take_while(|(service, _)| service.namespace == slice.namespace);
    same.into_iter()
        .find(|(_, slices)| slices.iter().any(|it| it.reference.name == slice.name))
        .map(|(service, _)| service)
}

/// Whether an object exists that an Event can be found at: without its uid nobody does.
fn is_shown(snapshot: &Snapshot, object: &ObjectRef) -> bool {
    uid(snapshot, object).is_some_and(|uid| !uid.is_empty())
}

/// The uid of an object that exists; empty when its source gives none.
pub(super) fn uid(snapshot: &Snapshot, object: &ObjectRef) -> Option<String> {
    let key = Key { namespace: object.namespace.clone(), name: object.name.clone() };
    let metadata = match object.kind {
        Kind::Ingress => &snapshot.ingresses.get(&key)?.value.metadata,
        Kind::Service => &snapshot.services.get(&key)?.value.metadata,
        Kind::Secret => &snapshot.secrets.get(&key)?.object.value.metadata,
        // Nothing is kept of a slice that traffic does not need.
        Kind::EndpointSlice => return owner(snapshot, &key).map(|_| String::new()),
        Kind::IngressClass | Kind::ConfigMap | Kind::Namespace => return None,
    };
    Some(metadata.uid.clone().unwrap_or_default())
}

/// Hosts of an Ingress's rules, each once.
pub(super) fn hosts(snapshot: &Snapshot, ingress: &Key) -> Vec<String> {
    let rules = snapshot.ingresses.get(ingress).and_then(|it| it.value.spec.as_ref()?.rules.as_ref());
    let hosts = rules.into_iter().flatten().map(|rule| rule.host.clone().unwrap_or_else(|| "any host".to_owned()));
    let hosts: BTreeSet<_> = hosts.collect();
    if hosts.is_empty() { vec!["any host".to_owned()] } else { hosts.into_iter().collect() }
}

/// At most `longest` bytes of `text`, cut between characters.
pub(super) fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

/// Ingresses that are told of one problem of another object, the most.
const NAMERS: usize = 10;
/// Longest note, bytes: what `events.k8s.io/v1` allows.
pub(super) const NOTE: usize = 1024;

#[cfg(test)]
mod tests;
