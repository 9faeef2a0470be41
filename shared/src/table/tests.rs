//! The table against a naive matcher written from the specification, and the tables of the specification themselves.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::{RequestView, RoutingTable};
use crate::diagnostic::Code;
use crate::fuzzing::table::naive;
use crate::ir::*;
use crate::origin::{Kind, ObjectRef, Origin};

fn route(name: &str, matcher: Matcher) -> Arc<Route> {
    Arc::new(Route {
        name: RouteName(name.into()),
        matcher,
        action: Action::Unavailable(Unavailable { code: Code::ServiceNotFound, message: "test".into() }),
        policies: Arc::default(),
        origin: Origin::new(ObjectRef::new(Kind::Ingress, "default", name), ""),
    })
}

fn table(hosts: Vec<(HostPattern, Vec<Matcher>)>) -> RoutingTable {
    let virtual_hosts = hosts
        .into_iter()
        .map(|(pattern, matchers)| {
            let routes = matchers.into_iter().enumerate();
            let routes = routes.map(|(i, matcher)| route(&format!("{pattern}#{i}"), matcher)).collect();
            Arc::new(VirtualHost { pattern, routes, fallback: None, certificate: None })
        })
        .collect();
    let listener = Listener {
        name: INGRESS_LISTENER.into(),
        virtual_hosts,
        fallback: None,
        default_certificate: None,
        certificates: Vec::new(),
    };
    let ir = Ir { listeners: vec![listener], ..Ir::default() };
    RoutingTable::build(Arc::new(ir), &RoutingTable::empty(), |_| None)
}

fn find(table: &RoutingTable, host: &str, path: &str) -> Option<String> {
    let (method, headers) = (Method::GET, HeaderMap::new());
    let view = RequestView { path, method: &method, headers: &headers, query: None };
    let host = Some(host).filter(|host| !host.is_empty());
    table.listener(INGRESS_LISTENER)?.route(host, &view).map(|entry| entry.route.name.to_string())
}

fn exact(path: &str) -> Matcher {
    Matcher::path(PathMatch::Exact(path.into()))
}

fn prefix(path: &str) -> Matcher {
    Matcher::path(PathMatch::Prefix(path.into()))
}

#[test]
fn path_rules_of_ingress() {
    let cases: &[(&[Matcher], &str, Option<usize>)] = &[
        (&[prefix("/")], "/anything/at//all", Some(0)),
        (&[exact("/foo")], "/foo", Some(0)),
        (&[exact("/foo")], "/foo/", None),
        (&[exact("/foo")], "/FOO", None),
        (&[exact("/foo/")], "/foo", None),
        (&[exact("/foo/")], "/foo/", Some(0)),
        (&[prefix("/foo")], "/foo", Some(0)),
        (&[prefix("/foo")], "/foo/", Some(0)),
        (&[prefix("/foo")], "/foo//", Some(0)),
        (&[prefix("/foo")], "/FOO", None),
        (&[prefix("/foo/")], "/foo", Some(0)),
        (&[prefix("/foo/")], "/foo/", Some(0)),
        (&[prefix("/aaa/bb")], "/aaa/bbb", None),
        (&[prefix("/aaa/bbb/")], "/aaa/bbb", Some(0)),
        (&[prefix("/aaa/bbb")], "/aaa/bbb/ccc", Some(0)),
        (&[prefix("/aaa/bbb")], "/aaa/bbbxyz", None),
        (&[prefix("/"), prefix("/aaa")], "/aaa/ccc", Some(1)),
        (&[prefix("/"), prefix("/aaa"), prefix("/aaa/bbb")], "/aaa/bbb", Some(2)),
        (&[prefix("/"), prefix("/aaa"), prefix("/aaa/bbb")], "/ccc", Some(0)),
        (&[prefix("/aaa")], "/ccc", None),
        (&[prefix("/foo"), exact("/foo")], "/foo", Some(1)),
        (&[prefix("/foo"), exact("/foo")], "/foo/", Some(0)),
        (&[prefix("/foo"), prefix("/foo/")], "/foo", Some(1)),
        (&[prefix("/foo"), prefix("/foo/")], "/foo/x", Some(1)),
        (&[prefix("/foo/"), exact("/foo")], "/foo", Some(1)),
        (&[exact("/a/b/c"), prefix("/a")], "/a/b/x", Some(1)),
        (&[prefix("/{x}"), prefix("/y")], "/{x}/z", Some(0)),
        (&[prefix("/{x}"), prefix("/y")], "/q", None),
    ];
    for (rules, path, expected) in cases {
        let table = table(vec![(HostPattern::Any, rules.to_vec())]);
        let expected = expected.map(|i| format!("*#{i}"));
        assert_eq!(find(&table, "a.test", path), expected, "{rules:?} {path}");
    }
}

