//! What is kept of an object: all that Portico reads, and nothing else.
//!
//! At tens of thousands of endpoints, memory is what an object costs after this. Deterministic, so that two objects that
//! mean the same to us are equal afterwards, whatever a controller wrote elsewhere in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass, IngressSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as KubeResource;
use portico_compile::{AnyObject, Object, Slice};
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
        self.spec.iter_mut().for_each(shrink);
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

    fn keep(self) -> Option<AnyObject> {
        let reference = self.reference();
        let slice = Slice::new(self);
        slice.service.is_some().then(|| AnyObject::EndpointSlice(object(reference, slice)))
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

/// Gives back what lists took too much while they were read: a path is 200 octets, and most lists have one or two.
fn shrink(spec: &mut IngressSpec) {
    for rules in spec.rules.iter_mut() {
        rules.shrink_to_fit();
        rules.iter_mut().filter_map(|rule| rule.http.as_mut()).for_each(|http| http.paths.shrink_to_fit());
    }
    for tls in spec.tls.iter_mut() {
        tls.shrink_to_fit();
        tls.iter_mut().filter_map(|entry| entry.hosts.as_mut()).for_each(Vec::shrink_to_fit);
    }
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

/// Entries of a Secret that Portico reads.
const CERTIFICATE_KEYS: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];
/// What `kubectl apply` remembers: a second copy of the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
