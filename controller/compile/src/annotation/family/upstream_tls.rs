//! How a TLS upstream is verified.

use crate::annotation::registry::Annotation;
use crate::annotation::settings::UpstreamSettings;
use crate::annotation::value;
use crate::report::quote;

/// Certificate authorities.
pub(in crate::annotation) const UPSTREAM_CA: Annotation<UpstreamSettings> = Annotation {
    key: "upstream-ca",
    values: "the name of a Secret of the Service's namespace",
    default: "`--upstream-ca` and the system's roots",
    guards: true,
    doc: "Secret whose key `ca.crt` holds the certificate authorities (PEM) that a TLS upstream is verified against.",
    read: |text, settings| {
        settings.ca = Some(value::object_name(text)?);
        Ok(())
    },
};

/// Name to verify.
pub(in crate::annotation) const UPSTREAM_NAME: Annotation<UpstreamSettings> = Annotation {
    key: "upstream-name",
    values: "a DNS name",
    default: "`SERVICE.NAMESPACE.svc`, or the `externalName`",
    guards: false,
    doc: "Name sent to a TLS upstream as SNI and checked against its certificate.",
    read: |text, settings| {
        settings.server_name = Some(value::dns_name(text)?);
        Ok(())
    },
};

/// Verification itself.
pub(in crate::annotation) const UPSTREAM_VERIFY: Annotation<UpstreamSettings> = Annotation {
    key: "upstream-verify",
    values: "`on` or `off`",
    default: "`on`",
    guards: true,
    doc: "Whether the certificate of a TLS upstream is verified. `off` encrypts without knowing to whom.",
    read: |text, settings| {
        settings.verify = match text {
            "on" => true,
            "off" => false,
            _ => return Err(format!("{} is neither on nor off", quote(text))),
        };
        Ok(())
    },
};
