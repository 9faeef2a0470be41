//! When the change happened that an EndpointSlice tells of.
//!
//! Kubernetes writes it into an annotation of the slice: the latest moment at which one of its pods became ready or ceased
//! to be, or its Service was made, and takes it away when it knows none. It is cut to whole seconds, so what is measured
//! from it is up to a second too long, and it is another machine's clock.

use std::time::SystemTime;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;

/// RFC 3339; written by the controllers of EndpointSlices since Kubernetes 1.16.
const ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The moment, when it is news: later than what the version before had.
pub(super) fn news(before: Option<&EndpointSlice>, after: &EndpointSlice) -> Option<SystemTime> {
    let moment = read(after)?;
    before.and_then(read).is_none_or(|before| before < moment).then(|| moment.into())
}

fn read(slice: &EndpointSlice) -> Option<Timestamp> {
    slice.metadata.annotations.as_ref()?.get(ANNOTATION)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn slice(moment: &str) -> EndpointSlice {
        let mut slice = EndpointSlice::default();
        slice.metadata.annotations = Some([(ANNOTATION.to_owned(), moment.to_owned())].into());
        slice
    }

    #[test]
    fn only_a_later_moment_is_news() {
        let none = EndpointSlice::default();
        let [older, newer] = ["2026-01-02T03:04:05Z", "2026-01-02T04:04:05.5+01:00"].map(slice);
        let moment = |seconds| Some(UNIX_EPOCH + Duration::from_secs_f64(seconds));
        for (before, after, expected) in [
            (None, &older, moment(1_767_323_045.0)),
            (Some(&none), &older, moment(1_767_323_045.0)),
            (Some(&older), &newer, moment(1_767_323_045.5)),
            (Some(&older), &older, None),
            (Some(&newer), &older, None),
            (Some(&older), &none, None),
            (None, &slice("yesterday"), None),
            (None, &slice(""), None),
        ] {
            assert_eq!(news(before, after), expected, "{before:?} {after:?}");
        }
    }
}
