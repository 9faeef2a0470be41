//! How a TLS upstream is verified: name, authorities, or not at all.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use portico_shared::Code;
use portico_shared::ir::{EndpointSource, Protocol, Unavailable, UpstreamTls};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::annotation::{self, UpstreamSettings};
use crate::protocol;
use crate::report::{Problem, Reporter};
use crate::service::is_external_name;
use crate::snapshot::{Key, Object, Snapshot};

/// How the upstream is verified, when it speaks TLS. What cannot be verified as asked is not connected to.
pub(crate) fn read(
    snapshot: &Snapshot,
    service: &Object<Service>,
    protocol: Protocol,
    settings: &UpstreamSettings,
    source: &EndpointSource,
    report: &mut Reporter,
) -> Result<Option<UpstreamTls>, Unavailable> {
    if !protocol::uses_tls(protocol) {
        let set = [
            ("upstream-ca", settings.ca.is_some()),
            ("upstream-name", settings.server_name.is_some()),
            ("upstream-verify", !settings.verify),
        ];
        for (key, _) in set.into_iter().filter(|(_, set)| *set) {
            let key = format!("{}{key}", annotation::PREFIX);
            let message = format!("{key} has no effect: the upstream is not spoken to over TLS");
            report.add(
                service,
                Problem::warning(Code::AnnotationInvalid, annotation::field(&key), message)
                    .hint("set portico.dev/upstream-protocol or appProtocol to https"),
            );
        }
        return Ok(None);
    }
    let authorities = match settings.ca.as_deref().map(|secret| authorities(snapshot, service, secret)) {
        None => None,
        Some(Ok(pem)) => Some(pem),
        Some(Err((secret, problem))) => {
            let unavailable = problem.unavailable();
            match secret {
                Some(secret) => report.add(secret, problem),
                None => report.add(service, problem),
            }
            return Err(unavailable);
        }
    };
    let server_name = match (&settings.server_name, source) {
        (Some(name), _) => name.as_str().into(),
        (None, EndpointSource::Dns { name, .. }) => name.clone(),
        (None, EndpointSource::Compiled) => internal_name(service).into(),
    };
    Ok(Some(UpstreamTls { server_name, verify: settings.verify, authorities }))
}

fn internal_name(service: &Object<Service>) -> String {
    let external = service.value.spec.as_ref().filter(|_| is_external_name(&service.value));
    match external.and_then(|spec| spec.external_name.as_deref()) {
        Some(address) => address.trim_matches(['[', ']']).to_owned(),
        None => format!("{}.{}.svc", service.reference.name, service.reference.namespace),
    }
}

type Authorities<'a> = Result<Arc<str>, (Option<&'a Object<Secret>>, Problem)>;

/// The certificates in key `ca.crt` of a Secret, as PEM; anything else in it stays behind.
fn authorities<'a>(snapshot: &'a Snapshot, service: &Object<Service>, secret: &str) -> Authorities<'a> {
    let key = Key::new(&service.reference.namespace, secret);
    let Some(entry) = snapshot.secrets.get(&key) else {
        let field = annotation::field("portico.dev/upstream-ca");
        let problem = Problem::error(Code::SecretNotFound, field, format!("Secret {key} does not exist"));
        return Err((
            None,
            problem.hint("create it with the authorities in key ca.crt; until then the routes answer 503"),
        ));
    };
    let invalid = |message: String| {
        let problem = Problem::error(Code::SecretInvalid, "data", message);
        (Some(&*entry.object), problem.hint("ca.crt needs one or more PEM certificates"))
    };
    let data = entry.object.value.data.as_ref().and_then(|data| data.get("ca.crt"));
    let data = data.ok_or_else(|| invalid("data key ca.crt is missing".to_owned()))?;
    let text = std::str::from_utf8(&data.0).map_err(|_| invalid("ca.crt is not text".to_owned()))?;
    let pem = certificates_only(text);
    let mut parsed = CertificateDer::pem_slice_iter(pem.as_bytes()).peekable();
    let readable = parsed.peek().is_some()
        && parsed.all(|der| der.is_ok_and(|der| x509_parser::parse_x509_certificate(&der).is_ok()));
    if readable { Ok(pem.into()) } else { Err(invalid("ca.crt holds no certificate that can be read".to_owned())) }
}

/// The certificate blocks of a PEM text.
fn certificates_only(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut pem = String::new();
    for block in text.split(BEGIN).skip(1) {
        let inside = block.split_once(END).map_or(block, |(inside, _)| inside);
        pem.extend([BEGIN, inside, END, "\n"]);
    }
    pem
}
