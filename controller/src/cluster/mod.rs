//! The connection to a cluster: where its API is, who we are there, and how to go on when it is away.
//!
//! Knows addresses, credentials, time-outs and whether the API answers; knows no object but our own Node. Invariant: an
//! API that is away now never ends the process, only a configuration that cannot work does.

mod client;
mod failure;
mod gate;
mod numbers;
mod patience;
#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;
mod zone;

use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fmt};

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub use failure::{Failure, Refusal};
pub use gate::{Gate, Reach};
pub use numbers::{Class, Numbers, Resource, Verb};
pub use patience::Patience;
pub use zone::{follow_zone, zone};

/// Which cluster, and what of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A file with clusters and credentials; `None` is the pod's own account, unless a context is named.
    pub kubeconfig: Option<PathBuf>,
    /// Which context of the file; `None` is its current one.
    pub context: Option<String>,
    /// Namespaces to read; empty is the whole cluster.
    pub namespaces: Vec<String>,
    /// The node that we run on, for its zone.
    pub node: Option<String>,
    /// Time between two readings of a Secret that may not be watched. Default 30 s.
    pub secret_refresh: Duration,
}

/// A connection to a cluster's API, whether or not the API is there at the moment.
#[derive(Clone)]
pub struct Connection {
    /// Asks the API. Does not try again by itself.
    pub client: Client,
    /// Addresses of the API as far as they are known, which no ExternalName may lead to.
    pub servers: Vec<IpAddr>,
    /// The namespace that the configuration means when it names none: our own inside a cluster.
    pub namespace: String,
    /// What all wait at while the API cannot be reached.
    pub gate: Gate,
    /// What was asked and what went wrong.
    pub numbers: Arc<Numbers>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("servers", &self.servers).field("namespace", &self.namespace).finish()
    }
}

/// Why a configuration leads to no cluster. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither in a pod nor told otherwise.
    #[error(
        "this is no pod of a cluster ({0} is not set): name a cluster with --kubeconfig FILE, or read files with \
         --manifests PATH"
    )]
    NoCluster(&'static str),
    /// In a pod that has no usable account.
    #[error(
        "the pod's service account cannot be used: {0}; it lies in {ACCOUNT}, which is there unless the pod or its \
         ServiceAccount says automountServiceAccountToken: false"
    )]
    Account(String),
    /// The file.
    #[error("{file} cannot be used: {reason}; name another with --kubeconfig FILE or --context NAME")]
    Kubeconfig {
        /// Where it was looked for.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Prepares to talk to a cluster. Asks nothing of the API yet, so it may be away.
pub async fn connect(settings: &Settings) -> Result<Connection, ConnectError> {
    let from_file = settings.kubeconfig.is_some() || settings.context.is_some();
    let name = file_name(settings);
    let wrong = |reason: String| match from_file {
        true => ConnectError::Kubeconfig { file: name.clone(), reason },
        false => ConnectError::Account(reason),
    };
    let mut config = if from_file { read_file(settings).await.map_err(|it| wrong(deepest(&it)))? } else { of_pod()? };
    config.default_retry = false;
    let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = config.cluster_url.port_u16().unwrap_or(match config.cluster_url.scheme_str() {
        Some("http") => 80,
        _ => 443,
    });
    if host.is_empty() || config.proxy_url.is_some() {
        let fault = if host.is_empty() { "the cluster's URL has no host" } else { "proxies are not supported" };
        return Err(wrong(fault.to_owned()));
    }
    let numbers = Arc::new(Numbers::default());
    let gate = Gate::new(host.clone(), port, numbers.clone());
    let namespace = config.default_namespace.clone();
    let client = client::build(config, &gate, &numbers).map_err(|error| wrong(deepest(&error)))?;
    Ok(Connection { client, servers: addresses(host, port).await, namespace, gate, numbers })
}

fn file_name(settings: &Settings) -> String {
    let named = settings.kubeconfig.as_ref().map(|path| path.display().to_string());
    named.or_else(|| env::var("KUBECONFIG").ok()).unwrap_or_else(|| "~/.kube/config".to_owned())
}

async fn read_file(settings: &Settings) -> Result<Config, KubeconfigError> {
    let options = KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
    match &settings.kubeconfig {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await,
        None => Config::from_kubeconfig(&options).await,
    }
}

fn of_pod() -> Result<Config, ConnectError> {
    for name in ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"] {
        if env::var_os(name).is_none_or(|value| value.is_empty()) {
            return Err(ConnectError::NoCluster(name));
        }
    }
    Config::incluster().map_err(|error: InClusterError| {
        ConnectError::Account(format!("{}: {}", first_line(&error.to_string()), deepest(&error)))
    })
}

/// What the host leads to now, without waiting long for an answer.
async fn addresses(host: String, port: u16) -> Vec<IpAddr> {
    if let Ok(address) = host.parse() {
        return vec![address];
    }
    let lookup = spawn_blocking(move || (host, port).to_socket_addrs().map(Vec::from_iter).unwrap_or_default());
    let found = timeout(Duration::from_secs(2), lookup).await;
    found.ok().and_then(Result::ok).unwrap_or_default().into_iter().map(|address| address.ip()).collect()
}

/// The first cause of an error, in one line.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    first_line(&cause.to_string())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Where a pod's credentials are mounted.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
