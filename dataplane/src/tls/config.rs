//! From settings to a downstream TLS configuration.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite};

use super::resolver::Resolver;
use crate::config::{Tls, TlsVersion};

/// The configuration of one listener's handshakes; errors name the setting that is wrong.
///
/// HTTP/2 and HTTP/1.1 by ALPN (RFC 7301); sessions resume by ticket alone, so no state is kept for them; early data is
/// off (RFC 8470). Of the cipher suites that both know, the first of ours is taken. The server name of an established session is `ServerConnection::server_name`.
pub fn server_config(
    settings: &Tls,
    resolver: Arc<Resolver>,
    ticketer: Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, String> {
    let versions = match settings.min_version {
        TlsVersion::V1_2 => &[&TLS12, &TLS13][..],
        TlsVersion::V1_3 => &[&TLS13][..],
    };
    let mut config = ServerConfig::builder_with_provider(provider_with(&settings.cipher_suites)?)
        .with_protocol_versions(versions)
        .map_err(|error| format!("no cipher suite for the TLS versions: {error}"))?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = ticketer;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}

/// The provider with these cipher suites only, in this order; all of its own when none is named.
fn provider_with(names: &[String]) -> Result<Arc<CryptoProvider>, String> {
    let provider = super::provider();
    if names.is_empty() {
        return Ok(provider);
    }
    let named = |name: &String| {
        provider.cipher_suites.iter().find(|suite| iana_name(suite) == *name).copied().ok_or_else(|| {
            let known: Vec<_> = provider.cipher_suites.iter().map(iana_name).collect();
            format!("unknown cipher suite {name:?}; known are {}", known.join(", "))
        })
    };
    let cipher_suites = names.iter().map(named).collect::<Result<_, _>>()?;
    Ok(Arc::new(CryptoProvider { cipher_suites, ..(*provider).clone() }))
}

/// The suite's name in IANA's registry; rustls writes those of TLS 1.3 another way.
fn iana_name(suite: &SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    name.strip_prefix("TLS13_").map_or_else(|| name.to_owned(), |rest| format!("TLS_{rest}"))
}
