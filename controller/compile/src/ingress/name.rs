//! Names of routes.
//!
//! | route | name |
//! |---|---|
//! | Prefix `/api` of host foo.com in Ingress shop/web | `shop/web:foo.com/api` |
//! | Exact `/api` | `shop/web:foo.com=/api` |
//! | ImplementationSpecific `/api` | `shop/web:foo.com~/api` |
//! | any host | `shop/web:*/api` |
//! | the Ingress's default backend on a host of its rules | `shop/web:foo.com!default` |
//! | the default backend of an Ingress without rules | `shop/web:!default` |
//! | the operator's default backend | `portico:!default` |
//!
//! Unique, because claims are (per host, type and path one claim stands) and paths begin with a slash; stable, because
//! neither place in the object nor age is part of it.

use portico_shared::ObjectRef;
use portico_shared::ir::{HostPattern, RouteName};

use super::path::{PathKey, PathType};

/// The route of a path.
pub(crate) fn of_path(ingress: &ObjectRef, host: &HostPattern, key: &PathKey) -> RouteName {
    RouteName(pieces(ingress, host, key).concat().into())
}

/// Whether this is the name of a path's route.
pub(crate) fn is_of_path(name: &RouteName, ingress: &ObjectRef, host: &HostPattern, key: &PathKey) -> bool {
    let pieces = pieces(ingress, host, key);
    let rest = pieces.into_iter().try_fold(&*name.0, |rest, piece| rest.strip_prefix(piece));
    rest == Some("")
}

fn pieces<'a>(ingress: &'a ObjectRef, host: &'a HostPattern, key: &'a PathKey) -> [&'a str; 8] {
    let mark = match key.kind {
        PathType::Exact => "=",
        PathType::Prefix => "",
        PathType::ImplementationSpecific => "~",
    };
    let (wildcard, host) = match host {
        HostPattern::Exact(name) => ("", &**name),
        HostPattern::OneLabel(suffix) => ("*.", &**suffix),
        HostPattern::ManyLabels(suffix) => ("**.", &**suffix),
        HostPattern::Any => ("*", ""),
    };
    [&ingress.namespace, "/", &ingress.name, ":", wildcard, host, mark, &key.path]
}

/// The route of a host's misses.
pub(crate) fn of_host_default(ingress: &ObjectRef, host: &HostPattern) -> RouteName {
    RouteName(format!("{}/{}:{host}!default", ingress.namespace, ingress.name).into())
}

/// The route of all misses, by an Ingress.
pub(crate) fn of_default(ingress: &ObjectRef) -> RouteName {
    RouteName(format!("{}/{}:!default", ingress.namespace, ingress.name).into())
}

/// The route of all misses, by the operator.
pub(crate) fn of_operator_default() -> RouteName {
    RouteName("portico:!default".into())
}
