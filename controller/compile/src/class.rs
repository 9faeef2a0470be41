//! Which Ingresses are ours, and which of two goes first.
//!
//! Knows classes, the default-class annotation and the legacy annotation; knows nothing of rules. Seniority is the order
//! of preference of every later pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use portico_shared::{Code, ObjectRef};

use crate::report::{Problem, Reporter, Subject, quote};
use crate::snapshot::{Object, Options, Snapshot};

/// Annotation that named the class before the field existed.
const LEGACY_CLASS: &str = "kubernetes.io/ingress.class";
/// Annotation of an IngressClass that takes Ingresses without a class.
const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";

/// Our Ingresses by namespace and name.
pub(crate) fn ours<'a>(
    snapshot: &'a Snapshot,
    report: &mut Reporter,
) -> impl Iterator<Item = &'a Arc<Object<Ingress>>> {
    let classes = Classes::new(snapshot);
    snapshot.ingresses.values().filter(move |object| classes.takes(object, report))
}

/// What decides between Ingresses, the smallest first: creation time, none counting as oldest, then namespace and name.
pub(crate) fn seniority(ingress: &Object<Ingress>) -> (Option<&Time>, &str, &str) {
    let ObjectRef { namespace, name, .. } = &ingress.reference;
    (ingress.value.metadata.creation_timestamp.as_ref(), namespace, name)
}

/// Which classes are ours.
pub(crate) struct Classes<'a> {
    /// Whether each class that exists is ours.
    known: BTreeMap<&'a str, bool>,
    /// Whether a class of ours is the default.
    default: bool,
    options: &'a Options,
}

impl<'a> Classes<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        let options = &*snapshot.options;
        let ours = |class: &IngressClass| {
            class.spec.as_ref().and_then(|spec| spec.controller.as_deref()) == Some(options.controller_name.as_str())
        };
        let known = snapshot.classes.values().map(|class| (&*class.reference.name, ours(&class.value))).collect();
        let default = snapshot.classes.values().any(|class| ours(&class.value) && is_default(&class.value));
        Self { known, default, options }
    }

    /// Whether an Ingress is ours; what is foreign is told.
    pub(crate) fn takes(&self, ingress: &Object<Ingress>, report: &mut Reporter) -> bool {
        report.turn_to(Subject::Ingress(ingress.key()));
        if let Some(class) = ingress.value.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref()) {
            let by_name = self.options.class_by_name && class == self.options.ingress_class;
            return self.known.get(class).copied().unwrap_or_else(|| {
                if !by_name {
                    report.add(ingress, foreign("spec.ingressClassName".to_owned(), class));
                }
                by_name
            });
        }
        let annotations = ingress.value.metadata.annotations.as_ref();
        if let Some(class) = annotations.and_then(|annotations| annotations.get(LEGACY_CLASS)) {
            if *class == self.options.ingress_class {
                return true;
            }
            return self.known.get(class.as_str()).copied().unwrap_or_else(|| {
                report.add(ingress, foreign(format!("metadata.annotations[{LEGACY_CLASS}]"), class));
                false
            });
        }
        self.options.serve_without_class || self.default
    }
}

fn is_default(class: &IngressClass) -> bool {
    class.metadata.annotations.as_ref().and_then(|a| a.get(DEFAULT_CLASS)).is_some_and(|value| value == "true")
}

fn foreign(field: String, class: &str) -> Problem {
    Problem::info(
        Code::ClassForeign,
        field,
        format!("ingress class {} does not exist; this Ingress is not served", quote(class)),
    )
    .hint("name a class whose spec.controller is this controller's, or create the IngressClass")
}
