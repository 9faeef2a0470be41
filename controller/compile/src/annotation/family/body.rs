//! How much a request may carry.

use crate::annotation::registry::Annotation;
use crate::annotation::settings::RouteSettings;
use crate::annotation::value;

/// Largest request body.
pub(in crate::annotation) const MAX_BODY_SIZE: Annotation<RouteSettings> = Annotation {
    key: "max-body-size",
    values: "octets, or a number with `k`, `m`, `g` (powers of 1000) or `Ki`, `Mi`, `Gi` (powers of 1024)",
    default: "unlimited",
    guards: true,
    doc: "Largest request body; a larger one is answered 413. `0` refuses every body.",
    read: |text, settings| {
        settings.max_body_size = Some(value::size(text)?);
        Ok(())
    },
};
