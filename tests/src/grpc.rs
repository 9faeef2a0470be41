//! gRPC as it looks on the wire: length-prefixed messages on HTTP/2 streams and a status in the trailers. No protobuf.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::Error;
use crate::client::{Connection, Sending, sending};

/// An upstream with one method, `/echo.Echo/Stream`: every message comes back at once; the status is 0 at the end.
/// Any other method is 12, unimplemented.
#[derive(Debug)]
pub struct GrpcEcho {
    /// Where it listens, speaking HTTP/2 with prior knowledge.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl GrpcEcho {
    /// On a port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback address can be bound");
        let address = listener.local_addr().expect("a listener has an address");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let builder = http2::Builder::new(TokioExecutor::new());
                connections.spawn(builder.serve_connection(TokioIo::new(stream), service_fn(answer)));
            }
        });
        Self { address, task }
    }
}

impl Drop for GrpcEcho {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<UnsyncBoxBody<Bytes, Error>>, Infallible> {
    let known = request.uri().path() == "/echo.Echo/Stream";
    let body = request.into_body().map_err(Error::from);
    let frames = futures_util::stream::unfold(known.then_some(body), async |body| {
        let mut body = body?;
        match body.frame().await {
            Some(Ok(frame)) if frame.is_data() => Some((Ok(frame), Some(body))),
            Some(Err(error)) => Some((Err(error), None)),
            _ => Some((Ok(Frame::trailers(status(0))), None)),
        }
    });
    let mut response = Response::new(StreamBody::new(Box::pin(frames)).boxed_unsync());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    if !known {
        response.headers_mut().extend(status(12));
    }
    Ok(response)
}

fn status(code: u16) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), code.into())])
}

/// The client's end of one call.
#[derive(Debug)]
pub struct GrpcCall {
    sending: Option<Sending>,
    /// Head of the response.
    pub headers: HeaderMap,
    body: Incoming,
    buffer: BytesMut,
    messages: VecDeque<Bytes>,
    /// Trailers, once they came.
    pub trailers: Option<HeaderMap>,
}

impl GrpcCall {
    /// Begins a call.
    ///
    /// # Errors
    /// When the connection fails before the response begins.
    pub async fn begin(connection: &mut Connection, authority: &str, method: &str) -> Result<Self, Error> {
        let (sending, body) = sending();
        let request = Request::post(format!("http://{authority}{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)?;
        let (head, body) = connection.open(request).await?.into_parts();
        let buffer = BytesMut::new();
        Ok(Self { sending: Some(sending), headers: head.headers, body, buffer, messages: [].into(), trailers: None })
    }

    /// Sends a message and waits for the next one.
    ///
    /// # Errors
    /// When the stream ends.
    pub async fn exchange(&mut self, message: &[u8]) -> Result<Bytes, Error> {
        let mut frame = BytesMut::with_capacity(message.len() + 5);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len())?);
        frame.put_slice(message);
        let sending = self.sending.as_ref().ok_or("the request has ended")?;
        sending.send(Ok(Frame::data(frame.freeze()))).await?;
        self.next().await?.ok_or_else(|| "the response has ended".into())
    }

    /// Ends the request and reads the response to its end.
    ///
    /// # Errors
    /// When the stream breaks.
    pub async fn finish(&mut self) -> Result<(), Error> {
        self.sending = None;
        while self.next().await?.is_some() {}
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            while self.buffer.len() >= 5 {
                let length = u32::from_be_bytes([self.buffer[1], self.buffer[2], self.buffer[3], self.buffer[4]]);
                let length = usize::try_from(length)?;
                if self.buffer.len() < 5 + length {
                    break;
                }
                self.buffer.advance(5);
                self.messages.push_back(self.buffer.split_to(length).freeze());
            }
            if let Some(message) = self.messages.pop_front() {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => match frame?.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
    }

    /// The status, from the trailers or from a head without body.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        let fields = self.trailers.iter().chain([&self.headers]);
        fields.filter_map(|fields| fields.get("grpc-status")).find_map(|value| value.to_str().ok())
    }
}
