//! Where an upstream's endpoints come from: slices, the cluster address, or the name behind an ExternalName.

use k8s_openapi::api::core::v1::Service;
use portico_shared::ir::{EndpointSource, Unavailable};
use portico_shared::{Code, EndpointSet};

use crate::annotation::{self, UpstreamSettings};
use crate::endpoints::{self, Lack};
use crate::external_name::{ExternalName, Guard};
use crate::report::{Problem, Reporter, quote};
use crate::service::{Port, is_external_name};
use crate::snapshot::{Object, Snapshot};

/// Where endpoints come from and what was learnt on the way.
pub(crate) struct Supply {
    pub(crate) source: EndpointSource,
    /// Present when the source is [`EndpointSource::Compiled`].
    pub(crate) set: Option<EndpointSet>,
    /// `appProtocol` as slices have it.
    pub(crate) app_protocol: Option<String>,
    /// Why there is no endpoint, when slices have none.
    pub(crate) lack: Option<Lack>,
}

/// Endpoints: of an ExternalName its name or address, else the cluster address when asked for, else the slices'.
pub(crate) fn supply(
    snapshot: &Snapshot,
    service: &Object<Service>,
    port: Port<'_>,
    settings: &UpstreamSettings,
    report: &mut Reporter,
) -> Result<Supply, Unavailable> {
    if is_external_name(&service.value) {
        return external(snapshot, service, port, report);
    }
    let compiled =
        |set, app_protocol, lack| Supply { source: EndpointSource::Compiled, set: Some(set), app_protocol, lack };
    if settings.service_upstream {
        let address = service.value.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
        if let Some(address) = address.and_then(|address| address.parse::<std::net::IpAddr>().ok()) {
            return Ok(compiled(EndpointSet::new([(address, port.number).into()]), None, None));
        }
        let field = annotation::field("portico.dev/service-upstream");
        let message = "portico.dev/service-upstream: the Service has no cluster address; its endpoints are used";
        report.add(
            service,
            Problem::warning(Code::AnnotationInvalid, field, message)
                .hint("remove the annotation from a headless Service"),
        );
    }
    let Some((_, declared)) = port.declared else { return Ok(compiled(EndpointSet::default(), None, None)) };
    let gathered = endpoints::gather(snapshot, service, declared, report);
    Ok(compiled(gathered.set, gathered.app_protocol, gathered.lack))
}

fn external(
    snapshot: &Snapshot,
    service: &Object<Service>,
    port: Port<'_>,
    report: &mut Reporter,
) -> Result<Supply, Unavailable> {
    let options = &snapshot.options;
    let name = service.value.spec.as_ref().and_then(|spec| spec.external_name.as_deref()).unwrap_or_default();
    let guard = Guard {
        namespace: &service.reference.namespace,
        cluster_domain: &options.cluster_domain,
        unguarded: options.external_name_unguarded,
    };
    let judged = if options.external_name {
        guard.judge(name)
    } else {
        Err("ExternalName Services are switched off".to_owned())
    };
    let supply = |source, set| Supply { source, set, app_protocol: None, lack: None };
    match judged {
        Ok(ExternalName::Dns(name)) => Ok(supply(EndpointSource::Dns { name: name.into(), port: port.number }, None)),
        Ok(ExternalName::Address(address)) => {
            let set = EndpointSet::new([(address, port.number).into()]);
            Ok(supply(EndpointSource::Compiled, Some(set)))
        }
        Err(reason) => {
            let message = format!("externalName {} is refused: {reason}", quote(name));
            let problem = Problem::error(Code::ExternalNameRefused, "spec.externalName", message).hint(
                "name a host outside the cluster or a Service of the own namespace; the operator can lift the guard",
            );
            let unavailable = problem.unavailable();
            report.add(service, problem);
            Err(unavailable)
        }
    }
}

/// What to say of a Service without endpoints.
pub(crate) fn no_endpoints(port: Port<'_>, lack: Lack) -> Problem {
    let field = port.declared.map_or_else(|| "spec.ports".to_owned(), |(index, _)| format!("spec.ports[{index}]"));
    let name = port.declared.and_then(|(_, declared)| declared.name.as_deref()).filter(|name| !name.is_empty());
    let (reason, hint) = match lack {
        Lack::Slices => {
            ("it has no EndpointSlice".to_owned(), "check that its selector matches running pods".to_owned())
        }
        Lack::Port => (
            match name {
                Some(name) => format!("none of its EndpointSlices has a TCP port named {}", quote(name)),
                None => "none of its EndpointSlices has a TCP port without a name".to_owned(),
            },
            "give the port the same name in the Service and in its EndpointSlices".to_owned(),
        ),
        Lack::Number => (
            "its EndpointSlices give the port no number and its targetPort is a name".to_owned(),
            "write the number into the EndpointSlice".to_owned(),
        ),
        Lack::Addresses => {
            ("its EndpointSlices hold no usable address".to_owned(), "check that its pods run".to_owned())
        }
        Lack::Ready => ("none of its endpoints is ready".to_owned(), "check the pods' readiness probes".to_owned()),
    };
    let message =
        format!("port {} has no endpoint that may get requests: {reason}; routes to it answer 503", port.number);
    Problem::warning(Code::NoEndpoints, field, message).hint(hint)
}
