//! Connections that are kept: HTTP/1.1 or HTTP/2 over any stream.

use std::net::SocketAddr;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Answer, Tls};
use crate::Error;
use crate::stream::Stream;

/// Body of requests.
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// Feeds a body frame by frame; dropping it ends the body.
pub type Sending = mpsc::Sender<Result<Frame<Bytes>, Error>>;

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is all there.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that is fed, of unknown length; holds one frame at most.
#[must_use]
pub fn sending() -> (Sending, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = futures_util::stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    (sender, StreamBody::new(Box::pin(frames)).boxed_unsync())
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A client connection.
pub struct Connection {
    sender: Sender,
    /// What requests on HTTP/2 say that they came by.
    scheme: Scheme,
    driver: JoinHandle<()>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl Connection {
    /// HTTP/1.1 over a stream.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn http1(stream: Stream) -> Result<Self, Error> {
        let scheme = scheme(&stream);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // How a connection ends shows in the requests that it carries.
        let driver = tokio::spawn(async move { drop(connection.with_upgrades().await) });
        Ok(Self { sender: Sender::Http1(sender), scheme, driver })
    }

    /// HTTP/2 over a stream.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn http2(stream: Stream) -> Result<Self, Error> {
        let scheme = scheme(&stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender: Sender::Http2(sender), scheme, driver })
    }

    /// HTTP/1.1 in clear.
    ///
    /// # Errors
    /// When connecting fails.
    pub async fn plain(address: SocketAddr) -> Result<Self, Error> {
        Self::http1(Stream::Plain(TcpStream::connect(address).await?)).await
    }

    /// HTTP/2 over TLS to a name.
    ///
    /// # Errors
    /// When connecting fails.
    pub async fn tls_http2(address: SocketAddr, tls: &Tls, name: &str) -> Result<Self, Error> {
        Self::http2(tls.clone().alpn(&["h2"]).connect(address, name).await?).await
    }

    /// Sends a request and returns the response as soon as its head is there. On HTTP/2 its scheme becomes the
    /// connection's.
    ///
    /// # Errors
    /// When the connection fails first.
    pub async fn open(&mut self, mut request: Request<Body>) -> Result<Response<Incoming>, Error> {
        Ok(match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                let mut uri = std::mem::take(request.uri_mut()).into_parts();
                uri.scheme = Some(self.scheme.clone());
                *request.uri_mut() = uri.try_into()?;
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }

    /// Sends a request and reads the response to its end.
    ///
    /// # Errors
    /// When no complete response comes.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Answer, Error> {
        let (head, body) = self.open(request).await?.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        Ok(Answer::new(head, collected.to_bytes(), trailers))
    }

    /// A second hand on an HTTP/2 connection, to send at the same time; `None` on HTTP/1.1. It lasts as long as the
    /// first.
    #[must_use]
    pub fn again(&self) -> Option<Self> {
        let Sender::Http2(sender) = &self.sender else { return None };
        let (sender, scheme) = (Sender::Http2(sender.clone()), self.scheme.clone());
        Some(Self { sender, scheme, driver: tokio::spawn(std::future::ready(())) })
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }
}

fn scheme(stream: &Stream) -> Scheme {
    if matches!(stream, Stream::Plain(_)) { Scheme::HTTP } else { Scheme::HTTPS }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A test that drops a connection means it to end, requests in flight included.
        self.driver.abort();
    }
}
