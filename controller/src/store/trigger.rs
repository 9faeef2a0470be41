//! When the change happened that an EndpointSlice tells of.
//!
//! Kubernetes writes it into an annotation of the slice: the latest moment at which one of its pods became ready or ceased
//! to be, or its Service was made, and takes it away when it knows none. It is cut to whole seconds, so what is measured
//! from it is up to a second too long, and it is another machine's clock.

use std::time::SystemTime;

use k8s_openapi::jiff::Timestamp;
use portico_compile::Slice;

/// The moment, when it is news: later than what the version before had.
pub(super) fn news(before: Option<&Slice>, after: &Slice) -> Option<SystemTime> {
    let moment = read(after)?;
    before.and_then(read).is_none_or(|before| before < moment).then(|| moment.into())
}

fn read(slice: &Slice) -> Option<Timestamp> {
    slice.changed.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn slice(moment: &str) -> Slice {
        let mut slice = Slice::default();
        slice.changed = Some(moment.into());
        slice
    }

    #[test]
    fn only_a_later_moment_is_news() {
        let none = Slice::default();
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
