//! The kinds that are listed and watched, and what is kept of each.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::Resource as KubeResource;
use portico_compile::{AnyObject, Object, Slice, trim};
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
        trim::ingress(&mut self);
        Some(AnyObject::Ingress(object(reference, self)))
    }
}

impl Kept for IngressClass {
    const KIND: Kind = Kind::IngressClass;
    const RESOURCE: Resource = Resource::IngressClasses;

    fn keep(mut self) -> Option<AnyObject> {
        let reference = self.reference();
        trim::ingress_class(&mut self);
        Some(AnyObject::IngressClass(object(reference, self)))
    }
}

impl Kept for Service {
    const KIND: Kind = Kind::Service;
    const RESOURCE: Resource = Resource::Services;

    fn keep(mut self) -> Option<AnyObject> {
        let reference = self.reference();
        trim::service(&mut self);
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
        trim::secret(&mut self);
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
