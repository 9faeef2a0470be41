//! What one request costs from its first octet to the last of its answer, and one certificate by name.
//!
//! `cargo bench -p portico-dataplane`. Requests go through a data plane on loopback, one after the other on one connection,
//! so times are dominated by four ways through the kernel: compare them with each other, not with those of `tests/bench`.

#[path = "../tests/allocations/octets.rs"]
mod octets;

use std::hint::black_box;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use octets::read;
use portico_dataplane::config::{Binding, Config};
use portico_dataplane::{Dataplane, Running};
use portico_shared::ir::*;
use portico_shared::table::RoutingTable;
use portico_shared::{EndpointSet, Kind, ObjectRef, Origin, Redacted};

criterion_group!(benches, pipeline, certificate);
criterion_main!(benches);

const SMALL: &str = "GET / HTTP/1.1\r\nHost: host-0.test\r\n\r\n";
const BROWSER: &str = "GET /a/b?c=d HTTP/1.1\r\nHost: host-0.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
    Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\nReferer: http://a.test/a\r\nConnection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 23\r\nConnection: keep-alive\r\n\r\nhello from the backend\n";

fn pipeline(criterion: &mut Criterion) {
    let (running, address) = proxy(endpoint());
    let mut group = criterion.benchmark_group("request");
    for (name, request) in [("small", SMALL), ("browser", BROWSER)] {
        let mut client = TcpStream::connect(address).expect("the data plane accepts");
        let mut buffer = [0; 4096];
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                client.write_all(request.as_bytes()).expect("the data plane reads");
                read(&mut client, &mut buffer, 23);
            });
        });
    }
    group.finish();
    drop(running);
}

/// By number of hosts that have a certificate of their own.
fn certificate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("certificate");
    for hosts in [1, 100, 10_000] {
        let table = table(None, hosts);
        let names: Vec<_> = (0..hosts).map(|number| format!("host-{number}.test")).collect();
        let listener = table.listener(INGRESS_LISTENER).expect("it is there");
        let mut number = 0_usize;
        group.bench_function(BenchmarkId::from_parameter(hosts), |bencher| {
            bencher.iter(|| {
                number = number.wrapping_add(1);
                black_box(listener.certificate(Some(&names[number * 7919 % hosts])).certificate());
            });
        });
    }
    group.finish();
}

/// A data plane with one worker that accepts.
fn proxy(endpoint: SocketAddr) -> (Running, SocketAddr) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config { bindings: vec![Binding::ingress(any, false)], workers: 1, ..Config::default() };
    let bound = Dataplane::bind(config).expect("loopback can be bound");
    let address = bound.addresses()[0];
    let running = bound.start().expect("workers start");
    running.publisher().publish(table(Some(endpoint), 1));
    while TcpStream::connect(address).is_err() {
        std::thread::yield_now();
    }
    (running, address)
}

/// So many hosts with a certificate each, and one route to one endpoint.
fn table(endpoint: Option<SocketAddr>, hosts: usize) -> Arc<RoutingTable> {
    let name = UpstreamName { namespace: "default".into(), service: "echo".into(), port: 80 };
    let upstream = Upstream {
        name: name.clone(),
        protocol: Protocol::Http1,
        tls: None,
        balance: Balance::LeastRequest,
        source: EndpointSource::Compiled,
    };
    let route = Arc::new(Route {
        name: RouteName("default/echo:*/".into()),
        matcher: Matcher::path(PathMatch::Prefix("/".into())),
        action: Action::Forward([Backend { upstream: name, weight: 1 }].into()),
        policies: Arc::default(),
        origin: Origin::new(ObjectRef::new(Kind::Ingress, "default", "echo"), ""),
    });
    let secret = |number: usize| CertificateName { namespace: "default".into(), secret: number.to_string().into() };
    let host = |number: usize| VirtualHost {
        pattern: HostPattern::Exact(format!("host-{number}.test").into()),
        routes: vec![route.clone()],
        fallback: None,
        certificate: Some(secret(number)),
    };
    let certificate = |number: usize| Certificate {
        name: secret(number),
        chain: Vec::new(),
        key: KeyDer { format: KeyFormat::Pkcs8, der: Redacted::new(Arc::new(Vec::new().into())) },
        dns_names: Vec::new(),
        fingerprint: "".into(),
        not_before: 0,
        not_after: i64::MAX,
    };
    let listener = Listener {
        name: INGRESS_LISTENER.into(),
        virtual_hosts: (0..hosts).map(|number| Arc::new(host(number))).collect(),
        fallback: None,
        default_certificate: None,
        certificates: Vec::new(),
    };
    let certificates = (0..hosts).map(|number| Arc::new(certificate(number))).collect();
    let ir = Ir { listeners: vec![listener], upstreams: vec![Arc::new(upstream)], certificates };
    let set = Arc::new(EndpointSet::new(endpoint));
    Arc::new(RoutingTable::build(Arc::new(ir), &RoutingTable::empty(), |_| Some(set.clone())))
}

/// Answers on each connection for as long as it is open.
fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.peek(&mut buffer).is_ok_and(|read| read > 0) {
                    read(&mut stream, &mut buffer, 0);
                    stream.write_all(ANSWER.as_bytes()).expect("the data plane reads");
                }
            });
        }
    });
    address
}
