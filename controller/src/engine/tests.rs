//! The engine with a real compile, a real data plane and a real name service; objects come as a source would tell them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portico_compile::{Key, Memory, Options, Snapshot, manifest};
use portico_dataplane::{Config, Dataplane, Running};
use portico_shared::{Code, Kind};
use portico_tests::wait_until;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};

use super::{Current, Engine, Phase, State};
use crate::dns::{Dns, Guard, Settings};
use crate::source::{Change, Event, KINDS, Objects, QUEUE, Wanted};

/// A running engine and what it lets others see.
struct Bench {
    state: Arc<State>,
    events: mpsc::Sender<Event>,
    running: Running,
}

impl Bench {
    fn new() -> Self {
        Self::with(None, Guard::default(), HOLD_OFF, |_| {})
    }

    fn with(resolver: Option<SocketAddr>, guard: Guard, hold_off: Duration, change: impl FnOnce(&mut Engine)) -> Self {
        let resolver = Some(resolver.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9))));
        let dns = Dns::new(Settings { resolver, cluster_domain: "cluster.test".to_owned(), guard: guard.clone() });
        let dns = dns.expect("it can be set up");
        let dataplane = Dataplane::bind(Config::default()).expect("nothing is bound");
        let running = dataplane.start().expect("it starts");
        let state = Arc::<State>::default();
        let publisher = running.publisher();
        let mut engine = Engine::new(Options::default(), hold_off, publisher, dns.clone(), guard, state.clone());
        change(&mut engine);
        let (events, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(engine.run(receiver));
        tokio::spawn(dns.run());
        Self { state, events, running }
    }

    async fn list(&self, text: &str) {
        self.send(Objects::Replace { kinds: KINDS.to_vec(), objects: objects(text) }).await;
    }

    async fn update(&self, text: &str) {
        self.send(Objects::Update { upserts: objects(text), deletes: Vec::new() }).await;
    }

    async fn send(&self, objects: Objects) {
        let change = Change { objects, diagnostics: None, noticed: Instant::now() };
        self.events.send(Event::Change(change)).await.expect("the engine runs");
    }

    async fn until(&self, what: &str, holds: impl Fn(&Current) -> bool) -> Arc<Current> {
        wait_until(what, async || {
            let current = self.state.current();
            let report = &current.report;
            if holds(&current) { Ok(current) } else { Err(format!("{}: {report:?}", current.table.generation())) }
        })
        .await
    }

    /// How many changes of endpoints were followed until they were swapped in.
    fn followed(&self) -> u64 {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.running.metrics().clone()));
        let mut shown = String::new();
        text::encode(&mut shown, &registry).expect("writing to a string");
        let series = "portico_endpoint_convergence_seconds_count{until=\"swap\"} ";
        shown.lines().find_map(|line| line.strip_prefix(series)?.parse().ok()).expect("the series is there")
    }

    async fn until_code(&self, code: Code, there: bool) -> Arc<Current> {
        self.until(code.as_str(), |current| has(current, code) == there).await
    }
}

fn objects(text: &str) -> Vec<portico_compile::AnyObject> {
    let manifest = manifest::parse("test.yaml", text);
    assert!(manifest.complete && !manifest.objects.is_empty(), "{:?}", manifest.diagnostics);
    manifest.objects
}

fn has(current: &Current, code: Code) -> bool {
    current.report.diagnostics().iter().any(|it| it.code == code)
}

/// Endpoints of the only upstream.
fn endpoints(current: &Current) -> Vec<String> {
    let cell = current.table.upstreams().next().expect("an upstream");
    cell.endpoints.load().endpoints().iter().map(|it| it.address.to_string()).collect()
}

fn ingress(path: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i}}\nspec:\n  rules:\n  - host: a.test\n    \
         http:\n      paths:\n      - path: {path}\n        pathType: Prefix\n        backend: {{service: {{name: a, port: \
         {{number: 80}}}}}}\n---\n"
    )
}

const SERVICE: &str =
    "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80, targetPort: 8080}]}\n---\n";

fn slice(address: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: a-1\n  labels: \
         {{kubernetes.io/service-name: a}}\naddressType: IPv4\nendpoints: [{{addresses: [{address}]}}]\nports: [{{port: \
         8080}}]\n---\n"
    )
}

