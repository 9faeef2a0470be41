//! The cluster as a source, what is written back to it, and who this process is there.

use std::path::PathBuf;

use clap::Args;
use portico_compile::Key;

use super::value::{Timer, key, namespace};
use crate::status::Address;

/// How the cluster is read and written to.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// Configuration file for the API server [default: the pod's service account]
    #[arg(long, env = "PORTICO_KUBECONFIG", value_name = "FILE", conflicts_with = "manifests")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the configuration file [default: its current context]
    #[arg(long, env = "PORTICO_CONTEXT", value_name = "NAME", conflicts_with = "manifests")]
    pub(crate) context: Option<String>,
    /// Namespaces to read; Roles there are enough, the class is taken by its name, and nodes and IngressClasses are not
    /// read [default: all]
    #[arg(
        long,
        env = "PORTICO_WATCH_NAMESPACE",
        value_name = "NS",
        value_delimiter = ',',
        value_parser = namespace,
        conflicts_with_all = ["manifests", "strict_class"]
    )]
    pub(crate) watch_namespace: Vec<String>,
    /// How often a Secret is read again that may be got by name but not watched
    #[arg(long, env = "PORTICO_SECRET_REFRESH", value_name = "D", default_value = "30s")]
    pub(crate) secret_refresh: Timer,
    /// Service whose addresses the status of Ingresses shows [default: the nodes of ready pods]
    #[arg(
        long,
        env = "PORTICO_PUBLISH_SERVICE",
        value_name = "NS/NAME",
        value_parser = key,
        conflicts_with = "manifests"
    )]
    pub(crate) publish_service: Option<Key>,
    /// Addresses or names that the status of Ingresses shows, before any other
    #[arg(
        long,
        env = "PORTICO_PUBLISH_STATUS_ADDRESS",
        value_name = "ADDR",
        value_delimiter = ',',
        value_parser = Address::parse,
        conflicts_with = "manifests"
    )]
    pub(crate) publish_status_address: Vec<Address>,
    /// Show the internal addresses of nodes instead of their external ones
    #[arg(long, env = "PORTICO_PUBLISH_NODE_INTERNAL_ADDRESSES", conflicts_with = "manifests")]
    pub(crate) publish_node_internal_addresses: bool,
    /// Write neither statuses nor Events
    #[arg(long, env = "PORTICO_NO_STATUS", conflicts_with = "manifests")]
    pub(crate) no_status: bool,
    /// Take the addresses out of statuses when the last replica ends
    #[arg(long, env = "PORTICO_WITHDRAW_STATUS_ON_SHUTDOWN", conflicts_with_all = ["manifests", "no_status"])]
    pub(crate) withdraw_status_on_shutdown: bool,
    /// Lease that decides which replica writes statuses and Events [default: portico- and the ingress class]
    #[arg(long, env = "PORTICO_LEASE", value_name = "NAME", conflicts_with = "manifests")]
    pub(crate) lease: Option<String>,
    /// Name of this pod [default: it is no pod]
    #[arg(long, env = "PORTICO_POD_NAME", value_name = "NAME")]
    pub(crate) pod_name: Option<String>,
    /// Namespace of this pod, where the Lease is [default: that of the configuration]
    #[arg(long, env = "PORTICO_POD_NAMESPACE", value_name = "NS", value_parser = namespace)]
    pub(crate) pod_namespace: Option<String>,
    /// Node of this pod, whose zone decides on topology hints unless --zone is given
    #[arg(long, env = "PORTICO_NODE_NAME", value_name = "NAME")]
    pub(crate) node_name: Option<String>,
}
