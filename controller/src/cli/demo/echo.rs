//! Backends that answer who they are and what they received, as JSON. Loopback only.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};

/// One endpoint of a Service: a loopback port that answers.
#[derive(Debug)]
pub(super) struct Echo {
    service: Arc<str>,
    listener: std::net::TcpListener,
}

/// What a request gets back.
#[derive(Serialize)]
struct Answer<'a> {
    /// The Service as `namespace/name`.
    service: &'a str,
    /// The endpoint that answered.
    endpoint: SocketAddr,
    method: &'a str,
    /// Path and query.
    target: &'a str,
    protocol: &'a str,
    /// Fields by name; values of a field that came twice are joined.
    headers: BTreeMap<&'a str, String>,
    /// The request body as text; absent when there was none.
    #[serde(skip_serializing_if = "String::is_empty")]
    body: String,
}

impl Echo {
    /// Takes a free port.
    pub(super) fn bind(service: &str) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self { service: service.into(), listener })
    }

    /// The port taken.
    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Answers for as long as the runtime lives.
    pub(super) async fn run(self) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        loop {
            // A connection that fails while it is taken concerns nobody else.
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, self.service.clone()));
            }
        }
    }
}

async fn talk(stream: TcpStream, service: Arc<str>) {
    let Ok(endpoint) = stream.local_addr() else { return };
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move {
            Ok::<_, Infallible>(match answer(&service, endpoint, request).await {
                Ok(response) => response,
                Err(_) => Response::builder().status(413).body(Full::default()).expect("a bare status is a response"),
            })
        }
    });
    // A client that goes away in the middle is no news.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(
    service: &str,
    endpoint: SocketAddr,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LARGEST).collect().await.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
    let answer = Answer {
        service,
        endpoint,
        method: head.method.as_str(),
        target: head.uri.path_and_query().map_or("", |target| target.as_str()),
        protocol: if head.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
        headers: fields(&head.headers),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let text = serde_json::to_string_pretty(&answer)? + "\n";
    Ok(Response::builder().header(header::CONTENT_TYPE, "application/json").body(Full::from(text))?)
}

fn fields(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let joined = |name| {
        let values: Vec<_> = headers.get_all(name).iter().map(|it| String::from_utf8_lossy(it.as_bytes())).collect();
        values.join(", ")
    };
    headers.keys().map(|name| (name.as_str(), joined(name))).collect()
}

/// Largest request body that is held in memory to be sent back, in octets.
const LARGEST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use portico_tests::client::Call;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn it_says_who_it_is_and_what_it_received() {
        let echo = Echo::bind("default/web").unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, echo.port().unwrap()));
        tokio::spawn(echo.run());
        let answer = Call::new("POST", "/x?y=1").host("a.test").body("ab").to(address).await.unwrap().json();
        for (field, expected) in [
            ("service", json!("default/web")),
            ("endpoint", json!(address.to_string())),
            ("method", json!("POST")),
            ("target", json!("/x?y=1")),
            ("body", json!("ab")),
        ] {
            assert_eq!(answer[field], expected, "{answer}");
        }
        assert_eq!(answer["headers"]["host"], json!("a.test"));
    }
}
