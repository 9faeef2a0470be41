//! What is counted by several workers, and how it is shown.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use portico_shared::ir::{
    Action, Backend, Balance, EndpointSource, INGRESS_LISTENER, Ir, Listener, Matcher, PathMatch, Protocol, Route,
    RouteName, Upstream, UpstreamName,
};
use portico_shared::table::{RequestView, RouteEntry, RoutingTable};
use portico_shared::{Kind, ObjectRef, Origin};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use rustls::ProtocolVersion;

use super::*;

fn upstream(service: &str) -> Arc<Upstream> {
    Arc::new(Upstream {
        name: UpstreamName { namespace: "shop".into(), service: service.into(), port: 80 },
        protocol: Protocol::Http1,
        tls: None,
        balance: Balance::default(),
        source: EndpointSource::Compiled,
    })
}

fn table(route: &str, service: &str, previous: &RoutingTable) -> RoutingTable {
    let upstream = upstream(service);
    let fallback = Route {
        name: RouteName(route.into()),
        matcher: Matcher::path(PathMatch::Prefix("/".into())),
        action: Action::Forward([Backend { upstream: upstream.name.clone(), weight: 1 }].into()),
        policies: Arc::default(),
        origin: Origin::new(ObjectRef::new(Kind::Ingress, "shop", "front"), "spec.defaultBackend"),
    };
    let listener = Listener {
        name: INGRESS_LISTENER.into(),
        virtual_hosts: Vec::new(),
        fallback: Some(Arc::new(fallback)),
        default_certificate: None,
        certificates: Vec::new(),
    };
    let ir = Ir { listeners: vec![listener], upstreams: vec![upstream], certificates: Vec::new() };
    RoutingTable::build(Arc::new(ir), previous, |_| None)
}

fn entry(table: &RoutingTable) -> Arc<RouteEntry> {
    let view = RequestView { path: "/", method: &Method::GET, headers: &HeaderMap::new(), query: None };
    table.listener(INGRESS_LISTENER).and_then(|listener| listener.route(None, &view)).cloned().expect("a fallback")
}

fn rendered(metrics: &Arc<Metrics>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics.clone()));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("writing to a string");
    text
}

/// The value of the series written exactly so.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn shards_of_all_workers_are_added_up() {
    let metrics = Metrics::new(2);
    for number in 0..2 {
        let worker = metrics.worker(number);
        worker.accepted(true);
        worker.accepted(false);
        worker.connections_active.inc();
        worker.connections_parked.inc();
        worker.tls_handshake(ProtocolVersion::TLSv1_3, number == 1);
        worker.limit(Limit::HeadSize);
        worker.requests_in_flight.inc();
        worker.unmatched().record(404, Duration::from_millis(1), 0, 10);
    }
    let text = rendered(&metrics);
    for (series, expected) in [
        (r#"portico_connections_total{binding="http"}"#, 2.0),
        (r#"portico_connections_total{binding="https"}"#, 2.0),
        (r#"portico_connections_active{worker="1"}"#, 1.0),
        (r#"portico_connections_parked{worker="1"}"#, 1.0),
        (r#"portico_tls_handshakes_total{version="1.3",resumed="false"}"#, 1.0),
        (r#"portico_tls_handshakes_total{version="1.3",resumed="true"}"#, 1.0),
        (r#"portico_tls_handshakes_total{version="1.2",resumed="true"}"#, 0.0),
        (r#"portico_limit_breaches_total{limit="head_size"}"#, 2.0),
        (r#"portico_requests_total{route="_",ingress="_",upstream="_",status="4xx"}"#, 2.0),
        ("portico_requests_in_flight", 2.0),
        ("portico_panics_total", 0.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
    assert_eq!(metrics.requests_in_flight(), 2);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_route_shows_its_labels_bytes_and_durations() {
    let metrics = Metrics::new(1);
    let table = table("a \"quoted\" route", "cart", &RoutingTable::empty());
    let route = metrics.worker(0).route(&entry(&table));
    route.record(200, Duration::from_millis(3), 5, 70);
    route.record(0, Duration::from_secs(90), 5, 0);
    route.retried();
    let text = rendered(&metrics);
    let labels = r#"route="a \"quoted\" route",ingress="shop/front",upstream="shop/cart:80""#;
    for (series, expected) in [
        (format!(r#"portico_requests_total{{{labels},status="2xx"}}"#), 1.0),
        (format!(r#"portico_requests_total{{{labels},status="_"}}"#), 1.0),
        (format!("portico_request_received_bytes_total{{{labels}}}"), 10.0),
        (format!("portico_response_sent_bytes_total{{{labels}}}"), 70.0),
        (format!("portico_request_retries_total{{{labels}}}"), 1.0),
        (format!(r#"portico_request_duration_seconds_bucket{{le="0.0025",{labels}}}"#), 0.0),
        (format!(r#"portico_request_duration_seconds_bucket{{le="0.005",{labels}}}"#), 1.0),
        (format!(r#"portico_request_duration_seconds_bucket{{le="+Inf",{labels}}}"#), 2.0),
        (format!("portico_request_duration_seconds_sum{{{labels}}}"), 90.003),
    ] {
        assert_eq!(value(&text, &series), Some(expected), "{series}\n{text}");
    }
}

#[test]
fn equal_labels_of_another_generation_continue_the_same_series() {
    let metrics = Metrics::new(1);
    let first = table("all", "cart", &RoutingTable::empty());
    metrics.worker(0).route(&entry(&first)).record(200, Duration::ZERO, 0, 0);
    let second = table("all", "cart", &RoutingTable::empty());
    metrics.retain(&second);
    assert_ne!(entry(&first).id, entry(&second).id);
    metrics.worker(0).route(&entry(&second)).record(200, Duration::ZERO, 0, 0);
    let series = r#"portico_requests_total{route="all",ingress="shop/front",upstream="shop/cart:80",status="2xx"}"#;
    assert_eq!(value(&rendered(&metrics), series), Some(2.0));
}

#[test]
fn routes_gone_from_the_table_are_forgotten_once_nobody_holds_them() {
    let metrics = Metrics::new(2);
    let first = table("old", "cart", &RoutingTable::empty());
    let held = metrics.worker(0).route(&entry(&first));
    drop(metrics.worker(1).route(&entry(&first)));
    let second = table("new", "cart", &first);
    metrics.retain(&second);
    held.record(200, Duration::ZERO, 0, 0);
    assert!(rendered(&metrics).contains(r#"route="old""#), "a request in flight is still counted");
    drop(held);
    metrics.retain(&second);
    assert!(!rendered(&metrics).contains(r#"route="old""#));
}

#[test]
fn swaps_are_counted() {
    let metrics = Metrics::new(1);
    let first = Arc::new(table("one", "one", &RoutingTable::empty()));
    metrics.table().published(&first, Duration::from_millis(2), 1);
    let text = rendered(&metrics);
    assert_eq!(value(&text, "portico_table_generation"), Some(1.0));
    assert_eq!(value(&text, "portico_table_certificate_errors"), Some(1.0));
    assert_eq!(value(&text, "portico_table_publishes_total"), Some(1.0));
    assert_eq!(value(&text, r#"portico_table_swap_seconds_count"#), Some(1.0));
    let second = Arc::new(table("two", "two", &first));
    metrics.table().published(&second, Duration::from_millis(2), 0);
    assert_eq!(value(&rendered(&metrics), "portico_tables_live"), Some(2.0));
    drop(first);
    assert_eq!(value(&rendered(&metrics), "portico_tables_live"), Some(1.0));
}
