//! One document: whose kind it is, the objects in it, and what came of each.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use portico_shared::{Code, Diagnostic, Kind, Location, ObjectRef, Severity};
use serde::Deserialize;

use super::findings::{Finding, Findings};
use super::path::Path;
use super::validate::{Rules, check_metadata, complete_metadata};
use super::yaml::{Duplicate, Node, Position, Value};
use super::{Manifest, Spans, check};
use crate::snapshot::Object;

/// Reads the objects of one document into `manifest`.
pub(super) fn read(file: &Arc<str>, root: &Node<'_>, duplicates: &[Duplicate], manifest: &mut Manifest) {
    let mut reader = Reader { file, duplicates, manifest };
    reader.node(root, "", None);
}

/// `apiVersion` and `kind`.
#[derive(Clone, Copy)]
struct Type<'a> {
    version: &'a str,
    kind: &'a str,
}

struct Reader<'a> {
    file: &'a Arc<str>,
    duplicates: &'a [Duplicate],
    manifest: &'a mut Manifest,
}

impl Reader<'_> {
    /// Reads an object or a list of them. `prefix` is the object's own path within its document, `fallback` the type
    /// that the items of a typed list may leave out.
    fn node(&mut self, node: &Node<'_>, prefix: &str, fallback: Option<Type<'_>>) {
        match &node.value {
            Value::Null => return,
            Value::Mapping(_) => {}
            _ => return self.nameless(node.at, "", "an object must be a mapping".to_owned(), None),
        }
        let Some(of) = self.type_of(node, fallback) else { return };
        if let Some(item) = list_of(of) {
            return self.list(node, prefix, item);
        }
        match recognise(of) {
            Recognised::Foreign => {}
            Recognised::Ours(kind) => self.object(kind, node, prefix),
            Recognised::Version { kind, expected } => {
                let message = format!("no matches for kind \"{}\" in version \"{}\"", of.kind, of.version);
                let mut findings = Findings::default();
                findings.unserved_version(message, expected);
                self.report(findings, reference(kind, node).as_ref(), &Spans::new(self.file.clone(), node));
            }
        }
    }

    fn type_of<'n>(&mut self, node: &'n Node<'_>, fallback: Option<Type<'n>>) -> Option<Type<'n>> {
        let version = node.get("apiVersion").and_then(Node::text).filter(|text| !text.is_empty());
        let kind = node.get("kind").and_then(Node::text).filter(|text| !text.is_empty());
        let version = version.or(fallback.map(|of| of.version));
        let kind = kind.or(fallback.map(|of| of.kind));
        for (field, value) in [("apiVersion", version), ("kind", kind)] {
            if value.is_none() {
                let message = format!("Required value: {field} must be specified");
                self.nameless(node.at, field, message, Some("every object starts with apiVersion and kind"));
            }
        }
        Some(Type { version: version?, kind: kind? })
    }

    fn list(&mut self, node: &Node<'_>, prefix: &str, fallback: Option<Type<'_>>) {
        let items = match node.get("items").map(|items| (&items.value, items.at)) {
            None | Some((Value::Null, _)) => return,
            Some((Value::Sequence(items), _)) => items,
            Some((_, at)) => return self.nameless(at, "items", "must be a list".to_owned(), None),
        };
        for (at, item) in items.iter().enumerate() {
            let dot = if prefix.is_empty() { "" } else { "." };
            self.node(item, &format!("{prefix}{dot}items[{at}]"), fallback);
        }
    }

    fn object(&mut self, kind: Kind, node: &Node<'_>, prefix: &str) {
        match kind {
            Kind::Ingress => self.read_as::<Ingress>(node, prefix),
            Kind::IngressClass => self.read_as::<IngressClass>(node, prefix),
            Kind::Service => self.read_as::<Service>(node, prefix),
            Kind::EndpointSlice => self.read_as::<EndpointSlice>(node, prefix),
            Kind::Secret => self.read_as::<Secret>(node, prefix),
            Kind::ConfigMap => self.read_as::<ConfigMap>(node, prefix),
            Kind::Namespace => self.read_as::<Namespace>(node, prefix),
        }
    }

    fn read_as<T: Rules>(&mut self, node: &Node<'_>, prefix: &str) {
        let mut findings = Findings::default();
        for duplicate in self.duplicates {
            let field = duplicate.field.strip_prefix(prefix).map(|field| field.strip_prefix('.').unwrap_or(field));
            if let Some(field) = field.filter(|_| within(&duplicate.field, prefix)) {
                findings.key_twice(field.to_owned(), duplicate.at);
            }
        }
        let tree = check::object(T::OF, node, &mut findings);
        findings.text_done();
        let value = match <T as Deserialize>::deserialize(tree) {
            Ok(mut value) => {
                complete_metadata(T::OF, value.metadata_mut());
                value.complete();
                check_metadata(T::OF, value.metadata(), &mut findings);
                value.check(&mut findings);
                Some(value)
            }
            Err(_) => {
                findings.refused(&Path::ROOT, "does not fit the kind's schema", None);
                None
            }
        };
        let spans = Spans::new(self.file.clone(), node);
        let Some(reference) = reference(T::OF, node) else { return self.report(findings, None, &spans) };
        let refused = findings.refuse();
        self.report(findings, Some(&reference), &spans);
        if let Some(mut value) = value.filter(|_| !refused) {
            value.trim();
            self.manifest.objects.push(T::wrap(Arc::new(Object { reference, value, spans: Some(Arc::new(spans)) })));
        }
    }

    fn report(&mut self, findings: Findings, object: Option<&ObjectRef>, spans: &Spans) {
        for Finding { severity, code, field, message, hint, at } in findings.into_vec() {
            let location = at.map_or_else(|| spans.locate(&field), |at| self.place(at));
            let (object, field) = (object.cloned(), field.into());
            let location = Some(location);
            self.manifest.diagnostics.push(Diagnostic { severity, code, object, field, location, message, hint });
        }
    }

    fn nameless(&mut self, at: Position, field: &str, message: String, hint: Option<&str>) {
        self.manifest.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            code: Code::ObjectInvalid,
            object: None,
            field: field.into(),
            location: Some(self.place(at)),
            message,
            hint: hint.map(str::to_owned),
        });
    }

    fn place(&self, at: Position) -> Location {
        Location { file: self.file.clone(), line: at.line, column: at.column }
    }
}

