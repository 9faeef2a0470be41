//! Who is measured, and how each is started. The configurations themselves are files in `tests/bench/peers`.

use std::fs;

use anyhow::{Context as _, Result};

use crate::args::Settings;
use crate::process::{self, Running};
use crate::scenario::Needs;
use crate::site::{self, Site};

/// A proxy to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Portico,
    Nginx,
    Haproxy,
    Envoy,
    Pingora,
    Relay,
}

/// In the order of the tables.
pub(crate) const ALL: [Kind; 6] = [Kind::Portico, Kind::Nginx, Kind::Haproxy, Kind::Envoy, Kind::Pingora, Kind::Relay];

impl Kind {
    /// As people write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Portico => "portico",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Pingora => "pingora",
            Self::Relay => "relay",
        }
    }

    /// Whether the proxy can do what a scenario needs.
    pub(crate) fn can(self, needs: Needs) -> bool {
        match needs {
            Needs::Plain => true,
            Needs::Tls => self != Self::Relay,
            // Pingora's routing is code, not configuration.
            Needs::Hosts => !matches!(self, Self::Relay | Self::Pingora),
            Needs::Only(only) => self == only,
        }
    }

    /// Starts it on the proxies' processor, with a routing table of so many hosts; it may not answer yet.
    pub(crate) fn start(self, settings: &Settings, site: &Site, hosts: usize) -> Result<Proxy> {
        let ports = process::free_ports::<4>()?;
        let command = self.command(settings, site, ports, hosts)?;
        Self::run(self, settings, site, ports, &command)
    }

    /// Writes the configuration; gives the command that reads it. `ports` are for HTTP, HTTPS, and two more.
    pub(crate) fn command(
        self,
        settings: &Settings,
        site: &Site,
        ports: [u16; 4],
        hosts: usize,
    ) -> Result<Vec<String>> {
        let [http, https, third, fourth] = ports;
        let listening = [http, https];
        let local = |port: u16| format!("127.0.0.1:{port}");
        let line = |command: String| command.split(' ').map(str::to_owned).collect::<Vec<_>>();
        Ok(match self {
            Self::Portico => {
                let [certificate, key] = site.secret()?;
                let secret = [("@CERTIFICATE@", certificate.as_str()), ("@KEY@", key.as_str())];
                let path = site.render("portico/site.yaml", "portico.yaml", listening, &secret)?;
                let further = site.hosts("portico/host.yaml", http, hosts, false)?;
                fs::write(&path, fs::read_to_string(&path)? + &further)?;
                line(format!(
                    "{} serve --manifests {path} --workers 1 --access-log off --log-level warn \
                     --http {} --https {} --status {} --admin {}",
                    settings.portico.display(),
                    local(http),
                    local(https),
                    local(third),
                    local(fourth)
                ))
            }
            Self::Nginx => {
                fs::write(site.path("nginx-hosts.conf"), site.hosts("nginx/host.conf", http, hosts, false)?)?;
                let path = site.render("nginx/nginx.conf", "nginx.conf", listening, &[])?;
                line(format!("nginx -c {path} -p {}", site.work.path().display()))
            }
            Self::Haproxy => {
                fs::write(site.path("haproxy-hosts.map"), site.hosts("haproxy/host.map", http, hosts, true)?)?;
                let path = site.render("haproxy/haproxy.cfg", "haproxy.cfg", listening, &[])?;
                line(format!("haproxy -db -f {path}"))
            }
            Self::Envoy => {
                let further = site.hosts("envoy/host.yaml", http, hosts, false)?;
                let more = [("@ENVOY_HOSTS@\n", further.as_str())];
                let path = site.render("envoy/envoy.yaml", "envoy.yaml", listening, &more)?;
                let envoy = settings.cache.join("envoy").display().to_string();
                line(format!("{envoy} -c {path} --concurrency 1 --disable-hot-restart -l error"))
            }
            Self::Pingora => {
                let backends = site.backends;
                line(format!(
                    "{} {http} {https} {} {} {} {} {}",
                    settings.cache.join("pingora/release/bench-pingora").display(),
                    backends.backend,
                    backends.echo,
                    backends.grpc,
                    site.path("tls.crt").display(),
                    site.path("tls.key").display()
                ))
            }
            // It cannot route; what goes to the echo has a port of its own.
            Self::Relay => line(format!(
                "{} relay {http}={} {third}={}",
                std::env::current_exe()?.display(),
                site.backends.backend,
                site.backends.echo
            )),
        })
    }

    /// Runs a command that [`Kind::command`] gave.
    pub(crate) fn run(self, settings: &Settings, site: &Site, ports: [u16; 4], command: &[String]) -> Result<Proxy> {
        let log = site.path(&format!("{}.log", self.name()));
        let running = Running::start(self.name(), &settings.proxy_cpu, command, &log)?;
        Ok(Proxy { kind: self, http: ports[0], https: ports[1], third: ports[2], running })
    }

    /// What it says of itself.
    pub(crate) async fn version(self, settings: &Settings) -> Result<String> {
        let command = match self {
            Self::Portico => vec![settings.portico.display().to_string(), "--version".to_owned()],
            Self::Nginx => vec!["sh".to_owned(), "-c".to_owned(), "nginx -v 2>&1".to_owned()],
            Self::Haproxy => vec!["haproxy".to_owned(), "-v".to_owned()],
            Self::Envoy => vec![settings.cache.join("envoy").display().to_string(), "--version".to_owned()],
            Self::Pingora => {
                let manifest = fs::read_to_string(settings.bench.join("peers/pingora/Cargo.toml"))?;
                let line = manifest.lines().find(|line| line.starts_with("pingora ")).context("it names Pingora")?;
                return Ok(format!("{} (rustls, ring)", line.replace('"', "`")));
            }
            Self::Relay => return Ok("`bench relay` of this checkout".to_owned()),
        };
        let text = process::output(&settings.load_cpu, &command).await?;
        let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        // Envoy begins with the path of its binary.
        Ok(line.rsplit_once("  ").map_or(line, |(_, version)| version).trim().to_owned())
    }
}

/// A proxy that runs.
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    pub(crate) http: u16,
    pub(crate) https: u16,
    third: u16,
    pub(crate) running: Running,
}

impl Proxy {
    /// The port that leads to the backend of a path.
    pub(crate) fn port(&self, tls: bool, path: &str) -> u16 {
        match (self.kind, tls) {
            (Kind::Relay, _) if path == "/ws" || path == "/upload" => self.third,
            (_, true) => self.https,
            (_, false) => self.http,
        }
    }

    /// Waits until a small request is answered as it should be, over TLS too.
    pub(crate) async fn ready(&mut self, hosts: usize) -> Result<()> {
        let last = site::host(hosts - 1);
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            self.running.check()?;
            let host = if self.kind.can(Needs::Hosts) { last.as_str() } else { site::HOST };
            let mut result = crate::client::small(self.http, None, host).await;
            if result.is_ok() && self.kind.can(Needs::Tls) {
                result = crate::client::small(self.https, Some("http/1.1"), site::HOST).await;
            }
            match result {
                Ok(()) => return Ok(()),
                Err(error) if tokio::time::Instant::now() > deadline => {
                    return Err(error.context(format!("{} does not answer", self.kind.name())));
                }
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    }
}
