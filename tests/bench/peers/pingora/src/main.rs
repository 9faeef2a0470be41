//! A reverse proxy on Pingora with as little of its own as possible: three backends by path, forwarded headers, a
//! certificate. It is configured for speed as Pingora's user guide advises: one thread that steals no work, a large pool
//! of kept upstream connections, no access log.
//!
//! Arguments: HTTP HTTPS BACKEND ECHO GRPC (ports on loopback), then the files of the certificate and of its key.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;

/// Ports of the backends on loopback.
struct Entrance {
    backend: u16,
    echo: u16,
    grpc: u16,
}

#[async_trait]
impl ProxyHttp for Entrance {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        let path = session.req_header().uri.path();
        let grpc = path.starts_with("/echo.Echo/");
        let port = if grpc {
            self.grpc
        } else if path.starts_with("/ws") || path.starts_with("/upload") {
            self.echo
        } else {
            self.backend
        };
        let mut chosen = Box::new(HttpPeer::new(("127.0.0.1", port), false, String::new()));
        if grpc {
            chosen.options.set_http_version(2, 2);
            chosen.options.max_h2_streams = 100;
        }
        Ok(chosen)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut (),
    ) -> Result<()> {
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            request.insert_header("X-Forwarded-For", client.ip().to_string())?;
        }
        let secure = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        request.insert_header("X-Forwarded-Proto", if secure { "https" } else { "http" })?;
        Ok(())
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [http, https, backend, echo, grpc, certificate, key] = &arguments[..] else {
        panic!("arguments: HTTP HTTPS BACKEND ECHO GRPC CERTIFICATE KEY");
    };
    let port = |text: &String| text.parse().expect("a port is a number up to 65535");
    let entrance = Entrance { backend: port(backend), echo: port(echo), grpc: port(grpc) };

    let conf =
        ServerConf { threads: 1, work_stealing: false, upstream_keepalive_pool_size: 1024, ..Default::default() };
    let mut process = Server::new_with_opt_and_conf(None, conf);
    process.bootstrap();
    let mut service = http_proxy_service(&Arc::clone(&process.configuration), entrance);
    service.add_tcp(&format!("127.0.0.1:{http}"));
    let mut tls = TlsSettings::intermediate(certificate, key).expect("the certificate and its key can be read");
    tls.enable_h2();
    service.add_tls_with_settings(&format!("127.0.0.1:{https}"), None, tls);
    process.add_service(service);
    process.run_forever();
}
