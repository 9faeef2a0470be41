//! Names, namespaces, labels and annotations: rules that hold for every kind.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use portico_shared::Kind;

use super::name;
use crate::manifest::findings::Findings;
use crate::manifest::path::Path;

/// Fills in the namespace where there is one to be, and drops it where there is none.
pub(in crate::manifest) fn complete(kind: Kind, metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if !kind.namespaced() {
        metadata.namespace = None;
    } else if metadata.namespace.as_deref().unwrap_or_default().is_empty() {
        metadata.namespace = Some("default".to_owned());
    }
}

/// Finds what the server refuses in an object's metadata.
pub(in crate::manifest) fn check(kind: Kind, metadata: &ObjectMeta, findings: &mut Findings) {
    let path = Path::ROOT;
    let path = path.field("metadata");
    check_name(kind, metadata, &path.field("name"), findings);
    if let Some(namespace) = &metadata.namespace
        && let Some(why) = name::label(namespace)
    {
        findings.invalid(&path.field("namespace"), namespace, why);
    }
    let labels = path.field("labels");
    for (key, value) in metadata.labels.iter().flatten() {
        let path = labels.key(key);
        if let Some(why) = name::qualified(key) {
            findings.invalid(&path, key, why);
        }
        if let Some(why) = name::label_value(value) {
            findings.invalid(&path, value, why);
        }
    }
    let annotations = path.field("annotations");
    let mut size = 0;
    for (key, value) in metadata.annotations.iter().flatten() {
        size += key.len() + value.len();
        if let Some(why) = name::qualified(&key.to_ascii_lowercase()) {
            findings.invalid(&annotations.key(key), key, why);
        }
    }
    if size > ANNOTATIONS_LIMIT {
        findings.too_many(&annotations, size, ANNOTATIONS_LIMIT, "bytes");
    }
}

fn check_name(kind: Kind, metadata: &ObjectMeta, path: &Path<'_>, findings: &mut Findings) {
    let name = metadata.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        let why = if metadata.generate_name.is_some() {
            "generateName gives no name to an object in a file"
        } else {
            "name or generateName is required"
        };
        return findings.required(path, why);
    }
    let verdict = match kind {
        Kind::Service => name::service(name),
        Kind::Namespace => name::label(name),
        Kind::Ingress | Kind::IngressClass | Kind::EndpointSlice | Kind::Secret | Kind::ConfigMap => {
            name::subdomain(name)
        }
    };
    if let Some(why) = verdict {
        findings.invalid(path, name, why);
    }
}

/// Most octets of all annotations of one object.
const ANNOTATIONS_LIMIT: usize = 256 << 10;
