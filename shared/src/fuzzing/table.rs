//! Look-ups: the table finds what scanning all rules finds.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Choices;
use crate::diagnostic::Code;
use crate::ir::*;
use crate::origin::{Kind, ObjectRef, Origin};
use crate::table::{RequestView, RoutingTable};

/// Hosts with the rules of each.
pub(crate) type Hosts = Vec<(HostPattern, Vec<Matcher>)>;

/// Octets that choose hosts, rules, and then requests.
pub fn table(octets: &[u8]) {
    let mut choices = Choices(octets);
    let mut hosts = Hosts::new();
    for _ in 0..=choices.below(5) {
        let pattern = pattern(&mut choices);
        // Few rules are compared, many have a trie: both are wanted.
        let most = choices.of(&[3, 12, 30]);
        let matchers: Vec<_> = (0..choices.below(most)).map(|_| matcher(&mut choices)).collect();
        if hosts.iter().all(|(known, _)| *known != pattern) {
            hosts.push((pattern, matchers));
        }
    }
    let built = build(&hosts, &RoutingTable::empty());
    // A table that follows an equal one shares all of it, and must find the same.
    let after = build(&hosts, &built);
    for _ in 0..8 {
        let host =
            choices.of(&[None, Some("a"), Some("b.a"), Some("c.b.a"), Some("z.c.b.a"), Some("x.c.b.a"), Some("")]);
        let path = path(&mut choices);
        let method = choices.of(&["GET", "POST", "get"]);
        let method = Method::from_bytes(method.as_bytes()).expect("a token");
        let mut headers = HeaderMap::new();
        for _ in 0..choices.below(3) {
            let value = choices.of(&["", "1", "2", "1, 2"]);
            headers.append(HeaderName::from_static(choices.of(&["x", "y"])), HeaderValue::from_static(value));
        }
        let query =
            choices.of(&[None, Some("q=1"), Some("q=2&q=1"), Some("r=1&q=1"), Some("q"), Some("&=&q=1"), Some("")]);
        let view = RequestView { path: &path, method: &method, headers: &headers, query };
        let expected = naive(&hosts, host, &view);
        for table in [&built, &after] {
            let listener = table.listener(INGRESS_LISTENER).expect("the listener is there");
            let found = listener.route(host, &view).map(|entry| entry.route.name.to_string());
            assert_eq!(found, expected, "{host:?} {view:?} in {hosts:?}");
            let (explained, _) = listener.explain(host, &view);
            assert_eq!(explained.map(|entry| entry.route.name.to_string()), expected, "{host:?} {view:?} explained");
        }
    }
}

fn pattern(choices: &mut Choices<'_>) -> HostPattern {
    let name = choices.of(&["a", "b.a", "c.b.a", "x.c.b.a"]);
    match choices.below(4) {
        0 => HostPattern::Exact(name.into()),
        1 => HostPattern::OneLabel(name.into()),
        2 => HostPattern::ManyLabels(name.into()),
        _ => HostPattern::Any,
    }
}

fn path(choices: &mut Choices<'_>) -> String {
    let mut path = "/".to_owned();
    for number in 0..choices.below(5) {
        if number > 0 {
            path.push('/');
        }
        match choices.below(10) {
            9 => path.push_str(&String::from_utf8_lossy(choices.octets())),
            known => path.push_str(["", "a", "b", "ab", "{p}", "{*p}", "a{b", "%2F", "}}"][known]),
        }
    }
    path
}

fn matcher(choices: &mut Choices<'_>) -> Matcher {
    let path = path(choices);
    let path = if choices.below(2) == 0 { PathMatch::Prefix(path.into()) } else { PathMatch::Exact(path.into()) };
    let beyond = choices.octet();
    if beyond < 128 {
        return Matcher::path(path);
    }
    let method = choices.of(&[None, None, Some("POST"), Some("get")]).map(Arc::from);
    let value = |choices: &mut Choices<'_>| match choices.below(2) {
        0 => ValueMatch::Present,
        _ => ValueMatch::Exact(choices.of(&["1", "2", ""]).into()),
    };
    let headers: Vec<_> = (0..choices.below(3))
        .map(|_| HeaderMatch { name: choices.of(&["x", "y"]).into(), value: value(choices) })
        .collect();
    let query: Vec<_> = (0..choices.below(3))
        .map(|_| QueryMatch { name: choices.of(&["q", "r", ""]).into(), value: value(choices) })
        .collect();
    Matcher::new(path, method, headers, query)
}

fn build(hosts: &Hosts, before: &RoutingTable) -> RoutingTable {
    let virtual_hosts = hosts
        .iter()
        .map(|(pattern, matchers)| {
            let routes = matchers.iter().enumerate();
            let routes = routes.map(|(at, matcher)| route(&format!("{pattern}#{at}"), matcher.clone())).collect();
            Arc::new(VirtualHost { pattern: pattern.clone(), routes, fallback: None, certificate: None })
        })
        .collect();
    let listener = Listener {
        name: INGRESS_LISTENER.into(),
        virtual_hosts,
        fallback: None,
        default_certificate: None,
        certificates: Vec::new(),
    };
    RoutingTable::build(Arc::new(Ir { listeners: vec![listener], ..Ir::default() }), before, |_| None)
}

fn route(name: &str, matcher: Matcher) -> Arc<Route> {
    Arc::new(Route {
        name: RouteName(name.into()),
        matcher,
        action: Action::Unavailable(Unavailable { code: Code::ServiceNotFound, message: "test".into() }),
        policies: Arc::default(),
        origin: Origin::new(ObjectRef::new(Kind::Ingress, "default", name), ""),
    })
}

/// The specification: best host by kind and length, then the best route by the order of preference, all by scanning.
pub(crate) fn naive(hosts: &Hosts, host: Option<&str>, view: &RequestView<'_>) -> Option<String> {
    let rank = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(_) => (3, 0),
        HostPattern::OneLabel(_) => (2, 0),
        HostPattern::ManyLabels(suffix) => (1, suffix.len()),
        HostPattern::Any => (0, 0),
    };
    let (pattern, matchers) = hosts.iter().filter(|(p, _)| p.matches(host)).max_by_key(|(p, _)| rank(p))?;
    let key = |m: &Matcher| {
        let exact = matches!(m.path, PathMatch::Exact(_));
        (exact, m.path.path().len(), m.method().is_some(), m.headers().len(), m.query().len())
    };
    let mut best: Option<usize> = None;
    for (at, matcher) in matchers.iter().enumerate().filter(|(_, matcher)| passes(matcher, view)) {
        if best.is_none_or(|best| key(matcher) > key(&matchers[best])) {
            best = Some(at);
        }
    }
    best.map(|at| format!("{pattern}#{at}"))
}

/// Whether a request passes every test of a matcher.
fn passes(matcher: &Matcher, view: &RequestView<'_>) -> bool {
    let pairs: Vec<(&str, &str)> = view
        .query
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.find('=').map_or((pair, ""), |at| (&pair[..at], &pair[at + 1..])))
        .collect();
    let header = |test: &HeaderMatch| {
        let mut fields = view.headers.iter().filter(|(name, _)| name.as_str() == &*test.name);
        fields.any(|(_, value)| test.value.matches(value.as_bytes()))
    };
    let query = |test: &QueryMatch| {
        let first = pairs.iter().find(|(name, _)| *name == &*test.name);
        first.is_some_and(|(_, value)| test.value.matches(value.as_bytes()))
    };
    matcher.path.matches(view.path)
        && matcher.method().is_none_or(|method| method == view.method.as_str())
        && matcher.headers().iter().all(header)
        && matcher.query().iter().all(query)
}
