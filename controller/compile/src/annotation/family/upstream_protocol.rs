//! How endpoints are spoken to.

use crate::annotation::registry::Annotation;
use crate::annotation::settings::UpstreamSettings;
use crate::protocol;
use crate::report::quote;

/// Protocol, above `appProtocol`.
pub(in crate::annotation) const UPSTREAM_PROTOCOL: Annotation<UpstreamSettings> = Annotation {
    key: "upstream-protocol",
    values: "`http`, `h2c`, `https`, `grpc`, `grpcs`, `ws` or `wss`",
    default: "the port's `appProtocol`, else `http`",
    guards: false,
    doc: "How the endpoints are spoken to: HTTP/1.1 (`http`, `ws`), HTTP/2 in clear (`h2c`, `grpc`), TLS with HTTP/2 or \
          HTTP/1.1 by ALPN (`https`, `grpcs`), TLS with HTTP/1.1 only (`wss`).",
    read: |text, settings| {
        settings.protocol =
            Some(protocol::annotated(text).ok_or_else(|| format!("{} is not a known protocol", quote(text)))?);
        Ok(())
    },
};
