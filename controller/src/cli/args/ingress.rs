//! What bears on the routing table: which Ingresses are served and what holds where they say nothing.
//!
//! `serve`, `check`, `routes` and `explain` share these flags, so that all four speak of the same table.

use clap::{Args, ValueEnum};
use portico_compile::{DefaultBackend, Key, Options};

use super::value::{default_backend, key, port};

/// Classes, defaults and rules of the compile step.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Ingress")]
pub(crate) struct IngressArgs {
    /// Ingress class to serve by its plain name, also as the old annotation kubernetes.io/ingress.class
    #[arg(long, env = "PORTICO_INGRESS_CLASS", value_name = "NAME", default_value = "portico")]
    pub(crate) ingress_class: String,
    /// spec.controller of the IngressClasses to serve
    #[arg(
        long,
        env = "PORTICO_CONTROLLER_NAME",
        value_name = "NAME",
        default_value = "portico.dev/ingress-controller"
    )]
    pub(crate) controller_name: String,
    /// Serve Ingresses that name no class; with manifests that is so unless --strict-class is given
    #[arg(long, env = "PORTICO_WATCH_INGRESS_WITHOUT_CLASS")]
    pub(crate) watch_ingress_without_class: bool,
    /// Serve only Ingresses whose class exists as an IngressClass of this controller
    #[arg(long, env = "PORTICO_STRICT_CLASS")]
    pub(crate) strict_class: bool,
    /// Service for requests that match no rule; its only or first port when none is given
    #[arg(long, env = "PORTICO_DEFAULT_BACKEND_SERVICE", value_name = "NS/NAME[:PORT]", value_parser = default_backend)]
    pub(crate) default_backend_service: Option<DefaultBackend>,
    /// Secret of the certificate for names that no Ingress covers [default: a self-signed one]
    #[arg(long, env = "PORTICO_DEFAULT_TLS_SECRET", value_name = "NS/NAME", value_parser = key)]
    pub(crate) default_tls_secret: Option<Key>,
    /// Who may add paths to a host that another namespace's Ingress claimed first
    #[arg(long, env = "PORTICO_HOST_OWNERSHIP", value_name = "WHO", value_enum, default_value_t)]
    pub(crate) host_ownership: HostOwnershipArg,
    /// Rules, each a path of a host, of one namespace's Ingresses, or 0 for no limit; the Ingress that goes beyond is not served
    #[arg(long, env = "PORTICO_MAX_RULES_PER_NAMESPACE", value_name = "N", default_value_t = default_rules())]
    pub(crate) max_rules_per_namespace: usize,
    /// Secrets that one namespace's Ingresses have certificates in, or 0 for no limit; the Ingress that goes beyond is not
    /// served
    #[arg(long, env = "PORTICO_MAX_CERTIFICATES_PER_NAMESPACE", value_name = "N", default_value_t = default_certificates())]
    pub(crate) max_certificates_per_namespace: usize,
    /// Redirect HTTP to HTTPS with 308 on hosts that have TLS
    #[arg(long, env = "PORTICO_HTTPS_REDIRECT")]
    pub(crate) https_redirect: bool,
    /// Port that redirects name; 443 is left out of the URL
    #[arg(
        long,
        env = "PORTICO_HTTPS_REDIRECT_PORT",
        value_name = "PORT",
        default_value_t = 443,
        value_parser = port
    )]
    pub(crate) https_redirect_port: u16,
    /// Send Strict-Transport-Security over HTTPS
    #[arg(long, env = "PORTICO_HSTS")]
    pub(crate) hsts: bool,
    /// max-age of Strict-Transport-Security, in seconds
    #[arg(long, env = "PORTICO_HSTS_MAX_AGE", value_name = "SECONDS", default_value_t = 31_536_000)]
    pub(crate) hsts_max_age: u64,
    /// Add includeSubDomains to Strict-Transport-Security
    #[arg(long, env = "PORTICO_HSTS_INCLUDE_SUBDOMAINS", requires = "hsts")]
    pub(crate) hsts_include_subdomains: bool,
    /// How an endpoint is chosen
    #[arg(long, env = "PORTICO_BALANCE", value_name = "HOW", value_enum, default_value_t)]
    pub(crate) balance: BalanceArg,
    /// Zone this process runs in, for topology hints [default: hints are ignored]
    #[arg(long, env = "PORTICO_ZONE", value_name = "NAME")]
    pub(crate) zone: Option<String>,
    /// DNS domain of the cluster
    #[arg(long, env = "PORTICO_CLUSTER_DOMAIN", value_name = "NAME", default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// Refuse Services of type ExternalName
    #[arg(long, env = "PORTICO_NO_EXTERNAL_NAMES")]
    pub(crate) no_external_names: bool,
    /// Let ExternalName point at local addresses and at other namespaces' Services
    #[arg(long, env = "PORTICO_ALLOW_LOCAL_EXTERNAL_NAMES", conflicts_with = "no_external_names")]
    pub(crate) allow_local_external_names: bool,
    /// Refuse loopback and link-local addresses in EndpointSlices, as an API server does
    #[arg(long, env = "PORTICO_NO_LOCAL_ENDPOINTS")]
    pub(crate) no_local_endpoints: bool,
}

fn default_rules() -> usize {
    Options::default().rules_per_namespace.unwrap_or_default()
}

fn default_certificates() -> usize {
    Options::default().certificates_per_namespace.unwrap_or_default()
}

/// `--host-ownership`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum HostOwnershipArg {
    /// Anyone: paths merge across namespaces
    #[default]
    Shared,
    /// Only the namespace of the host's oldest Ingress
    Namespace,
}

/// `--balance`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BalanceArg {
    /// The less loaded of two random endpoints, in turn when they are equal
    #[default]
    LeastRequest,
    /// One after the other
    RoundRobin,
}
