//! The HTTP client below kube's: connections, time-outs, counting.
//!
//! HTTP/1.1, one connection per watch and a pool for the rest: watches then cannot hold each other up, one broken
//! connection costs one watch, no limit of streams is met, and the kernel alone can tell that a connection is half open.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, header};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder};

use super::failure::Failure;
use super::gate::Gate;
use super::numbers::Numbers;

pub(super) fn build(mut config: Config, gate: &Gate, numbers: &Arc<Numbers>) -> Result<Client, kube::Error> {
    let agent = concat!("portico/", env!("CARGO_PKG_VERSION"));
    config.headers.push((header::USER_AGENT, HeaderValue::from_static(agent)));
    let tls = config.rustls_https_connector_with_connector(tcp())?;
    let connector = BoxCloneSyncService::new(ServiceBuilder::new().timeout(HANDSHAKE).service(tls));
    let pool = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .build(connector);
    let (asked, answered, gate) = (numbers.clone(), numbers.clone(), gate.clone());
    let service = ServiceBuilder::new()
        .map_request(move |request: Request<Body>| {
            asked.count_request(request.method(), request.uri());
            request
        })
        .map_result(move |result: Result<http::Response<_>, BoxError>| {
            match &result {
                Ok(response) => {
                    gate.answered();
                    answered.count_answer(response.status());
                }
                Err(error) => answered.count_error(Failure::of_transport(error.as_ref()).class()),
            }
            result
        })
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(pool);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

/// Connections that notice within half a minute that nobody is there any more, though nothing is sent on a quiet watch.
fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(15)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(5)));
    tcp.set_keepalive_retries(Some(3));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(Duration::from_secs(20)));
    tcp
}

/// For one TCP connection attempt, all addresses of the API together.
const CONNECT: Duration = Duration::from_secs(5);
/// For TCP and TLS together.
const HANDSHAKE: Duration = Duration::from_secs(8);
/// After this an unused connection is closed.
const IDLE: Duration = Duration::from_secs(30);
/// As many as are read at once when Secrets are read for the first time.
const IDLE_CONNECTIONS: usize = 64;
