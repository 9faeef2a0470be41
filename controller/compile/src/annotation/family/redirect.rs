//! Getting clients to HTTPS.

use crate::annotation::registry::Annotation;
use crate::annotation::settings::RouteSettings;
use crate::annotation::value;

/// Redirect from plain HTTP.
pub(in crate::annotation) const HTTPS_REDIRECT: Annotation<RouteSettings> = Annotation {
    key: "https-redirect",
    values: "`true` or `false`",
    default: "`--https-redirect` on hosts with TLS",
    guards: true,
    doc: "Whether plain HTTP is answered with a 308 to HTTPS. `true` holds for every host of the Ingress, also one \
          without TLS of its own; `false` overrides the flag.",
    read: |text, settings| {
        settings.https_redirect = Some(value::switch(text)?);
        Ok(())
    },
};
