//! The Ingress dialect: rules, default backends and TLS entries into virtual hosts and routes.
//!
//! Every pass walks our Ingresses oldest first, so that "the older stands" is "the first stands". Invariant: a host that a
//! rule names exists, even when none of its paths can be used: requests for it never fall to a less exact host.

pub(crate) mod default_backend;
pub(crate) mod host;
pub(crate) mod listener;
pub(crate) mod name;
pub(crate) mod path;
pub(crate) mod route;
pub(crate) mod rules;
pub(crate) mod tls;

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::networking::v1::{HTTPIngressRuleValue, Ingress, IngressBackend};
use portico_shared::ir::{CertificateName, HostPattern};
use portico_shared::{Code, ObjectRef};

use crate::annotation::{self, RouteSettings, Settings};
use crate::report::{Problem, Reporter};
use crate::snapshot::Object;
use path::PathKey;

/// What the passes have settled so far.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    /// Our Ingresses, oldest first; passes name one by its place here.
    pub(crate) ours: Vec<Ours<'a>>,
    /// Hosts that rules name.
    pub(crate) hosts: HashMap<HostPattern, Host<'a>>,
    /// The default backend of all misses.
    pub(crate) fallback: Option<Fallback<'a>>,
    /// Names listed in TLS entries without a rule of their own: the certificate and the place of the Ingress.
    pub(crate) tls_names: BTreeMap<HostPattern, (CertificateName, usize)>,
    /// Certificates for whatever they cover, oldest Ingress first.
    pub(crate) covering: Vec<CertificateName>,
    /// Certificate for everything else.
    pub(crate) default_certificate: Option<CertificateName>,
}

/// An Ingress of ours, annotations and hosts read.
#[derive(Debug)]
pub(crate) struct Ours<'a> {
    pub(crate) object: &'a Object<Ingress>,
    pub(crate) settings: Settings<RouteSettings>,
    /// Rules whose host can be used.
    pub(crate) rules: Vec<Rule<'a>>,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule<'a> {
    /// Place in `spec.rules`.
    pub(crate) index: usize,
    pub(crate) pattern: HostPattern,
    pub(crate) http: Option<&'a HTTPIngressRuleValue>,
}

/// What is asked for on one host.
#[derive(Debug)]
pub(crate) struct Host<'a> {
    /// Place of the oldest Ingress with a rule for the host: its namespace owns certificate and host-level settings.
    pub(crate) owner: usize,
    /// Paths, oldest claim first.
    pub(crate) claims: Vec<Claim<'a>>,
    /// The default backend of the host's misses.
    pub(crate) fallback: Option<Fallback<'a>>,
    /// The certificate and the place of the Ingress that brought it.
    pub(crate) certificate: Option<(CertificateName, usize)>,
    /// Whether claims may meet.
    pub(crate) unsettled: bool,
    /// Whether an Ingress asks for TLS here, with or without a usable certificate.
    pub(crate) tls: bool,
}

/// A default backend that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fallback<'a> {
    /// Place of the Ingress.
    pub(crate) ours: usize,
    pub(crate) backend: &'a IngressBackend,
}

/// One path of one rule.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    /// Place of the Ingress.
    pub(crate) ours: usize,
    /// Place in `spec.rules`.
    pub(crate) rule: usize,
    /// Place in the rule's `http.paths`.
    pub(crate) path: usize,
    pub(crate) key: PathKey,
    pub(crate) backend: &'a IngressBackend,
    /// Whether no request can reach it.
    pub(crate) shadowed: bool,
}

impl Claim<'_> {
    /// Field path of the claim.
    pub(crate) fn field(&self) -> String {
        format!("spec.rules[{}].http.paths[{}]", self.rule, self.path)
    }
}

impl<'a> Ours<'a> {
    pub(crate) fn namespace(&self) -> &'a str {
        &self.object.reference.namespace
    }

    pub(crate) fn reference(&self) -> &'a ObjectRef {
        &self.object.reference
    }

    /// The default backend.
    pub(crate) fn default_backend(&self) -> Option<&'a IngressBackend> {
        self.object.value.spec.as_ref()?.default_backend.as_ref()
    }

    /// Whether the Ingress has rules, usable or not.
    pub(crate) fn has_rules(&self) -> bool {
        self.object.value.spec.as_ref().and_then(|spec| spec.rules.as_ref()).is_some_and(|rules| !rules.is_empty())
    }
}

/// Reads annotations and hosts of our Ingresses, keeping their order.
pub(crate) fn read<'a>(objects: Vec<&'a Object<Ingress>>, report: &mut Reporter) -> Draft<'a> {
    let ours = objects
        .into_iter()
        .map(|object| {
            let settings = annotation::read_ingress(object, report);
            let ours = Ours { object, settings, rules: read_rules(object, report) };
            if !ours.has_rules() && ours.default_backend().is_none() {
                let message = "the Ingress has neither rules nor a default backend";
                let problem = Problem::error(Code::ObjectInvalid, "spec", message);
                report.add(object, problem.hint("add rules or a defaultBackend"));
            }
            ours
        })
        .collect();
    Draft { ours, ..Draft::default() }
}

fn read_rules<'a>(object: &'a Object<Ingress>, report: &mut Reporter) -> Vec<Rule<'a>> {
    let rules = object.value.spec.as_ref().and_then(|spec| spec.rules.as_deref()).unwrap_or_default();
    let mut read = Vec::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        match host::of_rule(rule.host.as_deref().unwrap_or_default()) {
            Ok(pattern) => read.push(Rule { index, pattern, http: rule.http.as_ref() }),
            Err(message) => report.add(
                object,
                Problem::error(
                    Code::ObjectInvalid,
                    format!("spec.rules[{index}].host"),
                    format!("{message}; the rule is left out"),
                )
                .hint("write a DNS name in lower case, or *. before one, without port"),
            ),
        }
    }
    read
}
