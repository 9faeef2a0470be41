//! Names against a name service on loopback, and what is kept for how long against a clock of the test's own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use portico_shared::ir::{Balance, EndpointSource, Ir, Protocol, Upstream, UpstreamName};
use portico_shared::table::RoutingTable;
use portico_tests::wait_until;
use tokio::time::Instant;

use super::lookup::Addresses;
use super::names::Names;
use super::{Dns, Guard, Settings};

/// A table whose upstreams are named like the names they stand for.
fn table(names: &[&str]) -> RoutingTable {
    let upstream = |name: &&str| {
        let source = EndpointSource::Dns { name: (*name).into(), port: 80 };
        let name = UpstreamName { namespace: "default".into(), service: (*name).into(), port: 80 };
        Arc::new(Upstream { name, protocol: Protocol::Http1, tls: None, balance: Balance::default(), source })
    };
    let ir = Ir { upstreams: names.iter().map(upstream).collect(), ..Ir::default() };
    RoutingTable::build(Arc::new(ir), &RoutingTable::empty(), |_| None)
}

fn endpoints(table: &RoutingTable, name: &str) -> Vec<String> {
    let cell = table.upstreams().find(|cell| &*cell.upstream.name.service == name).expect("it is there");
    cell.endpoints.load().endpoints().iter().map(|it| it.address.to_string()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

async fn until(table: &RoutingTable, name: &str, expected: &[&str]) {
    wait_until(name, async || {
        let found = endpoints(table, name);
        if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

async fn start(guard: Guard) -> (portico_tests::dns::Dns, Dns) {
    let service = portico_tests::dns::Dns::start().await;
    let settings = Settings { resolver: Some(service.address), cluster_domain: "cluster.test".to_owned(), guard };
    let dns = Dns::new(settings).expect("it can be set up");
    tokio::spawn(dns.clone().run());
    (service, dns)
}

#[tokio::test]
async fn addresses_follow_the_name() {
    let (service, dns) = start(Guard::default()).await;
    service.set("both.test", &[ip("203.0.113.1"), ip("2001:db8::1")]);
    service.set("web.default.svc.cluster.test", &[ip("10.0.0.7")]);
    let first = table(&["both.test", "web.default.svc"]);
    dns.follow(&first);
    until(&first, "both.test", &["203.0.113.1:80", "[2001:db8::1]:80"]).await;
    until(&first, "web.default.svc", &["10.0.0.7:80"]).await;
    service.set("both.test", &[ip("203.0.113.2")]);
    until(&first, "both.test", &["203.0.113.2:80"]).await;
    let second = table(&["both.test"]);
    dns.follow(&second);
    assert_eq!(endpoints(&second, "both.test"), ["203.0.113.2:80"], "what is known is there at once");
    assert_eq!(dns.counts().names, 1);
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let guard = Guard { api_server: vec![ip("10.96.0.1")], ..Guard::default() };
    let (service, dns) = start(guard).await;
    service.set("inside.test", &[ip("127.0.0.1"), ip("10.96.0.1"), ip("203.0.113.1")]);
    let mut problems = dns.problems();
    let table = table(&["inside.test", "missing.test"]);
    dns.follow(&table);
    until(&table, "inside.test", &["203.0.113.1:80"]).await;
    let told = problems.wait_for(|problems| problems.len() == 3).await.expect("it is told");
    let told: Vec<_> = told.iter().map(ToString::to_string).collect();
    for (told, expected) in told.iter().zip([
        "error[ExternalNameRefused]: Service default/inside.test: spec.externalName: inside.test leads to 10.96.0.1, \
         which is the API server and is not used",
        "error[ExternalNameRefused]: Service default/inside.test: spec.externalName: inside.test leads to 127.0.0.1, \
         which is a loopback address and is not used",
        "error[ExternalNameRefused]: Service default/missing.test: spec.externalName: missing.test does not exist",
    ]) {
        assert_eq!(told, expected);
    }
}

#[test]
fn last_addresses_are_kept_for_five_minutes() {
    let (table, start) = (table(&["a.test"]), Instant::now());
    let after = |seconds| start + Duration::from_secs(seconds);
    let mut names = Names::new(Guard::default());
    names.follow(&table, start);
    assert_eq!(names.take_due(start, 8), [Arc::from("a.test")]);
    assert!(names.take_due(start, 8).is_empty(), "it is being asked for");
    let addresses = [ip("203.0.113.1")].into();
    names.answered("a.test", Ok(Addresses { addresses, ttl: Duration::from_secs(30) }), start);
    assert_eq!(names.next(), Some(after(30)));
    for seconds in [30, 35, 329] {
        names.answered("a.test", Err("is ill".to_owned()), after(seconds));
        assert_eq!(names.next(), Some(after(seconds + 5)));
        assert_eq!(endpoints(&table, "a.test"), ["203.0.113.1:80"], "after {seconds} s");
    }
    names.answered("a.test", Err("is ill".to_owned()), after(330));
    assert!(endpoints(&table, "a.test").is_empty());
    let problems = names.new_problems().expect("something changed");
    assert!(problems[0].message.ends_with("a.test is ill"), "{problems:?}");
    assert_eq!(names.new_problems(), None);
    names.answered("gone.test", Err("is ill".to_owned()), after(331));
    assert_eq!((names.counts().failing, names.counts().failed), (1, 5));
}

#[test]
fn address_that_becomes_forbidden_is_dropped_at_once() {
    let (table, start) = (table(&["a.test"]), Instant::now());
    let mut names = Names::new(Guard::default());
    names.follow(&table, start);
    for (address, expected) in [("203.0.113.1", vec!["203.0.113.1:80"]), ("169.254.169.254", vec![])] {
        let ttl = Duration::from_secs(1);
        names.answered("a.test", Ok(Addresses { addresses: [ip(address)].into(), ttl }), start);
        assert_eq!(endpoints(&table, "a.test"), expected);
    }
}
