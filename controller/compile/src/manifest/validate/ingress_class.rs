//! What the API server fills in and refuses in an IngressClass.

use std::sync::Arc;

use k8s_openapi::api::networking::v1::{IngressClass, IngressClassParametersReference};
use portico_shared::Kind;

use super::{Rules, name};
use crate::manifest::findings::Findings;
use crate::manifest::path::Path;
use crate::snapshot::{AnyObject, Object};
use crate::trim;

impl Rules for IngressClass {
    const OF: Kind = Kind::IngressClass;

    fn complete(&mut self) {
        if let Some(parameters) = self.spec.as_mut().and_then(|spec| spec.parameters.as_mut()) {
            parameters.scope.get_or_insert_with(|| "Cluster".to_owned());
        }
    }

    fn check(&self, findings: &mut Findings) {
        let root = Path::ROOT;
        let path = root.field("spec");
        let controller = self.spec.as_ref().and_then(|spec| spec.controller.as_deref()).unwrap_or_default();
        let field = path.field("controller");
        if controller.is_empty() {
            findings.required(&field, "");
        } else {
            if controller.len() > CONTROLLER_LIMIT {
                findings.invalid(&field, controller, format_args!("must be no more than {CONTROLLER_LIMIT} bytes"));
            }
            if let Some(why) = name::domain_prefixed(controller) {
                findings.invalid(&field, controller, why);
            }
        }
        if let Some(parameters) = self.spec.as_ref().and_then(|spec| spec.parameters.as_ref()) {
            check_parameters(parameters, &path.field("parameters"), findings);
        }
    }

    fn trim(&mut self) {
        trim::ingress_class(self);
    }

    fn wrap(object: Arc<Object<Self>>) -> AnyObject {
        AnyObject::IngressClass(object)
    }
}

fn check_parameters(parameters: &IngressClassParametersReference, path: &Path<'_>, findings: &mut Findings) {
    if let Some(group) = &parameters.api_group
        && let Some(why) = name::subdomain(group)
    {
        findings.invalid(&path.field("apiGroup"), group, why);
    }
    for (field, value) in [("kind", &parameters.kind), ("name", &parameters.name)] {
        if value.is_empty() {
            findings.required(&path.field(field), "");
        } else if let Some(why) = name::path_segment(value) {
            findings.invalid(&path.field(field), value, why);
        }
    }
    let field = path.field("namespace");
    match (parameters.scope.as_deref().unwrap_or_default(), &parameters.namespace) {
        ("Namespace", None) => findings.required(&field, "`parameters.scope` is set to 'Namespace'"),
        ("Namespace", Some(namespace)) => {
            if let Some(why) = name::label(namespace) {
                findings.invalid(&field, namespace, why);
            }
        }
        ("Cluster", Some(_)) => findings.forbidden(&field, "`parameters.scope` is set to 'Cluster'"),
        ("Cluster", None) => {}
        (other, _) => findings.unsupported(&path.field("scope"), other, &["Cluster", "Namespace"]),
    }
}

/// Longest controller name, in octets.
const CONTROLLER_LIMIT: usize = 250;
