//! Names of upstream protocols: `appProtocol` of ports and our own annotation.

use portico_shared::ir::Protocol;

/// What an `appProtocol` stands for (Kubernetes standard names, IANA names and the two that gRPC users write).
pub(crate) fn app_protocol(name: &str) -> Option<Protocol> {
    // IANA service names compare without case (RFC 6335 section 5.1).
    Some(match name.to_ascii_lowercase().as_str() {
        "" | "http" | "kubernetes.io/ws" => Protocol::Http1,
        "kubernetes.io/h2c" | "grpc" => Protocol::H2c,
        "https" | "grpcs" => Protocol::Https,
        "kubernetes.io/wss" => Protocol::Https1,
        _ => return None,
    })
}

/// What a value of `portico.dev/upstream-protocol` stands for.
pub(crate) fn annotated(name: &str) -> Option<Protocol> {
    Some(match name {
        "http" | "ws" => Protocol::Http1,
        "h2c" | "grpc" => Protocol::H2c,
        "https" | "grpcs" => Protocol::Https,
        "wss" => Protocol::Https1,
        _ => return None,
    })
}

/// Whether a protocol is spoken inside TLS.
pub(crate) fn uses_tls(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Https | Protocol::Https1)
}