/// What a document's type means to Portico.
enum Recognised {
    Ours(Kind),
    /// A kind of ours in a version that is not served.
    Version {
        kind: Kind,
        expected: &'static str,
    },
    Foreign,
}

/// Whether this is a list, and of what: of anything (`Some(None)`), or of one kind of ours, which its items need not
/// repeat.
fn list_of(of: Type<'_>) -> Option<Option<Type<'_>>> {
    if of.kind == "List" && of.version == "v1" {
        return Some(None);
    }
    let item = Type { version: of.version, kind: of.kind.strip_suffix("List")? };
    (!matches!(recognise(item), Recognised::Foreign)).then_some(Some(item))
}

fn recognise(of: Type<'_>) -> Recognised {
    let Some((kind, expected)) = KINDS.iter().copied().find(|(kind, _)| kind.as_str() == of.kind) else {
        return Recognised::Foreign;
    };
    if of.version == expected {
        return Recognised::Ours(kind);
    }
    let group = |version: &str| version.rsplit_once('/').map_or(String::new(), |(group, _)| group.to_owned());
    let group_of_ours = [group(expected), String::new(), "extensions".to_owned()].contains(&group(of.version));
    if group_of_ours { Recognised::Version { kind, expected } } else { Recognised::Foreign }
}

/// The object's identity as far as it is written; `None` without a name.
fn reference(kind: Kind, node: &Node<'_>) -> Option<ObjectRef> {
    let metadata = node.get("metadata")?;
    let text = |key: &str| metadata.get(key).and_then(Node::text).filter(|text| !text.is_empty());
    Some(ObjectRef::new(kind, text("namespace").unwrap_or("default"), text("name")?))
}

fn within(field: &str, prefix: &str) -> bool {
    field.strip_prefix(prefix).is_some_and(|rest| prefix.is_empty() || rest.starts_with(['.', '[']))
}

/// The kinds that Portico reads, each in its one version.
const KINDS: &[(Kind, &str)] = &[
    (Kind::Ingress, "networking.k8s.io/v1"),
    (Kind::IngressClass, "networking.k8s.io/v1"),
    (Kind::Service, "v1"),
    (Kind::EndpointSlice, "discovery.k8s.io/v1"),
    (Kind::Secret, "v1"),
    (Kind::ConfigMap, "v1"),
    (Kind::Namespace, "v1"),
];
