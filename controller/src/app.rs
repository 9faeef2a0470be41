//! Wiring of `serve`: what runs, on which threads, and in which order it ends.
//!
//! Everything is bound before anything runs, so that a port in use or an unreadable path ends the process before it did
//! anything. Then: source, engine, first table, readiness. At the end: readiness off, drain, status and admin last.

mod cluster;
mod signals;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use portico_dataplane::{BindError, Dataplane, Running};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub use signals::{Signal, Signals};

use cluster::Cluster;
pub use cluster::{Publish, Settings as ClusterSettings};

use crate::admin::{self, Debug, Listener, Status};
use crate::cluster::ConnectError;
use crate::dns::{self, Dns, Guard};
use crate::engine::{Engine, State};
use crate::source::directory::{Directory, Limits, Rescan, Unreadable};
use crate::source::{QUEUE, Source, Wanted};

/// Everything `serve` needs to know; the command line fills it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where objects come from.
    pub source: SourceSettings,
    /// What bears on the IR.
    pub options: portico_compile::Options,
    /// Addresses, limits and timers of the data plane.
    pub dataplane: portico_dataplane::Config,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    pub status: SocketAddr,
    /// Address of `/routes`, `/explain` and `/diagnostics`.
    pub admin: SocketAddr,
    /// Shortest time between two compiles. Default 100 ms.
    pub hold_off: Duration,
    /// Name server for ExternalName; `None` is the system's configuration.
    pub resolver: Option<SocketAddr>,
}

/// Where objects come from.
#[derive(Clone, Debug)]
pub enum SourceSettings {
    /// Files and directories of manifests.
    Manifests(Vec<PathBuf>),
    /// An API server, which is also told of what became of its objects.
    Cluster(Box<ClusterSettings>),
}

/// Why `serve` cannot start. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data plane's addresses or TLS settings.
    #[error(transparent)]
    Dataplane(#[from] BindError),
    /// The status address.
    #[error("cannot listen on {address} for status: {source}")]
    Status {
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The admin address.
    #[error("cannot listen on {address} for admin: {source}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A path of manifests.
    #[error(transparent)]
    Manifests(#[from] Unreadable),
    /// The configuration for the API server.
    #[error(transparent)]
    Cluster(#[from] ConnectError),
    /// Name resolution.
    #[error(transparent)]
    Resolver(#[from] dns::SetupError),
    /// The control runtime or its signals.
    #[error("cannot start the control side: {0}")]
    Control(#[source] io::Error),
}

/// How `serve` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// After a drain.
    Drained {
        /// Requests that had to be cut.
        cut: u64,
    },
    /// At once, because it was told twice.
    AtOnce,
}

/// Where everything listens, ports chosen by the system filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The data plane, in the order of its bindings.
    pub dataplane: Vec<SocketAddr>,
    /// `/healthz`, `/readyz` and `/metrics`.
    pub status: SocketAddr,
    /// `/routes`, `/explain` and `/diagnostics`.
    pub admin: SocketAddr,
}

/// `http=ADDR https=ADDR status=ADDR admin=ADDR`, as the log has it; whoever let the system choose ports reads it there.
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, address) in ["http", "https"].into_iter().zip(&self.dataplane) {
            write!(f, "{name}={address} ")?;
        }
        write!(f, "status={} admin={}", self.status, self.admin)
    }
}

/// A bound Portico that does not run yet.
#[derive(Debug)]
pub struct App {
    settings: Settings,
    dataplane: Dataplane,
    status: Listener,
    admin: Listener,
    origin: Origin,
    dns: Dns,
    guard: Guard,
    addresses: Addresses,
    state: Arc<State>,
}

/// What objects come from, ready to be read.
#[derive(Debug)]
enum Origin {
    Manifests(Directory),
    Cluster(Box<Cluster>),
}

/// Serves until it is told to end, on a runtime of its own.
pub fn run(settings: Settings) -> Result<Ending, StartError> {
    let runtime = control_runtime().map_err(StartError::Control)?;
    let ending = runtime.block_on(async {
        let app = App::bind(settings).await?;
        let signals = Signals::of_process().map_err(StartError::Control)?;
        app.run(signals).await
    });
    // What still blocks, such as a compile, is not worth waiting for.
    runtime.shutdown_background();
    ending
}

/// A runtime for the control side: few threads, since none of them carries traffic.
pub fn control_runtime() -> io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).max_blocking_threads(16).thread_name("portico-control").enable_all().build()
}

