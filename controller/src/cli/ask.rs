//! Asking a running Portico at its admin address.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

/// Gets `path` with these query fields below the admin URL, and reads the answer.
pub(super) fn get<T: DeserializeOwned>(base: &str, path: &str, fields: &[(&str, &str)]) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer =
        async { tokio::time::timeout(PATIENCE, fetch(base, path, fields)).await.context("no answer in 10 s")? };
    let body = runtime.block_on(answer).with_context(|| format!("--admin {base}"))?;
    serde_json::from_slice(&body).with_context(|| format!("--admin {base}: not an answer of this version"))
}

async fn fetch(base: &str, path: &str, fields: &[(&str, &str)]) -> Result<Bytes> {
    let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
    let url: Uri = format!("{}{path}{}", base.trim_end_matches('/'), query(fields)).parse()?;
    ensure!(url.scheme_str() == Some("http"), "not an http:// URL");
    let authority = url.authority().context("no host in it")?.clone();
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    let request = Request::get(target).header(header::HOST, authority.as_str()).body(Empty::<Bytes>::new())?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        if !status.is_success() {
            bail!("{status}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(body)
    };
    let (answer, _) = tokio::join!(exchange, async { connection.await.ok() });
    answer
}

/// A query string; everything but unreserved characters is escaped (RFC 3986 section 2.3).
fn query(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let octet = |b: u8| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        };
        text.bytes().map(octet).collect()
    };
    let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer in octets: some hundred thousand routes.
const LARGEST: usize = 512 << 20;

#[cfg(test)]
mod tests {
    use super::query;

    #[test]
    fn queries_are_escaped() {
        assert_eq!(query(&[]), "");
        assert_eq!(
            query(&[("url", "http://a.test/x?y=1&z"), ("header", "A: b")]),
            "?url=http%3A%2F%2Fa.test%2Fx%3Fy%3D1%26z&header=A%3A%20b"
        );
    }
}
