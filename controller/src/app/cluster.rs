//! The cluster's part of the wiring: one connection, read by the source, written to by whoever leads.
//!
//! Reading and writing share nothing but the connection and the engine's state: that nothing can be written back never
//! stops what is read from being served.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use portico_compile::Key;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin;
use crate::cluster::{self, ConnectError, Connection, connect, follow_zone};
use crate::engine::State;
use crate::events::{self, Events};
use crate::leader::{self, Lease};
use crate::source::kubernetes::Kubernetes;
use crate::source::{Event, Source, Wanted};
use crate::status::{self, Addresses};

/// What a cluster is read with and told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the API server is and what is read from it.
    pub connection: cluster::Settings,
    /// Name of this pod, if it is one.
    pub pod: Option<String>,
    /// What tells this process from every other one that wants the Lease.
    pub identity: String,
    /// Namespace of this pod, where the Lease is; `None` is that of the configuration.
    pub namespace: Option<String>,
    /// Name of the Lease.
    pub lease: String,
    /// Who Events are from.
    pub controller_name: String,
    /// What statuses show; `None` writes neither statuses nor Events.
    pub publish: Option<Publish>,
}

/// What statuses show, and for how long.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Addresses that go before any other.
    pub addresses: Addresses,
    /// Service whose addresses are shown.
    pub service: Option<Key>,
    /// Show the internal addresses of nodes.
    pub internal: bool,
    /// Take addresses away when the last replica ends.
    pub withdraw: bool,
}

/// A connection and what to do with it.
#[derive(Debug)]
pub(super) struct Cluster {
    settings: Settings,
    connection: Connection,
}

impl Cluster {
    /// Reads the configuration; the API server need not be there.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        let connection = connect(&settings.connection).await?;
        Ok(Self { settings: settings.clone(), connection })
    }

    /// Where the API server is.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.connection.servers
    }

    /// Shows what is asked of the API server.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(admin::Cluster(self.connection.numbers.clone())));
    }

    /// Starts to read; the receiver hears which Secrets are needed.
    pub(super) fn read(
        &self,
        followers: &mut JoinSet<()>,
        events: mpsc::Sender<Event>,
        wanted: watch::Receiver<Wanted>,
    ) {
        if let Some(node) =
            self.settings.connection.node.clone().filter(|_| self.settings.connection.namespaces.is_empty())
        {
            followers.spawn(tell_zone(follow_zone(&self.connection, node), events.clone()));
        }
        let source = Kubernetes::new(self.connection.clone(), self.settings.connection.clone(), wanted);
        followers.spawn(source.run(events));
    }

    /// Starts to write statuses and Events, unless nothing is to be written.
    pub(super) fn write(&self, state: &Arc<State>, registry: &mut Registry) -> Option<Writing> {
        let publish = self.settings.publish.clone()?;
        let Settings { connection: reading, pod, identity, namespace, lease, controller_name, .. } = &self.settings;
        let namespace = namespace.as_ref().unwrap_or(&self.connection.namespace);
        let settings = status::Settings {
            addresses: publish.addresses,
            service: publish.service,
            nodes: reading.namespaces.is_empty(),
            internal_addresses: publish.internal,
            pod: pod.as_ref().map(|pod| Key::new(namespace, pod)),
            withdraw_on_shutdown: publish.withdraw,
        };
        let numbers = (leader::Numbers::default(), status::Numbers::default(), events::Numbers::default());
        numbers.0.register(registry);
        numbers.1.register(registry);
        numbers.2.register(registry);

        let reporter = events::Reporter { controller: controller_name.clone(), instance: identity.clone() };
        let lease = Lease::new(&self.connection, leader::Settings::new(namespace, lease, identity), numbers.0);
        let leading = || lease.leading();
        let (events, announcer) = Events::new(&self.connection, reporter, state.clone(), leading(), numbers.2);
        let writer = status::Writer::new(&self.connection, settings, state.clone(), leading(), numbers.1, announcer);

        let (stop, stopped) = watch::channel(false);
        let (release, released) = watch::channel(false);
        let (mut writers, mut leases) = (JoinSet::new(), JoinSet::new());
        writers.spawn(writer.run(stopped.clone()));
        writers.spawn(events.run(stopped));
        leases.spawn(compete(lease, state.clone(), released));
        Some(Writing { stop, writers, release, lease: leases })
    }
}

/// What speaks for all replicas, once it leads.
#[derive(Debug)]
pub(super) struct Writing {
    stop: watch::Sender<bool>,
    writers: JoinSet<()>,
    release: watch::Sender<bool>,
    lease: JoinSet<()>,
}

impl Writing {
    /// Takes back what is to be taken back, then lets the Lease go, so that whoever takes it does not undo that.
    pub(super) async fn end(mut self) {
        self.stop.send_replace(true);
        let all = async {
            while self.writers.join_next().await.is_some() {}
            self.release.send_replace(true);
            while self.lease.join_next().await.is_some() {}
        };
        if timeout(LONGEST_END, all).await.is_err() {
            tracing::warn!("the API server was not told in time that this replica ends");
        }
    }
}

/// Wants the Lease once there is a first table: a replica that cannot read the objects must not speak for those that can.
async fn compete(lease: Lease, state: Arc<State>, mut released: watch::Receiver<bool>) {
    let mut changes = state.changes();
    while state.current().compiled.is_none() {
        tokio::select! {
            Ok(()) = changes.changed() => {}
            _ = released.wait_for(|released| *released) => return,
        }
    }
    lease.run(released).await;
}

/// Tells the engine of the zone once it is known.
async fn tell_zone(mut zone: watch::Receiver<Option<String>>, events: mpsc::Sender<Event>) {
    let known = zone.wait_for(Option::is_some).await.ok().and_then(|zone| zone.clone());
    if let Some(zone) = known {
        tracing::info!("this node is in zone {zone}");
        // Nobody listens when it ends already.
        drop(events.send(Event::Zone(zone)).await);
    }
}

/// How long the end of a replica may take beyond its drain: the pod's grace goes on.
const LONGEST_END: Duration = Duration::from_secs(7);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::scripted::{api, connected, refusal};

    #[tokio::test]
    async fn replica_without_a_table_never_asks_for_the_lease() {
        let api = api(|_: &str| refusal(404, "none")).await;
        let (connection, _) = connected(&api).await;
        let lease = Lease::new(&connection, leader::Settings::new("n", "l", "us"), leader::Numbers::default());
        let leading = lease.leading();
        let (release, released) = watch::channel(false);
        let competing = tokio::spawn(compete(lease, Arc::default(), released));
        tokio::task::yield_now().await;
        release.send_replace(true);
        competing.await.expect("it ends");
        assert!(!*leading.borrow() && api.heads() == 0);
    }
}
