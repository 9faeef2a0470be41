//! Where the addresses come from that statuses get: flags, a Service, or nodes, in this order.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::{Api, Client};
use portico_compile::{Key, Snapshot};

use super::Settings;
use super::address::{self, Addresses};
use super::replicas::Replicas;
use crate::cluster::Failure;

/// Addresses, or why there are none to write and how to mend that.
pub(super) type Found = Result<Addresses, String>;

/// Who to ask for addresses.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// `--publish-status-address`.
    Flags(Addresses),
    /// `--publish-service`.
    Service(Key),
    /// Nodes that run ready replicas.
    Nodes { pod: Key, internal: bool },
    /// Nobody; nodes may not be looked at.
    None,
}

impl Origin {
    pub(super) fn new(settings: &Settings) -> Self {
        if !settings.addresses.is_empty() {
            return Self::Flags(settings.addresses.clone());
        }
        match (&settings.service, &settings.pod) {
            (Some(service), _) => Self::Service(service.clone()),
            (None, Some(pod)) if settings.nodes => {
                Self::Nodes { pod: pod.clone(), internal: settings.internal_addresses }
            }
            _ => Self::None,
        }
    }

    /// The addresses, when no request is needed to know them: a Service that is watched changes under our eyes.
    pub(super) fn known(&self, snapshot: &Snapshot) -> Option<Found> {
        match self {
            Self::Flags(addresses) => Some(Ok(addresses.clone())),
            Self::Service(key) => {
                let service = snapshot.services.get(key)?;
                Some(some(key, address::of_service(&service.value)))
            }
            Self::Nodes { .. } => None,
            Self::None => Some(Err(format!("nothing says which addresses to write; {REMEDY_ALONE}"))),
        }
    }

    /// Asks the API server.
    pub(super) async fn ask(self, client: Client) -> Found {
        match self {
            Self::Flags(addresses) => Ok(addresses),
            Self::None => Err(REMEDY_ALONE.to_owned()),
            Self::Service(key) => of_service(client, &key).await,
            Self::Nodes { pod, internal } => of_nodes(client, &pod, internal).await,
        }
    }
}

async fn of_service(client: Client, key: &Key) -> Found {
    let services: Api<Service> = Api::namespaced(client, &key.namespace);
    match services.get_opt(&key.name).await {
        Ok(Some(service)) => some(key, address::of_service(&service)),
        Ok(None) => Err(format!("Service {key} of --publish-service does not exist")),
        Err(error) => Err(format!("cannot read Service {key} of --publish-service: {}", Failure::of(&error))),
    }
}

/// No addresses is taken for not known yet: an emptied status would make others delete DNS names.
fn some(service: &Key, addresses: Addresses) -> Found {
    if addresses.is_empty() {
        return Err(format!("Service {service} of --publish-service has no address yet"));
    }
    Ok(addresses)
}

async fn of_nodes(client: Client, pod: &Key, internal: bool) -> Found {
    let refused = |what, error| format!("cannot read our {what}: {}; {REMEDY}", Failure::of(&error));
    let pods = Replicas::new(client.clone(), pod).ready().await.map_err(|error| refused("pods", error))?;
    let nodes: Api<Node> = Api::all(client);
    let nodes = &nodes;
    let names: BTreeSet<String> = pods.into_iter().filter_map(|pod| pod.spec?.node_name).collect();
    let found = stream::iter(names.into_iter().take(MOST).map(|name| async move { nodes.get_opt(&name).await }));
    let found = found.buffer_unordered(AT_ONCE).try_collect().await;
    let found: Vec<Option<Node>> = found.map_err(|error| refused("nodes", error))?;
    let addresses: Addresses = found.iter().flatten().flat_map(|node| address::of_node(node, internal)).collect();
    if addresses.is_empty() {
        let kind = if internal { "InternalIP" } else { "ExternalIP" };
        return Err(format!("no node that runs a ready replica has an {kind}; {REMEDY}"));
    }
    Ok(addresses)
}

/// Where nodes are not read, or nobody said which pod this is.
const REMEDY_ALONE: &str = "set --publish-service or --publish-status-address";
const REMEDY: &str = "set --publish-service, --publish-status-address or --publish-node-internal-addresses";
/// Nodes whose addresses are written, the most.
const MOST: usize = 64;
const AT_ONCE: usize = 8;
