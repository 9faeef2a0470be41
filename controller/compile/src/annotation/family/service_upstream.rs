//! Going through the Service's own address.

use crate::annotation::registry::Annotation;
use crate::annotation::settings::UpstreamSettings;
use crate::annotation::value;

/// The cluster address in place of endpoints.
pub(in crate::annotation) const SERVICE_UPSTREAM: Annotation<UpstreamSettings> = Annotation {
    key: "service-upstream",
    values: "`true` or `false`",
    default: "`false`",
    guards: false,
    doc: "Connect to the Service's cluster address and port and leave the choice of a pod to the cluster. A headless \
          Service has none: its endpoints are used.",
    read: |text, settings| {
        settings.service_upstream = value::switch(text)?;
        Ok(())
    },
};
