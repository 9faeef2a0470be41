//! What the load runs against: driven hosts, each with its own Ingress, Service, endpoints and certificate.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use portico_tests::certificate::{Authority, CertificateDer, Issued};
use portico_tests::manifest::join;
use portico_tests::{Echo, Ingress, Portico, Service, Setup, endpoints, secret};

use crate::arguments::Arguments;

/// Longest time in which an answer may still show what held before a write.
pub(crate) const STALE_AFTER: Duration = Duration::from_millis(250);

/// One value after the other, each with the moment from which it should show.
#[derive(Debug)]
pub(crate) struct History<T> {
    entries: Mutex<Vec<Entry<T>>>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    value: T,
    written: Instant,
    seen: Option<Instant>,
}

/// How an observation fits a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It held during the request or shortly before.
    Fresh,
    /// It was replaced this long before the request began.
    Stale(Duration),
    /// It never held.
    Unknown,
}

impl<T: PartialEq + Clone> History<T> {
    fn new(value: T) -> Self {
        let now = Instant::now();
        Self { entries: Mutex::new(vec![Entry { value, written: now, seen: Some(now) }]) }
    }

    /// Runs `write`, which makes `value` the one that should show.
    fn write(&self, value: T, write: impl FnOnce()) {
        // Noted first: the effect may show before the write returns.
        self.entries.lock().expect("no holder panics").push(Entry { value, written: Instant::now(), seen: None });
        write();
        self.entries.lock().expect("no holder panics").last_mut().expect("one was noted").written = Instant::now();
    }

    /// The value written last.
    fn current(&self) -> T {
        self.entries.lock().expect("no holder panics").last().expect("a history begins with a value").value.clone()
    }

    /// Judges what a request that began at `begun` showed.
    pub(crate) fn observe(&self, value: &T, begun: Instant) -> Verdict {
        let mut entries = self.entries.lock().expect("no holder panics");
        let Some(at) = entries.iter().rposition(|entry| entry.value == *value) else { return Verdict::Unknown };
        if entries[at].seen.is_none() {
            entries[at].seen = Some(Instant::now());
        }
        let Some(next) = entries.get(at + 1) else { return Verdict::Fresh };
        let late = begun.saturating_duration_since(next.written);
        if late > STALE_AFTER { Verdict::Stale(late) } else { Verdict::Fresh }
    }

    /// Time from each write to its first sight, and the number of writes never seen.
    pub(crate) fn effects(&self) -> (Vec<Duration>, usize) {
        let entries = self.entries.lock().expect("no holder panics");
        let written = entries.iter().skip(1);
        let times =
            written.clone().filter_map(|entry| Some(entry.seen?.saturating_duration_since(entry.written))).collect();
        (times, written.filter(|entry| entry.seen.is_none()).count())
    }
}

/// One driven host.
#[derive(Debug)]
pub(crate) struct Host {
    /// Its name.
    pub(crate) name: String,
    /// Backend that answers `/`.
    pub(crate) backend: History<String>,
    /// Certificate that is shown.
    pub(crate) certificate: History<CertificateDer<'static>>,
    file: String,
    issued: Mutex<Issued>,
}

/// Everything the load runs against.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The process under test.
    pub(crate) portico: Portico,
    /// Driven hosts.
    pub(crate) hosts: Vec<Host>,
    authority: Authority,
    backends: Vec<(String, Echo)>,
}

const HOSTS: usize = 4;
const BACKENDS: usize = 3;

impl Stage {
    /// Starts backends and process.
    pub(crate) async fn build(arguments: &Arguments, flags: &[&str]) -> Self {
        let authority = Authority::default();
        let mut backends = Vec::new();
        for number in 0..BACKENDS {
            let name = format!("backend-{number}");
            backends.push((name.clone(), Echo::start(&name).await));
        }
        let mut setup = Setup::new(&arguments.portico).workers(arguments.workers).args(flags);
        let mut hosts = Vec::new();
        for number in 0..HOSTS {
            let name = format!("host-{number}.test");
            let issued = authority.issue(&[&name]);
            let host = Host {
                backend: History::new(backends[0].0.clone()),
                certificate: History::new(issued.leaf().clone()),
                file: format!("host-{number}.yaml"),
                issued: Mutex::new(issued),
                name,
            };
            setup = setup.file(&host.file, &host.text(&backends[0], Route::ByEndpoints));
            hosts.push(host);
        }
        Self { portico: setup.start().await, hosts, authority, backends }
    }

    /// One random edit of a driven host.
    pub(crate) fn edit_driven(&self, random: &mut fastrand::Rng) -> &'static str {
        let host = &self.hosts[random.usize(..self.hosts.len())];
        let current = host.backend.current();
        let others: Vec<_> = self.backends.iter().filter(|(name, _)| *name != current).collect();
        let kept = self.backends.iter().find(|(name, _)| *name == current).expect("a backend of ours");
        let other = others[random.usize(..others.len())];
        match random.u8(..3) {
            0 => {
                let issued = self.authority.issue(&[&host.name]);
                let leaf = issued.leaf().clone();
                *host.issued.lock().expect("no holder panics") = issued;
                host.certificate.write(leaf, || self.portico.write(&host.file, &host.text(kept, Route::ByEndpoints)));
                "certificate"
            }
            way => {
                let route = if way == 1 { Route::ByEndpoints } else { Route::ByPath };
                host.backend.write(other.0.clone(), || self.portico.write(&host.file, &host.text(other, route)));
                if way == 1 { "endpoints" } else { "paths" }
            }
        }
    }

    /// One random edit of a host that nobody drives.
    pub(crate) fn edit_other(&self, random: &mut fastrand::Rng) -> &'static str {
        let file = format!("other-{}.yaml", random.u8(..10));
        if self.portico.directory().join(&file).exists() && random.bool() {
            self.portico.remove(&file);
            return "deletion";
        }
        let name = file.trim_end_matches(".yaml");
        let (_, echo) = &self.backends[random.usize(..self.backends.len())];
        let host = format!("{name}-{}.test", random.u32(..));
        let ingress = Ingress::new(name).host(&host, name).host(&format!("*.{name}.test"), name);
        self.portico.write(&file, &join([ingress.to_string(), Service::new(name).with(&[echo.address])]));
        "other host"
    }
}

/// Which object of a host names the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// The EndpointSlice of the one Service.
    ByEndpoints,
    /// The Ingress, which names another Service.
    ByPath,
}

impl Host {
    /// The host's file, for this backend.
    fn text(&self, (_, echo): &(String, Echo), route: Route) -> String {
        let service = self.name.replace('.', "-") + if route == Route::ByPath { "-b" } else { "" };
        let secret_name = self.name.replace('.', "-");
        let ingress = Ingress::new(&secret_name).tls(&[&self.name], &secret_name).host(&self.name, &service);
        join([
            ingress.to_string(),
            Service::new(&service).to_string(),
            endpoints(&service, &[echo.address]),
            secret(&secret_name, &self.issued.lock().expect("no holder panics")),
        ])
    }
}
