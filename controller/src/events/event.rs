//! An Event as it is written.
//!
//! Its name follows from what it says, so that every replica gives the same Event the same name: what another leader
//! told within the hour that the API server keeps Events is found by trying to tell it again.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use portico_shared::{Kind, ObjectRef, Severity};

use super::problem::{Problem, cut};

/// One Event to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Telling {
    pub(super) object: ObjectRef,
    /// Of the object; empty when its source gives none.
    pub(super) uid: String,
    pub(super) related: Option<ObjectRef>,
    pub(super) warning: bool,
    pub(super) reason: &'static str,
    pub(super) action: &'static str,
    pub(super) note: Arc<str>,
    /// Whether it is one more of its series when it was told before.
    pub(super) repeats: bool,
}

/// Who tells.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// Controller name, such as `portico.dev/ingress-controller`.
    pub controller: String,
    /// Name of the pod or process.
    pub instance: String,
}

impl Telling {
    /// The telling of a problem.
    pub(super) fn of_problem(problem: Problem, uid: String, repeats: bool) -> Self {
        let Problem { object, related, severity, code, note } = problem;
        let warning = severity != Severity::Info;
        Self { object, uid, related, warning, reason: code.as_str(), action: "Compile", note, repeats }
    }

    /// Namespace of the Event: that of its object.
    pub(super) fn namespace(&self) -> &str {
        if self.object.namespace.is_empty() { "default" } else { &self.object.namespace }
    }

    /// Name of the Event: the object's, as far as there is room, and a digest of what is said.
    pub(super) fn name(&self, controller: &str) -> String {
        let parts = [controller, self.object.kind.as_str(), &self.object.name, &self.uid, self.reason, &self.note];
        let digest = digest(&parts);
        let name = cut(&self.object.name, LONGEST_NAME).trim_end_matches(['-', '.']);
        format!("{name}.{digest:016x}")
    }

    /// The Event.
    pub(super) fn event(&self, reporter: &Reporter, now: Timestamp) -> Event {
        Event {
            metadata: ObjectMeta {
                name: Some(self.name(&reporter.controller)),
                namespace: Some(self.namespace().to_owned()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(reporter.controller.clone()),
            reporting_instance: Some(cut(&reporter.instance, LONGEST_INSTANCE).to_owned()),
            type_: Some(if self.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(self.reason.to_owned()),
            action: Some(self.action.to_owned()),
            note: Some((*self.note).to_owned()),
            regarding: Some(reference(&self.object, Some(&self.uid))),
            related: self.related.as_ref().map(|object| reference(object, None)),
            ..Event::default()
        }
    }
}

fn reference(object: &ObjectRef, uid: Option<&str>) -> ObjectReference {
    let api_version = match object.kind {
        Kind::Ingress | Kind::IngressClass => "networking.k8s.io/v1",
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::Service | Kind::Secret | Kind::ConfigMap | Kind::Namespace => "v1",
    };
    let uid = uid.filter(|uid| !uid.is_empty()).map(str::to_owned);
    let namespace = Some((*object.namespace).to_owned()).filter(|namespace| !namespace.is_empty());
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(object.kind.as_str().to_owned()),
        name: Some((*object.name).to_owned()),
        namespace,
        uid,
        ..ObjectReference::default()
    }
}

/// FNV-1a over the parts, each with an end: the same in every build, which the standard library's hashes are not. Who
/// finds two that collide hides an Event from himself.
fn digest(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// An Event's name may have 253 characters, of which the digest takes 17.
const LONGEST_NAME: usize = 230;
const LONGEST_INSTANCE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn telling(name: &str, note: &str) -> Telling {
        let object = ObjectRef::new(Kind::Ingress, "n", name);
        let related = Some(ObjectRef::new(Kind::Service, "n", "s"));
        let (uid, reason, action) = ("u-1".to_owned(), "ServiceNotFound", "Compile");
        Telling { object, uid, related, warning: true, reason, action, note: note.into(), repeats: true }
    }

    #[test]
    fn same_words_have_the_same_name_and_others_another() {
        let name = |telling: &Telling| telling.name("portico.dev/ingress-controller");
        let first = name(&telling("shop", "no such Service"));
        assert_eq!(first, name(&telling("shop", "no such Service")));
        assert!(first.starts_with("shop."), "{first}");
        let again = Telling { uid: "u-2".to_owned(), ..telling("shop", "no such Service") };
        for other in [telling("shop", "another"), telling("shop2", "no such Service"), again] {
            assert_ne!(first, name(&other));
        }
        assert!(name(&telling(&"a".repeat(253), "x")).len() <= 253);
        assert!(!name(&telling(&format!("{}-{}", "a".repeat(229), "b"), "x")).contains("-."));
    }

    #[test]
    fn event_says_who_what_and_where() {
        let reporter = Reporter { controller: "portico.dev/ingress-controller".to_owned(), instance: "p-0".to_owned() };
        let event = telling("shop", "no such Service").event(&reporter, Timestamp::UNIX_EPOCH);
        let regarding = event.regarding.unwrap_or_default();
        assert_eq!(regarding.api_version.as_deref(), Some("networking.k8s.io/v1"));
        assert_eq!((regarding.name.as_deref(), regarding.uid.as_deref()), (Some("shop"), Some("u-1")));
        assert_eq!(event.related.and_then(|it| it.kind).as_deref(), Some("Service"));
        assert_eq!((event.type_.as_deref(), event.metadata.namespace.as_deref()), (Some("Warning"), Some("n")));
        assert_eq!(event.reporting_instance.as_deref(), Some("p-0"));
    }
}
