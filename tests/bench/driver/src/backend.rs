//! What stands behind the proxies where nginx would not do: it takes uploads to their end, echoes WebSocket frames, and
//! echoes gRPC messages on HTTP/2 in clear. One thread.

use std::convert::Infallible;

use anyhow::Result;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ring::digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A constant of RFC 6455 that proves a WebSocket server read the key.
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves on two ports of loopback until it is killed: HTTP/1.1, and HTTP/2 with prior knowledge.
pub(crate) async fn run(arguments: &[String]) -> Result<()> {
    let [plain, grpc] = arguments else { anyhow::bail!("two ports are wanted") };
    let plain = TcpListener::bind(("127.0.0.1", plain.parse::<u16>()?)).await?;
    let grpc = TcpListener::bind(("127.0.0.1", grpc.parse::<u16>()?)).await?;
    loop {
        tokio::select! {
            accepted = plain.accept() => drop(tokio::spawn(serve_plain(accepted?.0))),
            accepted = grpc.accept() => drop(tokio::spawn(serve_grpc(accepted?.0))),
        }
    }
}

async fn serve_plain(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let io = TokioIo::new(stream);
    Ok(http1::Builder::new().max_buf_size(256 * 1024).serve_connection(io, service_fn(plain)).with_upgrades().await?)
}

async fn serve_grpc(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let builder = {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_concurrent_streams(1000);
        builder
    };
    Ok(builder.serve_connection(TokioIo::new(stream), service_fn(unary)).await?)
}

/// Uploads are answered with their length once they are over; anything that wants an upgrade becomes a WebSocket.
async fn plain(mut request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    if let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) {
        let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        context.update(key.as_bytes());
        context.update(WEBSOCKET_GUID.as_bytes());
        let accept = base64::engine::general_purpose::STANDARD.encode(context.finish());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move { echo_frames(TokioIo::new(upgrade.await?)).await });
        let mut response = Response::new(whole(Bytes::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::try_from(accept) {
            response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        return Ok(response);
    }
    let mut octets = 0;
    while let Some(frame) = request.body_mut().frame().await {
        octets += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(Response::new(whole(Bytes::from(format!("{octets}\n")))))
}

/// Sends every short frame back unmasked, until one closes the connection.
async fn echo_frames(mut io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) -> Result<()> {
    let mut frame = [0_u8; 2 + 4 + 125];
    loop {
        io.read_exact(&mut frame[..2]).await?;
        let length = usize::from(frame[1] & 0x7f);
        anyhow::ensure!(frame[1] & 0x80 != 0 && length <= 125, "the driver sends short masked frames only");
        io.read_exact(&mut frame[2..6 + length]).await?;
        let mask = [frame[2], frame[3], frame[4], frame[5]];
        let mut answer = [0_u8; 2 + 125];
        answer[0] = frame[0];
        answer[1] = frame[1] & 0x7f;
        for (index, octet) in frame[6..6 + length].iter().enumerate() {
            answer[2 + index] = octet ^ mask[index % 4];
        }
        io.write_all(&answer[..2 + length]).await?;
        if frame[0] & 0x0f == 8 {
            return Ok(());
        }
    }
}

/// One message in, the same message out, status 0 in the trailers.
async fn unary(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let message = request.into_body().collect().await?.to_bytes();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(message).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

fn whole(octets: Bytes) -> Body {
    Full::new(octets).boxed_unsync()
}
