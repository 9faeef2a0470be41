//! TLS towards clients.

use clap::{Args, ValueEnum};

/// Versions, suites and how strictly names are taken.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Oldest TLS version that is spoken
    #[arg(long, env = "PORTICO_TLS_MIN_VERSION", value_name = "VERSION", value_enum, default_value_t)]
    pub(crate) tls_min_version: TlsVersionArg,
    /// Cipher suites by IANA name, in order of preference [default: the provider's]
    #[arg(long, env = "PORTICO_TLS_CIPHER_SUITES", value_name = "NAME", value_delimiter = ',')]
    pub(crate) tls_cipher_suites: Vec<String>,
    /// Refuse handshakes for names without a certificate, and answer 421 to a host with another certificate
    #[arg(long, env = "PORTICO_STRICT_SNI")]
    pub(crate) strict_sni: bool,
}

/// `--tls-min-version`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TlsVersionArg {
    /// TLS 1.2 and 1.3
    #[default]
    #[value(name = "1.2")]
    V1_2,
    /// TLS 1.3 only
    #[value(name = "1.3")]
    V1_3,
}
