//! How long a request may wait.

use crate::annotation::registry::Annotation;
use crate::annotation::settings::RouteSettings;
use crate::annotation::value;

/// Longest wait for the response head.
pub(in crate::annotation) const REQUEST_TIMEOUT: Annotation<RouteSettings> = Annotation {
    key: "request-timeout",
    values: "a duration above zero such as `30s`, `2m`, `500ms`, `1m30s`, or bare seconds",
    default: "60s",
    guards: false,
    doc: "Longest wait for the head of a response, all tries together; on breach the client gets 504.",
    read: |text, settings| {
        settings.request_timeout = Some(value::duration(text)?);
        Ok(())
    },
};
