//! Which Secrets the objects of ours refer to: all that a source has to read when it may not read every Secret.
//!
//! Judges nothing: a name that leads nowhere is wanted too, so that its Secret is found once it is made.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{Ingress, IngressBackend};

use crate::annotation;
use crate::caps::Caps;
use crate::class;
use crate::report::Reporter;
use crate::snapshot::{Key, Object, Snapshot};

/// Secrets that Ingresses of ours, the Services behind them and the options name.
#[must_use]
pub fn wanted_secrets(snapshot: &Snapshot) -> BTreeSet<Key> {
    let options = &snapshot.options;
    let mut ignored = Reporter::default();
    let mut wanted: BTreeSet<Key> = options.default_tls_secret.iter().cloned().collect();
    // Few Services name one; only of these is it asked whether somebody of ours names them.
    let services = snapshot.services.iter();
    let mut authorities: HashMap<(&str, &str), Key> = services
        .filter_map(|(key, service)| Some(((&*key.namespace, &*key.name), authorities(service, &mut ignored)?)))
        .collect();
    if let Some(backend) = &options.default_backend_service {
        wanted.extend(authorities.remove(&(&*backend.service.namespace, &*backend.service.name)));
    }
    let ours: Vec<_> = class::ours(snapshot, &mut ignored).collect();
    let caps = Caps::new(&ours, options);
    for ingress in ours.into_iter().filter(|ingress| caps.admits(ingress)) {
        let namespace = &ingress.reference.namespace;
        let secrets = certificates(&ingress.value);
        wanted.extend(secrets.map(|name| Key { namespace: namespace.clone(), name: name.into() }));
        if !authorities.is_empty() {
            let services = backends(&ingress.value);
            wanted.extend(services.filter_map(|name| authorities.remove(&(&**namespace, name))));
        }
    }
    wanted
}

/// Names of the Secrets of its certificates.
pub(crate) fn certificates(ingress: &Ingress) -> impl Iterator<Item = &str> {
    let entries = ingress.spec.iter().flat_map(|spec| spec.tls.iter().flatten());
    let names = entries.filter_map(|entry| entry.secret_name.as_deref());
    // A name with a slash would reach into another namespace and is refused by the compile.
    names.filter(|name| !name.is_empty() && !name.contains('/'))
}

/// Names of the Services behind it.
pub(crate) fn backends(ingress: &Ingress) -> impl Iterator<Item = &str> {
    let spec = ingress.spec.iter();
    let backends = spec.flat_map(|spec| {
        let paths = spec.rules.iter().flatten().filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths);
        spec.default_backend.iter().chain(paths.map(|path| &path.backend))
    });
    backends.filter_map(|backend: &IngressBackend| Some(backend.service.as_ref()?.name.as_str()))
}

fn authorities(service: &Object<Service>, ignored: &mut Reporter) -> Option<Key> {
    let secret = annotation::read_service(service, ignored).values.ca?;
    Some(Key { namespace: service.reference.namespace.clone(), name: secret.as_str().into() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::networking::v1::IngressTLS;

    use super::*;
    use crate::manifest;
    use crate::snapshot::{AnyObject, Options};

    #[test]
    fn only_what_ours_refer_to() {
        let text = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a, namespace: one}
spec:
  ingressClassName: portico
  tls: [{secretName: cert}, {hosts: [b.test]}]
  defaultBackend: {service: {name: tls, port: {number: 443}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: foreign, namespace: two}
spec:
  ingressClassName: another
  tls: [{secretName: theirs}]
  defaultBackend: {service: {name: tls, port: {number: 443}}}
---
apiVersion: v1
kind: Service
metadata: {name: tls, namespace: one, annotations: {portico.dev/upstream-ca: authorities}}
spec: {ports: [{port: 443, appProtocol: https}]}
---
apiVersion: v1
kind: Service
metadata: {name: unused, namespace: one, annotations: {portico.dev/upstream-ca: unused}}
spec: {ports: [{port: 443}]}
";
        let options = Options { default_tls_secret: Some(Key::new("infra", "fallback")), ..Options::default() };
        let mut objects = manifest::parse("test.yaml", text).objects;
        // No API server takes this; nothing else keeps it from coming.
        let Some(AnyObject::Ingress(first)) = objects.first_mut() else { panic!("an Ingress comes first") };
        let spec = Arc::get_mut(first).and_then(|first| first.value.spec.as_mut());
        let tls = spec.and_then(|spec| spec.tls.as_mut()).expect("it has TLS entries");
        tls.push(IngressTLS { secret_name: Some("other/cert".to_owned()), ..IngressTLS::default() });
        let snapshot = Snapshot::from_objects(objects, Arc::new(options), 0);
        let expected = [("infra", "fallback"), ("one", "authorities"), ("one", "cert")];
        assert_eq!(wanted_secrets(&snapshot), expected.map(|(namespace, name)| Key::new(namespace, name)).into());
    }
}
