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

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{HTTPIngressRuleValue, Ingress, IngressBackend};
use portico_shared::ir::{CertificateName, HostPattern};
use portico_shared::{Code, ObjectRef};

use crate::annotation::{self, RouteSettings, Settings};
use crate::report::{Problem, Reporter, Subject};
use crate::snapshot::Object;
use path::PathKey;

/// What the passes have settled so far.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    /// Which hosts this is about.
    pub(crate) scope: &'a Scope,
    /// Ingresses of ours that ask for something there, oldest first; passes name one by its place here.
    pub(crate) ours: Vec<Ours<'a>>,
    /// Of wildcard hosts that this is not about, but that stand above names of it, the oldest Ingress.
    pub(crate) owners: &'a HashMap<HostPattern, &'a ObjectRef>,
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

impl<'a> Draft<'a> {
    pub(crate) fn new(scope: &'a Scope, owners: &'a HashMap<HostPattern, &'a ObjectRef>, ours: Vec<Ours<'a>>) -> Self {
        let (hosts, fallback, tls_names, covering, default_certificate) = Default::default();
        Self { scope, ours, owners, hosts, fallback, tls_names, covering, default_certificate }
    }
}

/// Which hosts a compile is about. Of what an Ingress asks for on any other nothing is made or said.
#[derive(Debug, Default)]
pub(crate) enum Scope {
    #[default]
    Whole,
    Hosts(HashSet<HostPattern>),
}

impl Scope {
    /// Whether a host is in it.
    pub(crate) fn holds(&self, pattern: &HostPattern) -> bool {
        match self {
            Self::Whole => true,
            Self::Hosts(hosts) => hosts.contains(pattern),
        }
    }
}

/// An Ingress of ours, annotations and hosts read.
#[derive(Debug)]
pub(crate) struct Ours<'a> {
    pub(crate) object: &'a Arc<Object<Ingress>>,
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
        has_rules(&self.object.value)
    }
}

/// Whether an Ingress has rules, usable or not.
pub(crate) fn has_rules(ingress: &Ingress) -> bool {
    ingress.spec.as_ref().and_then(|spec| spec.rules.as_ref()).is_some_and(|rules| !rules.is_empty())
}

/// Hosts that rules of an Ingress name, as far as they can be used.
pub(crate) fn ruled(ingress: &Ingress) -> impl Iterator<Item = HostPattern> {
    let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
    rules.filter_map(|rule| host::of_rule(rule.host.as_deref().unwrap_or_default()).ok())
}

/// Names that TLS entries of an Ingress list, as far as they can be used.
pub(crate) fn listed(ingress: &Ingress) -> impl Iterator<Item = HostPattern> {
    let entries = ingress.spec.iter().flat_map(|spec| spec.tls.iter().flatten());
    entries.flat_map(|entry| entry.hosts.iter().flatten()).filter_map(|name| host::of_tls(name).ok())
}

/// Reads annotations and hosts of Ingresses, keeping their order.
pub(crate) fn read<'a>(
    objects: impl IntoIterator<Item = &'a Arc<Object<Ingress>>>,
    report: &mut Reporter,
) -> Vec<Ours<'a>> {
    objects
        .into_iter()
        .map(|object| {
            report.turn_to(Subject::Ingress(object.key()));
            let settings = annotation::read_ingress(object, report);
            let ours = Ours { object, settings, rules: read_rules(object, report) };
            if !ours.has_rules() && ours.default_backend().is_none() {
                let message = "the Ingress has neither rules nor a default backend";
                let problem = Problem::error(Code::ObjectInvalid, "spec", message);
                report.add(object, problem.hint("add rules or a defaultBackend"));
            }
            ours
        })
        .collect()
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
