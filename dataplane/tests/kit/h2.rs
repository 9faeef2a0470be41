//! HTTP/2 on both sides of the data plane, frame by frame where it matters.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, client, server};
use http::{HeaderMap, Method, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::wire::soon;
use super::{Origin, Proxy};

/// A client's connection, driven in the background.
pub(crate) type Client = client::SendRequest<Bytes>;

/// A request as an endpoint sees it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
}

impl Proxy {
    /// An HTTP/2 connection with prior knowledge.
    pub(crate) async fn h2(&self) -> Client {
        self.h2_with(&client::Builder::new()).await
    }

    pub(crate) async fn h2_with(&self, builder: &client::Builder) -> Client {
        let stream = TcpStream::connect(self.address).await.expect("the data plane accepts");
        let (client, connection) = builder.handshake(stream).await.expect("a handshake");
        tokio::spawn(connection);
        client
    }
}

/// A request of that method to `http://a/`.
pub(crate) fn request(method: Method) -> Request<()> {
    Request::builder().method(method).uri("http://a/").body(()).expect("a request")
}

/// Sends a request without a body and waits for the response head.
#[track_caller]
pub(crate) fn ask(
    client: &Client,
    request: Request<()>,
) -> impl Future<Output = Result<Response<RecvStream>, h2::Error>> + use<> {
    let client = client.clone();
    soon(async move {
        let mut client = client.ready().await?;
        client.send_request(request, true)?.0.await
    })
}

/// Reads a body to its end.
#[track_caller]
pub(crate) fn read(mut body: RecvStream) -> impl Future<Output = Result<(Vec<u8>, Option<HeaderMap>), h2::Error>> {
    soon(async move {
        let mut octets = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            octets.extend_from_slice(&data);
        }
        Ok((octets, body.trailers().await?))
    })
}

/// One connection to an endpoint that speaks HTTP/2.
#[derive(Debug)]
pub(crate) struct H2Wire {
    calls: mpsc::UnboundedReceiver<Call>,
    orders: mpsc::UnboundedSender<()>,
}

impl Origin {
    /// The next connection, on which HTTP/2 is spoken.
    pub(crate) async fn h2(&self) -> H2Wire {
        self.h2_with(&server::Builder::new()).await
    }

    pub(crate) async fn h2_with(&self, builder: &server::Builder) -> H2Wire {
        H2Wire::new(self.accept().await.stream, builder).await
    }

    /// Serves every connection by `serve`; each round of [`Leaver::leave`] makes those leave that there are.
    pub(crate) fn serve_h2(self, serve: impl Fn(Call) + Clone + Send + Sync + 'static) -> Leaver {
        let leaver = Leaver::default();
        let connections = leaver.connections.clone();
        self.serve(move |_, wire| {
            let (connections, serve) = (connections.clone(), serve.clone());
            async move {
                let mut wire = H2Wire::new(wire.stream, &server::Builder::new()).await;
                connections.lock().expect("no panic").push(wire.orders.clone());
                while let Some(call) = wire.calls.recv().await {
                    serve(call);
                }
            }
        });
        leaver
    }
}

/// The connections to an endpoint, to be ended by it.
#[derive(Debug, Default)]
pub(crate) struct Leaver {
    connections: Arc<Mutex<Vec<mpsc::UnboundedSender<()>>>>,
}

impl Leaver {
    /// Says GOAWAY on all connections; what is in flight on them will be finished.
    pub(crate) fn leave(&self) {
        for connection in self.connections.lock().expect("no panic").drain(..) {
            // One that has ended needs no telling.
            let _ = connection.send(());
        }
    }
}

impl H2Wire {
    async fn new(stream: TcpStream, builder: &server::Builder) -> Self {
        let mut connection = soon(builder.handshake(stream)).await.expect("a handshake");
        let (called, calls) = mpsc::unbounded_channel();
        let (orders, mut ordered) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    call = connection.accept() => {
                        let Some(Ok((request, respond))) = call else { return };
                        let _ = called.send(Call { request, respond });
                    }
                    Some(()) = ordered.recv() => connection.graceful_shutdown(),
                }
            }
        });
        Self { calls, orders }
    }

    /// The next request.
    #[track_caller]
    pub(crate) fn call(&mut self) -> impl Future<Output = Call> + '_ {
        let call = soon(self.calls.recv());
        async { call.await.expect("a request") }
    }

    /// Waits until the data plane has closed the connection.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> impl Future<Output = ()> + '_ {
        let call = soon(self.calls.recv());
        async { assert!(call.await.is_none(), "no further request") }
    }

    /// Requests that have come and were not taken.
    pub(crate) fn waiting(&self) -> usize {
        self.calls.len()
    }
}

impl Call {
    /// Answers 200 with a body.
    pub(crate) fn answer(mut self, body: &'static str) {
        let mut stream = self.respond.send_response(Response::new(()), false).expect("a response head");
        stream.send_data(body.into(), true).expect("a body");
    }
}