impl App {
    /// Takes every address and looks at every path.
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        let dataplane = Dataplane::bind(settings.dataplane.clone())?;
        let (status, admin) = (settings.status, settings.admin);
        let status = Listener::bind(status).map_err(|source| StartError::Status { address: status, source })?;
        let admin = Listener::bind(admin).map_err(|source| StartError::Admin { address: admin, source })?;
        let origin = match &settings.source {
            SourceSettings::Manifests(paths) => Origin::Manifests(Directory::new(paths.clone(), Limits::default())?),
            SourceSettings::Cluster(cluster) => Origin::Cluster(Box::new(Cluster::connect(cluster).await?)),
        };
        let addresses =
            Addresses { dataplane: dataplane.addresses().to_vec(), status: status.address(), admin: admin.address() };
        let guard = Guard {
            unguarded: settings.options.external_name_unguarded,
            own: addresses.dataplane.iter().copied().chain([addresses.status, addresses.admin]).collect(),
            api_server: api_server(&origin),
            api_endpoints: Arc::default(),
        };
        let dns = Dns::new(dns::Settings {
            resolver: settings.resolver,
            cluster_domain: settings.options.cluster_domain.clone(),
            guard: guard.clone(),
        })?;
        Ok(Self { settings, dataplane, status, admin, origin, dns, guard, addresses, state: Arc::default() })
    }

    /// Where everything listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What is served and why, as it changes.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.state.clone()
    }

    /// Runs until a signal ends it.
    pub async fn run(self, mut signals: Signals) -> Result<Ending, StartError> {
        let Self { settings, dataplane, status, admin, origin, dns, guard, addresses, state } = self;
        let running = dataplane.start()?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut registry = admin::registry(state.clone(), running.metrics().clone(), dns.clone());
        let mut writing = None;
        if let Origin::Cluster(cluster) = &origin {
            cluster.register(&mut registry);
            writing = cluster.write(&state, &mut registry);
        }
        let answers = Arc::new(Status::new(state.clone(), registry));
        tasks.spawn(status.serve(answers, stopped.clone()));
        tasks.spawn(admin.serve(Arc::new(Debug::new(state.clone())), stopped));
        tracing::info!("listening {addresses} workers={}", settings.dataplane.workers);

        let (sender, events) = mpsc::channel(QUEUE);
        let publisher = running.publisher();
        let engine = Engine::new(settings.options, settings.hold_off, publisher, dns.clone(), guard, state.clone());
        let mut followers = JoinSet::new();
        followers.spawn(dns.run());
        let rescan = match origin {
            Origin::Manifests(directory) => {
                let rescan = directory.rescan();
                followers.spawn(directory.run(sender));
                followers.spawn(engine.run(events));
                Some(rescan)
            }
            Origin::Cluster(cluster) => {
                let (wanted, asked) = watch::channel(Wanted::default());
                cluster.read(&mut followers, sender, asked);
                followers.spawn(engine.asking(wanted).run(events));
                None
            }
        };

        follow_signals(&mut signals, rescan.as_ref(), &mut followers).await;
        state.drain();
        tracing::info!("draining");
        let ending = drain(running, &mut signals, rescan.as_ref()).await;
        if let Some(writing) = writing.filter(|_| ending != Ending::AtOnce) {
            writing.end().await;
        }
        tracing::info!(?ending, "ended");
        // Who listens for nothing any more has stopped.
        let _ = stop.send(true);
        followers.shutdown().await;
        tasks.shutdown().await;
        Ok(ending)
    }
}

/// Returns when it is time to end.
async fn follow_signals(signals: &mut Signals, rescan: Option<&Rescan>, followers: &mut JoinSet<()>) {
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Terminate => return,
                Signal::Rescan => read_again(rescan),
            },
            Some(ended) = followers.join_next() => {
                // Traffic goes on with the last table.
                if let Err(error) = ended {
                    tracing::error!("a part of the control side ended: {error}");
                }
            }
        }
    }
}

fn read_again(rescan: Option<&Rescan>) {
    match rescan {
        Some(rescan) => {
            tracing::info!("reading all manifests again");
            rescan.rescan();
        }
        None => tracing::info!("SIGHUP changes nothing: a cluster is watched"),
    }
}

async fn drain(running: Running, signals: &mut Signals, rescan: Option<&Rescan>) -> Ending {
    let mut drained = std::pin::pin!(running.drain());
    loop {
        tokio::select! {
            cut = &mut drained => return Ending::Drained { cut },
            signal = signals.next() => match signal {
                Signal::Terminate => return Ending::AtOnce,
                Signal::Rescan => read_again(rescan),
            },
        }
    }
}

/// Addresses of the API server: as a pod is told of them, and as it is spoken to.
fn api_server(origin: &Origin) -> Vec<IpAddr> {
    let told = std::env::var("KUBERNETES_SERVICE_HOST").ok().and_then(|host| host.parse().ok());
    let spoken_to = match origin {
        Origin::Manifests(_) => &[][..],
        Origin::Cluster(cluster) => cluster.addresses(),
    };
    told.into_iter().chain(spoken_to.iter().copied()).collect()
}
