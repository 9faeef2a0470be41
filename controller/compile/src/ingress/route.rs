//! Routes: a claim with its backend resolved and its policies set. What many routes have in common they share.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use portico_shared::ir::{Action, HostPattern, Matcher, PathMatch, Route, RouteName, policy};
use portico_shared::{Code, Kind, ObjectRef, Origin};

use k8s_openapi::api::networking::v1::IngressBackend;

use super::path::Paths;
use super::{Claim, Fallback, Ours, default_backend, name};
use crate::report::{Problem, Reporter, Subject, quote};
use crate::service::PortReference;
use crate::snapshot::Options;
use crate::upstream::{Failure, Reference, Upstreams};

/// Builds routes and remembers whose rules can be reached.
pub(super) struct Routes<'r, 'a> {
    ours: &'r [Ours<'a>],
    options: &'a Options,
    common: &'r mut Common,
    pub(super) upstreams: &'r mut Upstreams<'a>,
    report: &'r mut Reporter,
    served: BTreeSet<usize>,
}

/// What many routes have in common, of this compile and those before.
#[derive(Debug, Default)]
pub(crate) struct Common {
    /// Fields of claims by the places of rule and path.
    fields: HashMap<(usize, usize), Arc<str>>,
    policies: HashSet<Arc<policy::Policies>>,
    pub(crate) paths: Paths,
}

impl Common {
    /// Drops what no route has any more.
    pub(crate) fn prune(&mut self) {
        self.fields.retain(|_, field| Arc::strong_count(field) > 1);
        self.policies.retain(|policies| Arc::strong_count(policies) > 1);
        self.paths.prune();
    }
}

