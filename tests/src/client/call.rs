//! One request on a connection of its own.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request};
use tokio::net::{TcpSocket, TcpStream};

use super::connection::{Connection, full};
use super::{Answer, Tls};
use crate::stream::Stream;
use crate::{Error, PATIENCE};

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    target: String,
    host: String,
    headers: HeaderMap,
    body: Bytes,
    http2: bool,
    from: Option<IpAddr>,
}

impl Call {
    /// With any method. The target is a path with an optional query.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: Method::from_bytes(method.as_bytes()).expect("a method"),
            target: target.to_owned(),
            host: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            http2: false,
            from: None,
        }
    }

    /// GET.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// POST with a body.
    #[must_use]
    pub fn post(target: &str, body: impl Into<Bytes>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// The authority: `Host` on HTTP/1.1, `:authority` on HTTP/2.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a field name");
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a field value"));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Speaks HTTP/2 (with prior knowledge when in clear).
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Connects from this local address.
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// The request for a connection that is kept.
    #[must_use]
    pub fn request(&self) -> Request<super::Body> {
        let target = if self.http2 { format!("http://{}{}", self.host, self.target) } else { self.target.clone() };
        let mut request = Request::new(full(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target.parse().expect("a request target");
        request.headers_mut().clone_from(&self.headers);
        if !self.http2 && !request.headers().contains_key("host") {
            request.headers_mut().insert("host", self.host.parse().expect("a host"));
        }
        request
    }

    /// Sends it in clear.
    ///
    /// # Errors
    /// When no complete response comes.
    pub async fn to(&self, address: SocketAddr) -> Result<Answer, Error> {
        self.over(Stream::Plain(self.connect(address).await?)).await
    }

    /// Sends it over TLS, with its host as the server name.
    ///
    /// # Errors
    /// When the handshake fails or no complete response comes.
    pub async fn to_tls(&self, address: SocketAddr, tls: &Tls) -> Result<Answer, Error> {
        let tls = if self.http2 { tls.clone().alpn(&["h2"]) } else { tls.clone() };
        let name = self.host.split(':').next().unwrap_or_default();
        let stream = tls.over(self.connect(address).await?, name).await?;
        self.over(Stream::Tls(Box::new(stream))).await
    }

    async fn over(&self, stream: Stream) -> Result<Answer, Error> {
        let mut connection =
            if self.http2 { Connection::http2(stream).await? } else { Connection::http1(stream).await? };
        let answer = tokio::time::timeout(PATIENCE, connection.send(self.request())).await;
        answer.map_err(|_| format!("no answer within {PATIENCE:?}"))?
    }

    async fn connect(&self, address: SocketAddr) -> Result<TcpStream, Error> {
        let stream = match self.from {
            None => TcpStream::connect(address).await?,
            Some(from) => {
                let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                socket.bind(SocketAddr::new(from, 0))?;
                socket.connect(address).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// GET of a path on a host, in clear, on a connection of its own.
///
/// # Errors
/// When no complete response comes.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Result<Answer, Error> {
    Call::get(path).host(host).to(address).await
}
