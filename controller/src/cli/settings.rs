//! From flags as typed to settings that can run: combinations judged, files read, the machine asked.
//!
//! Every refusal is one line that names the flag.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use portico_compile::{HostOwnership, Options};
use portico_dataplane::Config;
use portico_dataplane::config::{AccessLogFormat, Binding, Limits, Overload, Timers, Tls, TlsVersion, Upstream};
use portico_shared::ir::{Balance, policy::StrictTransportSecurity};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::args::ServeArgs;
use super::args::ingress::{BalanceArg, HostOwnershipArg, IngressArgs};
use super::args::limits::LimitsArgs;
use super::args::listen::ListenArgs;
use super::args::log::AccessLogArg;
use super::args::overload::OverloadArgs;
use super::args::timers::TimersArgs;
use super::args::tls::{TlsArgs, TlsVersionArg};
use super::args::upstream::UpstreamArgs;
use super::args::value::Size;
use super::machine;
use crate::app::{ClusterSettings, Publish, Settings, SourceSettings};
use crate::cluster::Settings as Connection;

/// What `serve` runs on.
pub(crate) fn serve(args: &ServeArgs) -> Result<Settings> {
    let listen = &args.listen;
    distinct(listen)?;
    let source = match args.source.manifests.as_slice() {
        [] => SourceSettings::Cluster(Box::new(cluster(args))),
        paths => {
            for path in paths {
                std::fs::metadata(path).with_context(|| format!("--manifests {}", path.display()))?;
            }
            SourceSettings::Manifests(paths.to_vec())
        }
    };
    let options = match &source {
        SourceSettings::Manifests(_) => options(&args.ingress),
        SourceSettings::Cluster(_) => cluster_options(args),
    };
    Ok(Settings {
        source,
        options,
        dataplane: dataplane(args)?,
        status: listen.status,
        admin: listen.admin,
        hold_off: args.source.hold_off.0,
        resolver: args.upstream.resolver,
    })
}

/// What bears on the IR when objects come from an API server. Classes exist there and are asked for, except where
/// namespaces are named: IngressClasses are in none.
fn cluster_options(args: &ServeArgs) -> Options {
    Options {
        serve_without_class: args.ingress.watch_ingress_without_class,
        class_by_name: !args.cluster.watch_namespace.is_empty(),
        local_endpoints: false,
        ..options(&args.ingress)
    }
}

fn cluster(args: &ServeArgs) -> ClusterSettings {
    let cluster = &args.cluster;
    let class = &args.ingress.ingress_class;
    ClusterSettings {
        connection: Connection {
            kubeconfig: cluster.kubeconfig.clone(),
            context: cluster.context.clone(),
            namespaces: cluster.watch_namespace.clone(),
            node: cluster.node_name.clone().filter(|_| args.ingress.zone.is_none()),
            secret_refresh: cluster.secret_refresh.0,
        },
        pod: cluster.pod_name.clone(),
        identity: cluster.pod_name.clone().unwrap_or_else(machine::process_name),
        namespace: cluster.pod_namespace.clone(),
        lease: cluster.lease.clone().unwrap_or_else(|| format!("portico-{class}")),
        controller_name: args.ingress.controller_name.clone(),
        publish: (!cluster.no_status).then(|| Publish {
            service: cluster.publish_service.clone(),
            addresses: cluster.publish_status_address.iter().cloned().collect(),
            internal: cluster.publish_node_internal_addresses,
            withdraw: cluster.withdraw_status_on_shutdown,
        }),
    }
}

/// What bears on the IR; objects come from manifests, where a class need not exist as an object.
pub(crate) fn options(args: &IngressArgs) -> Options {
    let strict_transport_security = args.hsts.then_some(StrictTransportSecurity {
        max_age: args.hsts_max_age,
        include_subdomains: args.hsts_include_subdomains,
    });
    Options {
        ingress_class: args.ingress_class.clone(),
        controller_name: args.controller_name.clone(),
        serve_without_class: !args.strict_class || args.watch_ingress_without_class,
        class_by_name: !args.strict_class,
        default_backend_service: args.default_backend_service.clone(),
        default_tls_secret: args.default_tls_secret.clone(),
        https_redirect: args.https_redirect,
        https_port: args.https_redirect_port,
        strict_transport_security,
        host_ownership: match args.host_ownership {
            HostOwnershipArg::Shared => HostOwnership::Shared,
            HostOwnershipArg::Namespace => HostOwnership::Namespace,
        },
        rules_per_namespace: Some(args.max_rules_per_namespace).filter(|cap| *cap > 0),
        certificates_per_namespace: Some(args.max_certificates_per_namespace).filter(|cap| *cap > 0),
        external_name: !args.no_external_names,
        external_name_unguarded: args.allow_local_external_names,
        local_endpoints: !args.no_local_endpoints,
        zone: args.zone.clone(),
        balance: match args.balance {
            BalanceArg::LeastRequest => Balance::LeastRequest,
            BalanceArg::RoundRobin => Balance::RoundRobin,
        },
        cluster_domain: args.cluster_domain.clone(),
    }
}

