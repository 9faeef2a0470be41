//! What is kept of an object: all that Portico reads, and nothing else.
//!
//! At tens of thousands of endpoints, memory is what an object costs after this. Deterministic, so that two objects that
//! mean the same to us are equal afterwards, whatever a controller wrote elsewhere in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Secret, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as KubeResource;
use portico_compile::{AnyObject, Object, SERVICE_LABEL};
use portico_shared::{Kind, ObjectRef};
use serde::de::DeserializeOwned;

use crate::cluster::Resource;

/// A kind of object that is listed and watched.
pub(super) trait Kept:
    KubeResource<DynamicType = ()> + Clone + DeserializeOwned + Send + Sync + 'static
{
    /// The kind.
    const KIND: Kind;
    /// How its requests are counted.
    const RESOURCE: Resource;

    /// What is kept; `None` when the object means nothing to Portico.
    fn keep(self) -> Option<AnyObject>;

    /// The object's identity.
    fn reference(&self) -> ObjectRef {
        let metadata = self.meta();
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        ObjectRef::new(Self::KIND, namespace, metadata.name.as_deref().unwrap_or_default())
    }
}

impl Kept for Ingress {
    const KIND: Kind = Kind::Ingress;
    const RESOURCE: Resource = Resource::Ingresses;

    fn keep(mut self) -> Option<AnyObject> {
        let reference = self.reference();
        let created = self.metadata.creation_timestamp.take();
        self.metadata = ObjectMeta { creation_timestamp: created, ..metadata(self.metadata) };
        self.status = self.status.filter(|status| status.load_balancer.is_some());
        Some(AnyObject::Ingress(object(reference, self)))
    }
}

impl Kept for IngressClass {
    const KIND: Kind = Kind::IngressClass;
    const RESOURCE: Resource = Resource::IngressClasses;

    fn keep(mut self) -> Option<AnyObject> {
        let reference = self.reference();
        let created = self.metadata.creation_timestamp.take();
        self.metadata = ObjectMeta { creation_timestamp: created, ..metadata(self.metadata) };
        Some(AnyObject::IngressClass(object(reference, self)))
    }
}

impl Kept for Service {
    const KIND: Kind = Kind::Service;
    const RESOURCE: Resource = Resource::Services;

    fn keep(mut self) -> Option<AnyObject> {
        let reference = self.reference();
        self.metadata = metadata(self.metadata);
        if let Some(status) = &mut self.status {
            status.conditions = None;
        }
        self.status = self.status.filter(|status| status.load_balancer.is_some());
        Some(AnyObject::Service(object(reference, self)))
    }
}

impl Kept for EndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;
    const RESOURCE: Resource = Resource::EndpointSlices;

    fn keep(mut self) -> Option<AnyObject> {
        let reference = self.reference();
        let labels = only(self.metadata.labels.take(), &[SERVICE_LABEL])?;
        let annotations = only(self.metadata.annotations.take(), &[LAST_CHANGE]);
        self.metadata = ObjectMeta { labels: Some(labels), annotations, uid: None, ..metadata(self.metadata) };
        if let Some(endpoints) = &mut self.endpoints {
            endpoints.iter_mut().for_each(|it| *it = endpoint(std::mem::take(it)));
            endpoints.shrink_to_fit();
        }
        if let Some(ports) = &mut self.ports {
            ports.shrink_to_fit();
        }
        Some(AnyObject::EndpointSlice(object(reference, self)))
    }
}

impl Kept for Secret {
    const KIND: Kind = Kind::Secret;
    const RESOURCE: Resource = Resource::Secrets;

    fn keep(mut self) -> Option<AnyObject> {
        let reference = self.reference();
        self.metadata = ObjectMeta { annotations: None, ..metadata(self.metadata) };
        let data =
            self.data.unwrap_or_default().into_iter().filter(|(name, _)| CERTIFICATE_KEYS.contains(&name.as_str()));
        let data: BTreeMap<_, _> = data.collect();
        self.data = (!data.is_empty()).then_some(data);
        (self.immutable, self.string_data) = (None, None);
        Some(AnyObject::Secret(object(reference, self)))
    }
}

/// Whether a Secret, as it is kept, can hold a certificate.
pub(super) fn holds_certificate(secret: &Secret) -> bool {
    secret.data.is_some() || secret.type_.as_deref() == Some("kubernetes.io/tls")
}

fn object<T>(reference: ObjectRef, value: T) -> Arc<Object<T>> {
    Arc::new(Object { reference, value, spans: None })
}

/// Name, namespace, uid and the annotations that people write.
fn metadata(metadata: ObjectMeta) -> ObjectMeta {
    let ObjectMeta { name, namespace, uid, annotations, .. } = metadata;
    let annotations = annotations.and_then(|mut annotations| {
        annotations.remove(LAST_APPLIED);
        (!annotations.is_empty()).then_some(annotations)
    });
    ObjectMeta { name, namespace, uid, annotations, ..ObjectMeta::default() }
}

fn only(map: Option<BTreeMap<String, String>>, names: &[&str]) -> Option<BTreeMap<String, String>> {
    let mut map = map?;
    map.retain(|name, _| names.contains(&name.as_str()));
    (!map.is_empty()).then_some(map)
}

fn endpoint(endpoint: Endpoint) -> Endpoint {
    let Endpoint { mut addresses, conditions, hints, zone, target_ref, .. } = endpoint;
    addresses.shrink_to_fit();
    let pod = |uid| ObjectReference { uid: Some(uid), ..ObjectReference::default() };
    let target_ref = target_ref.and_then(|it| it.uid).map(pod);
    let hints = hints.filter(|hints| hints.for_zones.as_ref().is_some_and(|zones| !zones.is_empty()));
    let hints = hints.map(|mut hints| {
        hints.for_nodes = None;
        hints
    });
    Endpoint { addresses, conditions, hints, zone, target_ref, ..Endpoint::default() }
}

/// Entries of a Secret that Portico reads.
const CERTIFICATE_KEYS: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];
/// What `kubectl apply` remembers: a second copy of the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// When the pods or the Service last changed in a way that changed the slice.
const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";
