//! What the API server fills in and refuses in Secrets and ConfigMaps.
//!
//! No message holds a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use portico_shared::Kind;

use super::{Rules, name};
use crate::manifest::findings::Findings;
use crate::manifest::path::Path;
use crate::snapshot::{AnyObject, Object};
use crate::trim;

impl Rules for Secret {
    const OF: Kind = Kind::Secret;

    fn complete(&mut self) {
        if self.type_.as_deref().unwrap_or_default().is_empty() {
            self.type_ = Some("Opaque".to_owned());
        }
        if let Some(plain) = self.string_data.take() {
            let octets = plain.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes())));
            self.data.get_or_insert_default().extend(octets);
        }
    }

    fn check(&self, findings: &mut Findings) {
        let root = Path::ROOT;
        let path = root.field("data");
        let empty = BTreeMap::new();
        let data = self.data.as_ref().unwrap_or(&empty);
        let size = check_keys(data.iter().map(|(key, value)| (key, value.0.len())), &path, findings);
        if size > DATA_LIMIT {
            findings.too_many(&path, size, DATA_LIMIT, "bytes");
        }
        if self.type_.as_deref() == Some("kubernetes.io/tls") {
            for key in ["tls.crt", "tls.key"].into_iter().filter(|key| !data.contains_key(*key)) {
                findings.required(&path.key(key), "");
            }
        }
    }

    fn trim(&mut self) {
        trim::secret(self);
    }

    fn wrap(object: Arc<Object<Self>>) -> AnyObject {
        AnyObject::Secret(object)
    }
}

impl Rules for ConfigMap {
    const OF: Kind = Kind::ConfigMap;

    fn check(&self, findings: &mut Findings) {
        let root = Path::ROOT;
        let path = root.field("data");
        let binary_path = root.field("binaryData");
        let data = || self.data.iter().flatten();
        let binary = || self.binary_data.iter().flatten();
        let size = check_keys(data().map(|(key, value)| (key, value.len())), &path, findings)
            + check_keys(binary().map(|(key, value)| (key, value.0.len())), &binary_path, findings);
        for (key, _) in binary().filter(|(key, _)| self.data.as_ref().is_some_and(|data| data.contains_key(*key))) {
            findings.invalid(&binary_path.key(key), key, "duplicate of key present in data");
        }
        if size > DATA_LIMIT {
            findings.too_many(&path, size, DATA_LIMIT, "bytes");
        }
    }

    fn wrap(object: Arc<Object<Self>>) -> AnyObject {
        AnyObject::ConfigMap(object)
    }
}

/// Checks the keys and returns the octets of all values.
fn check_keys<'a>(
    entries: impl Iterator<Item = (&'a String, usize)>,
    path: &Path<'_>,
    findings: &mut Findings,
) -> usize {
    let mut size = 0;
    for (key, length) in entries {
        size += length;
        if let Some(why) = name::data_key(key) {
            findings.invalid(&path.key(key), key, why);
        }
    }
    size
}

/// Most octets of all values of one object.
const DATA_LIMIT: usize = 1 << 20;
