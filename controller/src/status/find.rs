//! Where the addresses come from that statuses get: flags, a Service, or nodes, in this order.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::{Api, Client};
use portico_compile::{Key, Snapshot};

use super::Settings;
use super::address::{self, Addresses};
use super::replicas::Replicas;

/// Addresses, or why there are none to write and how to mend that.
pub(super) type Found = Result<Addresses, String>;

/// Who to ask for addresses.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// `--publish-status-address`.
    Flags(Addresses),
    /// `--publish-service`.
    Service(Api<Service>, Key),
    /// Nodes that run ready replicas.
    Nodes { replicas: Replicas, nodes: Api<Node>, internal: bool },
    /// Nobody.
    None,
}

impl Origin {
    pub(super) fn new(client: &Client, settings: &Settings) -> Self {
        if !settings.addresses.is_empty() {
            return Self::Flags(settings.addresses.clone());
        }
        if let Some(service) = &settings.service {
            return Self::Service(Api::namespaced(client.clone(), &service.namespace), service.clone());
        }
        match (&settings.pod, settings.nodes) {
            (Some(pod), true) => Self::Nodes {
                replicas: Replicas::new(client.clone(), pod),
                nodes: Api::all(client.clone()),
                internal: settings.internal_addresses,
            },
            _ => Self::None,
        }
    }

    /// The addresses, when no request is needed to know them: a Service that is watched changes under our eyes.
    pub(super) fn known(&self, snapshot: &Snapshot) -> Option<Found> {
        match self {
            Self::Flags(addresses) => Some(Ok(addresses.clone())),
            Self::Service(_, key) => {
                let service = snapshot.services.get(key)?;
                Some(some(key, address::of_service(&service.value)))
            }
            Self::Nodes { .. } => None,
            Self::None => Some(Err(format!("nothing says which addresses to write; {REMEDY}"))),
        }
    }

    /// Asks the API server.
    pub(super) async fn ask(self) -> Found {
        match self {
            Self::Flags(addresses) => Ok(addresses),
            Self::None => Err(REMEDY.to_owned()),
            Self::Service(api, key) => match api.get_opt(&key.name).await {
                Ok(Some(service)) => some(&key, address::of_service(&service)),
                Ok(None) => Err(format!("Service {key} of --publish-service does not exist")),
                Err(error) => Err(format!("cannot read Service {key} of --publish-service: {error}")),
            },
            Self::Nodes { replicas, nodes, internal } => of_nodes(&replicas, &nodes, internal).await,
        }
    }
}

/// No addresses is taken for not known yet: an emptied status would make others delete DNS names.
fn some(service: &Key, addresses: Addresses) -> Found {
    if addresses.is_empty() {
        return Err(format!("Service {service} of --publish-service has no address yet"));
    }
    Ok(addresses)
}

async fn of_nodes(replicas: &Replicas, nodes: &Api<Node>, internal: bool) -> Found {
    let pods = replicas.ready().await.map_err(|error| format!("cannot read our pods: {error}; {REMEDY}"))?;
    let names: BTreeSet<String> = pods.into_iter().filter_map(|pod| pod.spec?.node_name).collect();
    let found = stream::iter(names.into_iter().take(MOST).map(|name| async move { nodes.get_opt(&name).await }));
    let found: Vec<Option<Node>> = found
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
        .map_err(|error| format!("cannot read our nodes: {error}; {REMEDY}"))?;
    let addresses: Addresses = found.iter().flatten().flat_map(|node| address::of_node(node, internal)).collect();
    if addresses.is_empty() {
        let kind = if internal { "InternalIP" } else { "ExternalIP" };
        return Err(format!("no node that runs a ready replica has an {kind}; {REMEDY}"));
    }
    Ok(addresses)
}

const REMEDY: &str = "set --publish-service, --publish-status-address or --publish-node-internal-addresses";
/// Nodes whose addresses are written, the most.
const MOST: usize = 64;
const AT_ONCE: usize = 8;
