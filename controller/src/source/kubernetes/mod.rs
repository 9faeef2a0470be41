//! Reads the objects from a cluster's API.
//!
//! One listing and watch per kind (and namespace, where only some may be read), Secrets as far as they are needed and
//! allowed. Never told: ConfigMaps and Namespaces, to which nothing refers. Invariant: the first event holds everything
//! but Secrets, the second all Secrets that it refers to; from then on every event leads from one whole state to the next.

mod desk;
mod known;
mod listing;
mod secrets;
#[cfg(test)]
mod tests;
mod trim;

use std::fmt::Debug;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::Api;
use portico_shared::Kind;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::cluster::{Connection, Settings};
use crate::source::{Event, Source, Wanted};
use desk::{Desk, Scope};
use listing::{Listing, News};
use secrets::Secrets;
use trim::Kept;

/// A cluster as a source of objects.
#[derive(Debug)]
pub struct Kubernetes {
    connection: Connection,
    settings: Settings,
    wanted: watch::Receiver<Wanted>,
}

impl Kubernetes {
    /// Reads over this connection. `wanted`: which Secrets are needed, sent by the engine after each change that it takes.
    #[must_use]
    pub fn new(connection: Connection, settings: Settings, wanted: watch::Receiver<Wanted>) -> Self {
        Self { connection, settings, wanted }
    }
}

impl Source for Kubernetes {
    async fn run(mut self, events: mpsc::Sender<Event>) {
        // Everything that is sent from here on was sent after something that we told.
        self.wanted.mark_unchanged();
        let (out, news) = mpsc::channel(NEWS);
        let mut watches =
            Watches { connection: &self.connection, out: out.clone(), scopes: Vec::new(), tasks: JoinSet::new() };
        if self.settings.namespaces.is_empty() {
            watches.all::<Ingress>();
            watches.all::<Service>();
            watches.all::<EndpointSlice>();
            watches.cluster_wide::<IngressClass>();
        } else {
            let only = self.settings.namespaces.join(", ");
            tracing::info!(
                "reading only {only}: ingress classes are accepted by name, there is no default class, and nodes are not read"
            );
            for namespace in &self.settings.namespaces {
                watches.within::<Ingress>(namespace);
                watches.within::<Service>(namespace);
                watches.within::<EndpointSlice>(namespace);
            }
        }
        let Watches { scopes, mut tasks, .. } = watches;
        let (begin, begun) = oneshot::channel();
        let (secrets_out, secrets) = mpsc::channel(NEWS);
        let reader = Secrets::new(self.connection.clone(), &self.settings, self.wanted, secrets_out);
        tasks.spawn(reader.run(begun));
        Desk::new(self.connection, scopes, events).run(news, secrets, begin).await;
        // The tasks end with their set.
    }
}

/// The watches that are being started.
struct Watches<'a> {
    connection: &'a Connection,
    out: mpsc::Sender<News>,
    scopes: Vec<Scope>,
    tasks: JoinSet<()>,
}

impl Watches<'_> {
    fn all<K: Kept<Scope = NamespaceResourceScope> + Debug>(&mut self) {
        self.start::<K>(Api::all(self.connection.client.clone()), None);
    }

    fn cluster_wide<K: Kept<Scope = ClusterResourceScope> + Debug>(&mut self) {
        self.start::<K>(Api::all(self.connection.client.clone()), None);
    }

    fn within<K: Kept<Scope = NamespaceResourceScope> + Debug>(&mut self, namespace: &str) {
        self.start::<K>(Api::namespaced(self.connection.client.clone(), namespace), Some(namespace.to_owned()));
    }

    fn start<K: Kept + Debug>(&mut self, api: Api<K>, namespace: Option<String>) {
        let listing = Listing::new(self.scopes.len(), api, None, self.connection.clone(), self.out.clone());
        self.tasks.spawn(listing.run());
        self.scopes.push(Scope::new(K::KIND, K::RESOURCE, namespace));
    }
}

/// Kinds that are told first, together; some of them are never listed.
const FIRST: [Kind; 6] =
    [Kind::Ingress, Kind::IngressClass, Kind::Service, Kind::EndpointSlice, Kind::ConfigMap, Kind::Namespace];

/// Pieces of news that may wait; a watch that is faster waits.
const NEWS: usize = 64;