fn dataplane(args: &ServeArgs) -> Result<Config> {
    let listen = &args.listen;
    // Half of the files is for clients, a quarter for idle upstream connections, the rest for busy ones and all else.
    let descriptors = machine::descriptors();
    let http = Binding { h2c: listen.h2c, ..Binding::ingress(listen.http, false) };
    Ok(Config {
        bindings: vec![http, Binding::ingress(listen.https, true)],
        workers: listen.workers.unwrap_or_else(machine::processors),
        trusted_proxies: listen.trusted_proxies.clone(),
        proxy_protocol_from: listen.proxy_protocol_from.clone(),
        limits: limits(&args.limits, &args.overload, descriptors)?,
        timers: timers(&args.timers, &args.overload),
        overload: overload(&args.overload)?,
        tls: tls(&args.tls),
        upstream: upstream(&args.upstream, descriptors)?,
        access_log: match args.log.access_log {
            AccessLogArg::Json => AccessLogFormat::Json,
            AccessLogArg::Text => AccessLogFormat::Text,
            AccessLogArg::Off => AccessLogFormat::Off,
        },
        preserve_header_case: listen.preserve_header_case,
        underscores_in_headers: listen.allow_underscores,
        drain_delay: args.timers.drain_delay.0,
        drain_timeout: args.timers.drain_timeout.0,
    })
}

/// Two flags that ask for one address would fail later with a riddle.
fn distinct(listen: &ListenArgs) -> Result<()> {
    let addresses =
        [("--http", listen.http), ("--https", listen.https), ("--status", listen.status), ("--admin", listen.admin)];
    for (at, (flag, address)) in addresses.iter().enumerate() {
        for (other, taken) in &addresses[..at] {
            ensure!(!overlap(*address, *taken), "{other} {taken} and {flag} {address} overlap");
        }
    }
    Ok(())
}

fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (any || one.ip() == other.ip())
}

fn limits(args: &LimitsArgs, budgets: &OverloadArgs, descriptors: usize) -> Result<Limits> {
    let defaults = Limits::default();
    let connections = args.max_connections.unwrap_or(defaults.connections.min(descriptors / 2).max(1));
    ensure!(
        args.max_target_size.0 <= args.max_head_size.0,
        "--max-target-size {} exceeds --max-head-size {}",
        args.max_target_size,
        args.max_head_size
    );
    Ok(Limits {
        connections,
        connections_per_client: args.max_connections_per_client,
        upstream_connections: upstream_connections(budgets, connections, descriptors)?,
        requests: budgets.max_connection_requests,
        handshakes: budgets.tls_handshakes_at_once,
        head: octets("--max-head-size", args.max_head_size)?,
        fields: args.max_header_fields,
        cookie_crumbs: args.max_cookie_crumbs,
        target: octets("--max-target-size", args.max_target_size)?,
        method: octets("--max-method-size", args.max_method_size)?,
        body: args.max_body_size.map(|size| size.0),
        h2_streams: args.h2_max_streams,
        h2_stream_window: window("--h2-stream-window", args.h2_stream_window)?,
        h2_connection_window: window("--h2-connection-window", args.h2_connection_window)?,
        hops: args.max_hops,
    })
}

/// What may be open to upstreams: the descriptors that clients and the reserve leave. Without one for each side nothing
/// could be served.
fn upstream_connections(args: &OverloadArgs, connections: usize, descriptors: usize) -> Result<usize> {
    let reserve = args.fd_reserve.unwrap_or((descriptors / 8).clamp(32, 512));
    let taken = connections.saturating_add(reserve);
    let left = descriptors.saturating_sub(taken);
    let upstreams = args.max_upstream_connections.unwrap_or(left);
    ensure!(
        (1..=left).contains(&upstreams),
        "{descriptors} files may be open: {connections} connections of clients, {reserve} in reserve and {upstreams} to \
         upstreams do not fit; lower --max-connections, --fd-reserve or --max-upstream-connections, or allow more files"
    );
    Ok(upstreams)
}