impl<'r, 'a> Routes<'r, 'a> {
    pub(super) fn new(
        ours: &'r [Ours<'a>],
        options: &'a Options,
        common: &'r mut Common,
        upstreams: &'r mut Upstreams<'a>,
        report: &'r mut Reporter,
    ) -> Self {
        Self { ours, options, common, upstreams, report, served: BTreeSet::new() }
    }

    /// Files what comes next under another part.
    pub(super) fn turn_to(&mut self, subject: Subject) {
        self.report.turn_to(subject);
    }

    /// The route of a path.
    pub(super) fn path(
        &mut self,
        pattern: &HostPattern,
        claim: &Claim<'a>,
        tls: bool,
        before: Option<&Arc<Route>>,
    ) -> Arc<Route> {
        let ingress = self.ours[claim.ours].reference();
        let field = self.common.fields.entry((claim.rule, claim.path)).or_insert_with(|| claim.field().into()).clone();
        if !claim.shadowed {
            self.served.insert(claim.ours);
        }
        let matcher = Matcher::path(claim.key.matcher());
        let action = self.action(claim.ours, || format!("{field}.backend"), claim.backend);
        let policies = self.policies(claim.ours, tls);
        let same = |route: &&Arc<Route>| {
            route.matcher == matcher
                && route.action == action
                && route.policies == policies
                && route.origin.field == field
                && route.origin.object == *ingress
                && name::is_of_path(&route.name, ingress, pattern, &claim.key)
        };
        if let Some(route) = before.filter(same) {
            return route.clone();
        }
        let (name, origin) = (name::of_path(ingress, pattern, &claim.key), Origin::new(ingress.clone(), field));
        Arc::new(Route { name, matcher, action, policies, origin })
    }

    /// The route of a host's misses.
    pub(super) fn host_fallback(&mut self, pattern: &HostPattern, fallback: Fallback<'a>, tls: bool) -> Route {
        let name = name::of_host_default(self.ours[fallback.ours].reference(), pattern);
        self.default_route(fallback, name, tls)
    }

    /// The route of all misses, by an Ingress without rules; a TLS entry without hosts speaks for it.
    pub(super) fn listener_fallback(&mut self, fallback: Fallback<'a>) -> Route {
        let ingress = &self.ours[fallback.ours];
        let tls = ingress.object.value.spec.iter().flat_map(|spec| spec.tls.iter().flatten());
        let tls = tls.into_iter().any(|entry| entry.hosts.as_ref().is_none_or(Vec::is_empty));
        self.default_route(fallback, name::of_default(ingress.reference()), tls)
    }

    /// The route of all misses, by the operator.
    pub(super) fn operator_fallback(&mut self) -> Option<Route> {
        let backend = self.options.default_backend_service.as_ref()?;
        let key = &backend.service;
        let service = ObjectRef::new(Kind::Service, &key.namespace, &key.name);
        let reference = Reference { namespace: &key.namespace, service: &key.name, port: backend.into() };
        let action = match self.upstreams.resolve(reference) {
            Ok(upstream) => Action::Forward(self.upstreams.take(upstream)),
            Err(failure) => {
                let unavailable = match failure {
                    Failure::Reference(problem) => problem.unavailable(),
                    Failure::Upstream(unavailable) => unavailable,
                };
                let message = format!("the default backend answers 503: {}", unavailable.message);
                let problem = Problem::error(Code::DefaultUnusable, "", message);
                self.report.add_missing(service.clone(), problem.hint("create or mend the Service, or name another"));
                Action::Unavailable(unavailable)
            }
        };
        Some(Route {
            name: name::of_operator_default(),
            matcher: everything(),
            action,
            policies: Arc::new(policy::Policies {
                strict_transport_security: self.options.strict_transport_security,
                ..policy::Policies::default()
            }),
            origin: Origin::new(service, ""),
        })
    }

    /// Places of Ingresses with a route that requests can reach, of those made since the last call.
    pub(super) fn served(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.served)
    }

    fn default_route(&mut self, fallback: Fallback<'a>, name: RouteName, tls: bool) -> Route {
        self.served.insert(fallback.ours);
        Route {
            name,
            matcher: everything(),
            action: self.action(fallback.ours, || default_backend::FIELD.to_owned(), fallback.backend),
            policies: self.policies(fallback.ours, tls),
            origin: Origin::new(self.ours[fallback.ours].reference().clone(), default_backend::FIELD),
        }
    }

    /// What a backend comes to; what is wrong with it is reported on the field that holds it.
    fn action(&mut self, place: usize, field: impl Fn() -> String, backend: &'a IngressBackend) -> Action {
        let ingress = &self.ours[place];
        let resolved = match referenced(backend) {
            Ok((service, port)) => {
                let reference = Reference { namespace: ingress.namespace(), service, port };
                self.upstreams.resolve(reference).map_err(|failure| match failure {
                    Failure::Reference(problem) => Failure::Reference(problem.under("service")),
                    reported @ Failure::Upstream(_) => reported,
                })
            }
            Err(problem) => Err(Failure::Reference(problem)),
        };
        let resolved = resolved.map_err(|failure| match failure {
            Failure::Upstream(unavailable) => unavailable,
            Failure::Reference(problem) => {
                let unavailable = problem.unavailable();
                self.report.add(ingress.object, problem.under(&field()));
                unavailable
            }
        });
        // Judged last, so that a closed Ingress learns of its other problems too.
        let resolved = ingress.settings.closed.clone().map_or(resolved, Err);
        match resolved {
            Ok(upstream) => Action::Forward(self.upstreams.take(upstream)),
            Err(unavailable) => Action::Unavailable(unavailable),
        }
    }

    fn policies(&mut self, place: usize, tls: bool) -> Arc<policy::Policies> {
        let settings = &self.ours[place].settings.values;
        let redirect = settings.https_redirect.unwrap_or(self.options.https_redirect && tls);
        let policies = policy::Policies {
            request_timeout: settings.request_timeout,
            max_body_size: settings.max_body_size,
            https_redirect: redirect.then_some(policy::HttpsRedirect { port: self.options.https_port }),
            strict_transport_security: self.options.strict_transport_security,
        };
        if let Some(known) = self.common.policies.get(&policies) {
            return known.clone();
        }
        let policies = Arc::new(policies);
        self.common.policies.insert(policies.clone());
        policies
    }
}

/// The Service and port that a backend names; the problem's field is relative to the backend.
fn referenced(backend: &IngressBackend) -> Result<(&str, PortReference<'_>), Problem> {
    if let Some(resource) = &backend.resource {
        let message = format!("a backend of kind {} is not supported; the route answers 503", quote(&resource.kind));
        let problem = Problem::error(Code::ResourceBackendUnsupported, "resource", message);
        return Err(problem.hint("name a service instead"));
    }
    let invalid = |field: &str, message: &str, hint: &str| {
        Problem::error(Code::ObjectInvalid, field, format!("{message}; the route answers 503")).hint(hint)
    };
    let Some(service) = &backend.service else {
        return Err(invalid("service", "the backend names no Service", "add service with name and port"));
    };
    let port = service.port.as_ref();
    let name = port.and_then(|port| port.name.as_deref()).filter(|name| !name.is_empty());
    let number = port.and_then(|port| port.number).filter(|number| *number != 0);
    match (name, number) {
        (Some(name), None) => Ok((&service.name, PortReference::Name(name))),
        (None, Some(number)) => Ok((&service.name, PortReference::Number(number))),
        (Some(_), Some(_)) => {
            Err(invalid("service.port", "the port is named twice", "set only one of name and number"))
        }
        (None, None) => Err(invalid("service.port", "the backend names no port", "set one of name and number")),
    }
}

fn everything() -> Matcher {
    Matcher::path(PathMatch::Prefix("/".into()))
}