#[test]
fn host_rules_of_both_dialects() {
    let one = |s: &str| HostPattern::OneLabel(s.into());
    let many = |s: &str| HostPattern::ManyLabels(s.into());
    let name = |s: &str| HostPattern::Exact(s.into());
    let patterns = [name("foo.bar.com"), one("foo.com"), many("baz.com"), many("deep.baz.com"), HostPattern::Any];
    let all = table(patterns.into_iter().map(|pattern| (pattern, vec![prefix("/")])).collect());
    for (host, expected) in [
        ("foo.bar.com", "foo.bar.com#0"),
        ("bar.foo.com", "*.foo.com#0"),
        ("baz.bar.foo.com", "*#0"),
        ("foo.com", "*#0"),
        ("a.b.baz.com", "**.baz.com#0"),
        ("a.b.deep.baz.com", "**.deep.baz.com#0"),
        ("deep.baz.com", "**.baz.com#0"),
        ("baz.com", "*#0"),
        ("[::1]", "*#0"),
        ("", "*#0"),
    ] {
        assert_eq!(find(&all, host, "/").as_deref(), Some(expected), "{host}");
    }
    let without_any = table(vec![(name("foo.bar.com"), vec![exact("/x")]), (one("bar.com"), vec![prefix("/")])]);
    assert_eq!(find(&without_any, "foo.bar.com", "/y"), None, "a miss in the best host stays a miss");
}

#[test]
fn equal_hosts_are_shared_between_generations() {
    let first = table(vec![(HostPattern::Any, vec![prefix("/")]), (HostPattern::Exact("a".into()), vec![prefix("/")])]);
    let second = RoutingTable::build(first.ir().clone(), &first, |_| None);
    assert_eq!(second.generation(), first.generation() + 1);
    let entry = |table: &RoutingTable| {
        let (method, headers) = (Method::GET, HeaderMap::new());
        let view = RequestView { path: "/", method: &method, headers: &headers, query: None };
        table.listener(INGRESS_LISTENER).and_then(|l| l.route(Some("a"), &view)).map(|entry| entry.id)
    };
    assert_eq!(entry(&first), entry(&second));
}

fn segments() -> impl Strategy<Value = String> {
    let segment =
        prop_oneof![Just(""), Just("a"), Just("b"), Just("ab"), Just("{p}"), Just("{*p}"), Just("a{b"), Just("%2F")];
    prop::collection::vec(segment, 0..4).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn matchers() -> impl Strategy<Value = Matcher> {
    let method = prop_oneof![4 => Just(None), 1 => Just(Some(Arc::from("POST")))];
    let value = prop_oneof![Just(ValueMatch::Present), Just(ValueMatch::Exact("1".into()))];
    let headers = prop::collection::vec(value.clone().prop_map(|value| HeaderMatch { name: "x".into(), value }), 0..2);
    let query = prop::collection::vec(value.prop_map(|value| QueryMatch { name: "q".into(), value }), 0..2);
    (segments(), any::<bool>(), method, headers, query).prop_map(|(path, exact, method, headers, query)| {
        let path = if exact { PathMatch::Exact(path.into()) } else { PathMatch::Prefix(path.into()) };
        Matcher::new(path, method, headers, query)
    })
}

fn patterns() -> impl Strategy<Value = HostPattern> {
    let names = prop_oneof![Just("a"), Just("b.a"), Just("c.b.a"), Just("x.c.b.a")];
    (names, 0..4).prop_map(|(name, kind)| match kind {
        0 => HostPattern::Exact(name.into()),
        1 => HostPattern::OneLabel(name.into()),
        2 => HostPattern::ManyLabels(name.into()),
        _ => HostPattern::Any,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn table_equals_the_naive_matcher(
        hosts in prop::collection::btree_map(patterns(), prop::collection::vec(matchers(), 0..32), 1..5),
        host in prop_oneof![Just(None), Just(Some("a")), Just(Some("b.a")), Just(Some("c.b.a")), Just(Some("z.c.b.a")), Just(Some("x.c.b.a"))],
        path in segments(),
        post in any::<bool>(),
        header in prop_oneof![Just(None), Just(Some("1")), Just(Some("2"))],
        query in prop_oneof![Just(None), Just(Some("q=1")), Just(Some("q=2")), Just(Some("r=1"))],
    ) {
        let hosts: Vec<_> = hosts.into_iter().collect();
        let method = if post { Method::POST } else { Method::GET };
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert(HeaderName::from_static("x"), HeaderValue::from_static(value));
        }
        let view = RequestView { path: &path, method: &method, headers: &headers, query };
        let built = table(hosts.clone());
        let found = built.listener(INGRESS_LISTENER).and_then(|l| l.route(host, &view));
        let expected = naive(&hosts, host, &view);
        prop_assert_eq!(found.map(|entry| entry.route.name.to_string()), expected);
        let (explained, _) = built.listener(INGRESS_LISTENER).map(|l| l.explain(host, &view)).expect("the listener is there");
        prop_assert_eq!(explained.map(|entry| entry.id), found.map(|entry| entry.id));
    }
}
