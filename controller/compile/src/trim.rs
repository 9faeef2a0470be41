//! What is kept of an object: all that Portico reads, and nothing else.
//!
//! At tens of thousands of objects, memory is what one costs after this. Deterministic, so that two objects that mean the
//! same to us are equal afterwards, whatever somebody wrote elsewhere in them. [`crate::Slice`] is that of an EndpointSlice.

use k8s_openapi::api::core::v1::{Secret, Service, ServiceSpec};
use k8s_openapi::api::networking::v1::{Ingress, IngressClass, IngressSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Keeps of an Ingress its identity, its age, its annotations, what it asks for, and its addresses.
pub fn ingress(ingress: &mut Ingress) {
    ingress.metadata = aged(std::mem::take(&mut ingress.metadata));
    ingress.status = ingress.status.take().filter(|status| status.load_balancer.is_some());
    ingress.spec.iter_mut().for_each(shrink);
}

/// Keeps of an IngressClass its identity, its age, its annotations and its specification.
pub fn ingress_class(class: &mut IngressClass) {
    class.metadata = aged(std::mem::take(&mut class.metadata));
}

/// Keeps of a Service its identity, its annotations, its ports, and its addresses and names.
pub fn service(service: &mut Service) {
    service.metadata = metadata(std::mem::take(&mut service.metadata));
    service.spec = service.spec.take().map(|spec| {
        let ServiceSpec { cluster_ip, external_ips, external_name, ip_families, mut ports, type_, .. } = spec;
        ports.iter_mut().for_each(Vec::shrink_to_fit);
        ServiceSpec { cluster_ip, external_ips, external_name, ip_families, ports, type_, ..ServiceSpec::default() }
    });
    if let Some(status) = &mut service.status {
        status.conditions = None;
    }
    service.status = service.status.take().filter(|status| status.load_balancer.is_some());
}

/// Keeps of a Secret its identity, its type, and what may belong to a certificate.
pub fn secret(secret: &mut Secret) {
    secret.metadata = ObjectMeta { annotations: None, ..metadata(std::mem::take(&mut secret.metadata)) };
    if let Some(data) = &mut secret.data {
        data.retain(|name, _| CERTIFICATE_KEYS.contains(&name.as_str()));
    }
    secret.data = secret.data.take().filter(|data| !data.is_empty());
    (secret.immutable, secret.string_data) = (None, None);
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

fn aged(mut before: ObjectMeta) -> ObjectMeta {
    let creation_timestamp = before.creation_timestamp.take();
    ObjectMeta { creation_timestamp, ..metadata(before) }
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