fn overload(args: &OverloadArgs) -> Result<Overload> {
    let [keep_alive_off, refuse, accept_off] =
        [args.memory_keep_alive_off, args.memory_refuse, args.memory_accept_off].map(|percent| percent.0);
    ensure!(
        0 < keep_alive_off && keep_alive_off <= refuse && refuse <= accept_off,
        "--memory-keep-alive-off {keep_alive_off}%, --memory-refuse {refuse}% and --memory-accept-off {accept_off}% are not \
         in this order"
    );
    let memory = args.memory_limit.map(|size| size.0);
    ensure!(memory != Some(0), "--memory-limit is not above zero");
    Ok(Overload { memory, keep_alive_off, refuse, accept_off, lateness: args.max_lateness.0 })
}

/// A size that buffers are made of.
fn octets(flag: &str, size: Size) -> Result<usize> {
    match usize::try_from(size.0) {
        Ok(octets) if (1..=LARGEST_BUFFER).contains(&octets) => Ok(octets),
        _ => bail!("{flag} {size} is not between 1 and 16Mi"),
    }
}

/// A flow-control window (RFC 9113 section 6.9.2: from the initial 65,535 octets to 2^31-1).
fn window(flag: &str, size: Size) -> Result<u32> {
    match u32::try_from(size.0) {
        Ok(octets) if (65_535..=i32::MAX.unsigned_abs()).contains(&octets) => Ok(octets),
        _ => bail!("{flag} {size} is not between 65535 and 2147483647"),
    }
}

fn timers(args: &TimersArgs, budgets: &OverloadArgs) -> Timers {
    Timers {
        handshake: args.tls_handshake_timeout.0,
        first_byte: args.first_byte_timeout.0,
        first_byte_trusted: args.first_byte_timeout_trusted.0,
        head: args.request_head_timeout.0,
        body_idle: args.request_body_timeout.0,
        body_rate_grace: args.request_body_grace.0,
        body_rate: args.request_body_rate.0,
        keep_alive: args.keep_alive_timeout.0,
        park_after: args.park_after.0,
        connection_age: budgets.max_connection_age.0,
        write_stall: args.write_timeout.0,
        stream_idle: args.stream_idle_timeout.0,
        probe: args.probe_interval.0,
    }
}

fn tls(args: &TlsArgs) -> Tls {
    Tls {
        min_version: match args.tls_min_version {
            TlsVersionArg::V1_2 => TlsVersion::V1_2,
            TlsVersionArg::V1_3 => TlsVersion::V1_3,
        },
        cipher_suites: args.tls_cipher_suites.clone(),
        strict_sni: args.strict_sni,
    }
}

fn upstream(args: &UpstreamArgs, descriptors: usize) -> Result<Upstream> {
    ensure!(
        args.eject_for.0 <= args.eject_longest.0,
        "--eject-for {} exceeds --eject-longest {}",
        args.eject_for,
        args.eject_longest
    );
    Ok(Upstream {
        connect: args.upstream_connect_timeout.0,
        response: args.upstream_response_timeout.0,
        body_idle: args.upstream_idle_timeout.0,
        idle: args.upstream_keep_alive.0,
        idle_unsafe: args.upstream_keep_alive_unsafe.0,
        idle_per_endpoint: args.upstream_idle_connections,
        idle_total: args.upstream_idle_total.unwrap_or(Upstream::default().idle_total.min(descriptors / 4)),
        endpoint_subset: args.upstream_subset,
        retries: args.retries,
        retry_budget_percent: args.retry_budget.0,
        eject_after: args.eject_after,
        eject_for: args.eject_for.0,
        eject_longest: args.eject_longest.0,
        authorities: args.upstream_ca.as_deref().map(authorities).transpose()?,
    })
}

/// A file of certificate authorities; one that holds none would silently refuse every upstream.
fn authorities(path: &Path) -> Result<Arc<str>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("--upstream-ca {shown}"))?;
    let count = CertificateDer::pem_slice_iter(text.as_bytes())
        .try_fold(0, |count, certificate| certificate.map(|_| count + 1))
        .map_err(|error| anyhow::anyhow!("--upstream-ca {shown}: {error}"))?;
    ensure!(count > 0, "--upstream-ca {shown}: no PEM certificate in it");
    Ok(text.into())
}

/// Largest head that may be asked for: it is held in memory per connection.
const LARGEST_BUFFER: usize = 16 << 20;
