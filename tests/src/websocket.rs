//! WebSocket at both ends: an upstream that echoes messages and a client over any stream.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::WebSocketStream;
pub use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use crate::Error;
use crate::stream::Stream;

/// An upstream that sends every message back.
#[derive(Debug)]
pub struct WebSocketEcho {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl WebSocketEcho {
    /// On a port of 127.0.0.1. Its handshake names it in `x-echo-backend` and returns the path in `x-echo-path`.
    pub async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback address can be bound");
        let address = listener.local_addr().expect("a listener has an address");
        let name: http::HeaderValue = name.parse().expect("names are plain");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let name = name.clone();
                connections.spawn(async move {
                    #[expect(clippy::result_large_err, reason = "the library fixes the callback's type")]
                    let introduce = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
                        let path = request.uri().path().parse().expect("a path is a value");
                        response.headers_mut().insert("x-echo-path", path);
                        response.headers_mut().insert("x-echo-backend", name);
                        Ok(response)
                    };
                    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, introduce).await else { return };
                    while let Some(Ok(message)) = socket.next().await {
                        let echo = message.is_text() || message.is_binary();
                        if echo && socket.send(message).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for WebSocketEcho {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The client's end of a WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    socket: WebSocketStream<Stream>,
    /// The response that opened it.
    pub opening: http::Response<()>,
}

impl WebSocket {
    /// Opens one over a stream.
    ///
    /// # Errors
    /// When the answer is not a proper 101.
    pub async fn open(stream: Stream, host: &str, path: &str) -> Result<Self, Error> {
        let request = format!("ws://{host}{path}").into_client_request()?;
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self { socket, opening: response.map(|_| ()) })
    }

    /// Sends a message and returns the next one.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn exchange(&mut self, message: Message) -> Result<Message, Error> {
        self.socket.send(message).await?;
        self.next().await
    }

    /// The next message.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn next(&mut self) -> Result<Message, Error> {
        self.socket.next().await.ok_or("the connection ended")?.map_err(Into::into)
    }

    /// Closes in good order and waits until the other end has agreed.
    ///
    /// # Errors
    /// When the connection breaks instead.
    pub async fn close(mut self) -> Result<(), Error> {
        self.socket.close(None).await?;
        while let Some(message) = self.socket.next().await {
            message?;
        }
        Ok(())
    }
}
