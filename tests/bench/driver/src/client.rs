//! One request over a connection of its own, to see that a proxy does what is going to be measured.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, NamedGroup, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::site;

/// An answer as a whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

/// Something to read and write.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Connects to a port of loopback, with TLS if a protocol to agree on is given.
pub(crate) async fn connect(port: u16, alpn: Option<&str>) -> Result<Box<dyn Io>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let Some(alpn) = alpn else { return Ok(Box::new(stream)) };
    let connector = TlsConnector::from(Arc::new(trusting(alpn)?));
    let stream = connector.connect(ServerName::try_from(site::HOST)?, stream).await?;
    let agreed = stream.get_ref().1.alpn_protocol().unwrap_or(b"http/1.1");
    ensure!(agreed == alpn.as_bytes(), "{alpn} was not agreed on");
    Ok(Box::new(stream))
}

/// Sends a request and reads its answer to the end; HTTP/2 where `alpn` says `h2`.
pub(crate) async fn ask(port: u16, alpn: Option<&str>, request: Request<Full<Bytes>>) -> Result<Answer> {
    let io = TokioIo::new(connect(port, alpn).await?);
    if alpn == Some("h2") {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        let driver = tokio::spawn(connection);
        let answer = whole(sender.send_request(request).await?).await;
        driver.abort();
        answer
    } else {
        let (mut sender, connection) = http1::handshake(io).await?;
        let driver = tokio::spawn(connection);
        let answer = whole(sender.send_request(request).await?).await;
        driver.abort();
        answer
    }
}

async fn whole(response: Response<hyper::body::Incoming>) -> Result<Answer> {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Answer { status, body: body.to_bytes(), trailers })
}

/// Asks for the small body and looks at it.
pub(crate) async fn small(port: u16, alpn: Option<&str>, host: &str) -> Result<()> {
    let request = Request::get("/").header("host", host).body(Full::default())?;
    let asked = tokio::time::timeout(std::time::Duration::from_secs(5), ask(port, alpn, request));
    let answer = asked.await.context("no answer within 5 s")??;
    ensure!(answer.status == 200 && answer.body == site::SMALL, "unexpected answer: {answer:?}");
    Ok(())
}

/// TLS as every proxy is asked for it: X25519 only, so that nobody pays for a key exchange that others do not offer, and
/// no look at the certificate, so that the driver is cheap.
pub(crate) fn trusting(alpn: &str) -> Result<ClientConfig> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