fn external(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {{type: ExternalName, externalName: {name:?}, ports: \
         [{{port: 80}}]}}\n---\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn first_listing_is_published_and_reported() {
    let bench = Bench::new();
    bench.update(SERVICE).await;
    bench.events.send(Event::Trouble("lost sight".to_owned())).await.expect("the engine runs");
    wait_until("the trouble", async || bench.state.trouble().ok_or("none")).await;
    assert_eq!(bench.state.phase(), Phase::Starting, "a part of a listing is no table");
    bench.events.send(Event::Calm).await.expect("the engine runs");
    wait_until("calm", async || bench.state.trouble().map_or(Ok(()), Err)).await;
    bench.list(&(ingress("/") + SERVICE)).await;
    let current = bench.until_code(Code::NoEndpoints, true).await;
    assert_eq!((current.table.generation(), bench.state.phase()), (1, Phase::Ready));
    assert!(current.objects.iter().any(|(kind, count)| kind.as_str() == "Ingress" && *count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_alone_change_no_table() {
    let bench = Bench::new();
    bench.list(&(ingress("/") + SERVICE)).await;
    let first = bench.until_code(Code::NoEndpoints, true).await;
    bench.update(&slice("10.0.0.1")).await;
    bench.until("the endpoint", |current| endpoints(current) == ["10.0.0.1:8080"]).await;
    bench.update(&slice("10.0.0.2")).await;
    let current = bench.until("another endpoint", |current| endpoints(current) == ["10.0.0.2:8080"]).await;
    assert!(Arc::ptr_eq(&current.table, &first.table));
    let current = bench.until_code(Code::NoEndpoints, false).await;
    assert!(Arc::ptr_eq(&current.table, &first.table), "the report follows without a table");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_means_the_same_is_not_published() {
    let bench = Bench::new();
    bench.list(&(ingress("/") + SERVICE + &slice("10.0.0.1"))).await;
    let first = bench.until("a table", |current| current.table.generation() == 1).await;
    bench.update(&format!("# a line that moves all others\n{}", ingress("/"))).await;
    let compiled = |current: &Current| current.compiled != first.compiled;
    let second = bench.until("a compile", compiled).await;
    assert!(Arc::ptr_eq(&first.table, &second.table));
    bench.update(&ingress("/x")).await;
    bench.until("another table", |current| current.table.generation() == 2).await;
}

static BROKEN: AtomicBool = AtomicBool::new(false);

fn breakable(snapshot: &Snapshot, memory: &mut Memory) -> portico_compile::Compiled {
    assert!(!BROKEN.load(Ordering::SeqCst), "broken on purpose");
    portico_compile::compile_after(snapshot, memory)
}

#[tokio::test(flavor = "multi_thread")]
async fn panic_keeps_the_last_table() {
    let bench = Bench::with(None, Guard::default(), HOLD_OFF, |engine| engine.stage.compile = breakable);
    bench.list(&(ingress("/") + SERVICE + &slice("10.0.0.1"))).await;
    let first = bench.until("a table", |current| current.table.generation() == 1).await;
    BROKEN.store(true, Ordering::SeqCst);
    bench.update(&ingress("/x")).await;
    let panics = || bench.state.numbers.panics.load(Ordering::Relaxed);
    wait_until("the panic", async || if panics() == 1 { Ok(()) } else { Err("none") }).await;
    assert!(Arc::ptr_eq(&bench.state.current().table, &first.table));
    BROKEN.store(false, Ordering::SeqCst);
    // Even a change of endpoints alone makes up for what was lost.
    bench.update(&slice("10.0.0.2")).await;
    let healed = bench.until("a table", |current| current.table.generation() == 2).await;
    assert_eq!(endpoints(&healed), ["10.0.0.2:8080"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_held_off() {
    let hold_off = Duration::from_millis(200);
    let bench = Bench::with(None, Guard::default(), hold_off, |_| {});
    bench.list(&(ingress("/0") + SERVICE)).await;
    let first = bench.until("a table", |current| current.table.generation() == 1).await;
    drop(first);
    let begun = Instant::now();
    for n in 1..=100 {
        bench.update(&ingress(&format!("/{n}"))).await;
        tokio::task::yield_now().await;
    }
    let paths = |current: &Current| format!("{:?}", current.table.ir().listeners[0].virtual_hosts[0].routes);
    let last = bench.until("the last change", |current| paths(current).contains("\"/100\"")).await;
    let most = 2 + begun.elapsed().as_millis() / hold_off.as_millis();
    assert!(u128::from(last.table.generation()) <= most, "{} of {most}", last.table.generation());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_dates_are_noticed_when_they_come() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).expect("a name");
    let ends = super::unix_now() + 3;
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(ends.try_into().expect("after 1970"));
    let certificate = params.self_signed(&key).expect("signed");
    let indent = |pem: String| pem.trim().replace('\n', "\n    ");
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: t}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n    \
         {}\n  tls.key: |\n    {}\n---\n",
        indent(certificate.pem()),
        indent(key.serialize_pem())
    );
    let tls = ingress("/").replace("spec:\n", "spec:\n  tls: [{hosts: [a.test], secretName: t}]\n");
    let bench = Bench::new();
    bench.list(&(tls + SERVICE + &secret)).await;
    let first = bench.until_code(Code::CertificateExpiring, true).await;
    let ended = bench.until_code(Code::CertificateExpired, true).await;
    assert!(super::unix_now() >= ends);
    assert!(Arc::ptr_eq(&first.table, &ended.table), "time alone changes no table");
}

#[tokio::test(flavor = "multi_thread")]
async fn external_names_are_resolved_and_guarded() {
    let service = portico_tests::dns::Dns::start().await;
    service.set("api.test", &["203.0.113.1".parse().expect("an address")]);
    let guard = Guard { api_server: vec!["203.0.113.9".parse().expect("an address")], ..Guard::default() };
    let bench = Bench::with(Some(service.address), guard, HOLD_OFF, |_| {});
    bench.list(&(ingress("/") + &external("api.test"))).await;
    bench
        .until("the address", |current| {
            !current.table.ir().upstreams.is_empty() && endpoints(current) == ["203.0.113.1:80"]
        })
        .await;
    bench.update(&external("203.0.113.9")).await;
    let refused = bench.until_code(Code::ExternalNameRefused, true).await;
    assert!(endpoints(&refused).is_empty());
    let told = refused.report.diagnostics().iter().find(|it| it.code == Code::ExternalNameRefused).expect("it is told");
    assert_eq!(told.message, "203.0.113.9:80 is the API server and is not used");
    assert!(told.location.is_some(), "{told}");
    // Where the API server listens behind its Service is refused, too, and nothing else of that machine.
    bench.update(&(API_SERVER.to_owned() + &external("203.0.113.10"))).await;
    let refused = "203.0.113.10:80 is the API server";
    bench.until("the refusal", |current| format!("{:?}", current.report).contains(refused)).await;
    bench.update(&external("203.0.113.11")).await;
    bench.until("another port", |current| endpoints(current) == ["203.0.113.11:80"]).await;
    bench.update(&external("missing.test")).await;
    bench.until("what is wrong", |current| format!("{:?}", current.report).contains("does not exist")).await;
    service.set("missing.test", &["203.0.113.2".parse().expect("an address")]);
    bench.until("it to heal", |current| endpoints(current) == ["203.0.113.2:80"]).await;
    bench.until_code(Code::ExternalNameRefused, false).await;
}

const API_SERVER: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints: [{addresses: [203.0.113.10]}]
ports: [{name: https, port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes-2, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints: [{addresses: [203.0.113.11]}]
ports: [{name: https, port: 6443}]
---
";

const HOLD_OFF: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn table_waits_for_secrets_that_it_newly_needs() {
    let (wanted, mut asked) = watch::channel(Wanted::default());
    let resolver = Some(SocketAddr::from(([127, 0, 0, 1], 9)));
    let dns = Dns::new(Settings { resolver, cluster_domain: "cluster.test".to_owned(), guard: Guard::default() });
    let dns = dns.expect("it can be set up");
    let running = Dataplane::bind(Config::default()).expect("nothing is bound").start().expect("it starts");
    let state = Arc::<State>::default();
    let engine = Engine::new(Options::default(), HOLD_OFF, running.publisher(), dns, Guard::default(), state.clone())
        .asking(wanted);
    let (events, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(engine.run(receiver));
    let bench = Bench { state, events, running };
    let tls = |secret: &str| ingress("/").replace("spec:\n", &format!("spec:\n  tls: [{{secretName: {secret}}}]\n"));
    let key = |name: &str| Wanted::new([Key::new("default", name)].into());
    let gone = |name: &str| Objects::Update {
        upserts: Vec::new(),
        deletes: vec![portico_shared::ObjectRef::new(Kind::Secret, "default", name)],
    };

    let kinds = KINDS.into_iter().filter(|kind| *kind != Kind::Secret).collect();
    bench.send(Objects::Replace { kinds, objects: objects(&(tls("one") + SERVICE)) }).await;
    asked.wait_for(|wanted| *wanted == key("one")).await.expect("the engine runs");
    assert_eq!(bench.state.phase(), Phase::Starting, "Secrets are part of a whole listing");
    bench.send(Objects::Replace { kinds: vec![Kind::Secret], objects: Vec::new() }).await;
    bench.until("a table", |current| current.table.generation() == 1).await;

    let begun = Instant::now();
    bench.update(&tls("two")).await;
    asked.wait_for(|wanted| *wanted == key("two")).await.expect("the engine runs");
    let names =
        |current: &Current, secret: &str| format!("{:?}", current.report).contains(&format!("default/{secret}"));
    bench.update(&slice("10.0.0.1")).await;
    bench.until("endpoints, which do not wait", |current| endpoints(current) == ["10.0.0.1:8080"]).await;
    assert!(!names(&bench.state.current(), "two"));
    bench.send(gone("two")).await;
    bench.until("the answer to count", |current| names(current, "two")).await;
    assert!(begun.elapsed() < Duration::from_millis(900), "an answer is not waited for any longer");

    bench.update(&tls("three")).await;
    asked.wait_for(|wanted| *wanted == key("three")).await.expect("the engine runs");
    let another = tls("four").replace("{name: i}", "{name: j}");
    bench.update(&another).await;
    bench.until("patience to end", |current| names(current, "three")).await;
    assert!(asked.borrow().contains(&Key::new("default", "four")), "what came meanwhile is asked for too");
}

/// A slice whose change happened at a moment, in seconds since 1970.
fn dated(address: &str, moment: i64) -> String {
    let moment = k8s_openapi::jiff::Timestamp::from_second(moment).expect("a moment of our time");
    let annotations = format!("  annotations: {{endpoints.kubernetes.io/last-change-trigger-time: \"{moment}\"}}\n");
    slice(address).replace("addressType", &(annotations + "addressType"))
}

#[tokio::test(flavor = "multi_thread")]
async fn dated_changes_of_endpoints_are_followed_and_old_news_is_not() {
    let (bench, now) = (Bench::new(), super::unix_now());
    let to = async |address: &str, followed: u64| {
        let port = format!("{address}:8080");
        bench.until(address, |current| current.table.generation() > 0 && endpoints(current) == [&*port]).await;
        let count = async || if bench.followed() == followed { Ok(()) } else { Err(bench.followed()) };
        wait_until("the count", count).await;
    };
    bench.list(&(ingress("/") + SERVICE + &dated("10.0.0.1", now - 60))).await;
    to("10.0.0.1", 0).await;
    bench.update(&dated("10.0.0.2", now - 50)).await;
    to("10.0.0.2", 1).await;
    bench.update(&dated("10.0.0.3", now - 50)).await;
    to("10.0.0.3", 1).await;
    bench.list(&(ingress("/") + SERVICE + &dated("10.0.0.4", now - 50))).await;
    to("10.0.0.4", 1).await;
    bench.list(&(ingress("/") + SERVICE + &dated("10.0.0.5", now - 40))).await;
    to("10.0.0.5", 2).await;
    // News that changes no set; then an upstream that is new together with its endpoints.
    bench.update(&dated("10.0.0.5", now - 30)).await;
    let named = |text: String| text.replace("name: a", "name: b").replace("service-name: a", "service-name: b");
    let service = named(SERVICE.to_owned()) + &named(dated("10.0.0.6", now - 20));
    bench.update(&(named(ingress("/b")).replace("{name: i}", "{name: j}") + &service)).await;
    bench.until("another upstream", |current| current.table.upstreams().count() == 2).await;
    wait_until("the count", async || if bench.followed() == 3 { Ok(()) } else { Err(bench.followed()) }).await;
}

#[tokio::test]
async fn what_changes_nothing_is_not_waited_for() {
    let change = |upserts, deletes| {
        Event::Change(Change {
            objects: Objects::Update { upserts, deletes },
            diagnostics: None,
            noticed: Instant::now(),
        })
    };
    Bench::with(None, Guard::default(), HOLD_OFF, |engine| {
        let absent = portico_shared::ObjectRef::new(Kind::Ingress, "default", "absent");
        engine.take(change(Vec::new(), vec![absent]));
        assert!(engine.noticed.is_none(), "or the next change would seem to have taken since now");
        engine.take(change(objects(&slice("10.0.0.1")), Vec::new()));
        assert!(engine.noticed.is_some());
    });
}
