//! What a Lease object says and what follows from it: plain values in, a decision out.
//!
//! Knows no client and reads no clock. Whether a holder is gone is judged by how long its record has not changed on
//! *our* monotonic clock; the times in the record are for people and are never compared.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;

/// A Lease and since when it has looked like that.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    /// The object as it was read or written last.
    pub(super) lease: Lease,
    /// When it was first seen like that.
    since: Instant,
}

/// What to do about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is ours: renew it.
    Renew,
    /// Nobody holds it, or its holder is gone: take it.
    Take,
    /// Somebody holds it, at least until then.
    Held(Instant),
}

impl Observed {
    /// A Lease seen at `now`; what did not change keeps the time it was first seen at.
    pub(super) fn update(before: Option<Self>, lease: Lease, now: Instant) -> Self {
        let since = match before {
            Some(before) if unchanged(&before.lease, &lease) => before.since,
            _ => now,
        };
        Self { lease, since }
    }

    /// Who holds it; nobody when the field is empty.
    pub(super) fn holder(&self) -> Option<&str> {
        spec(&self.lease)?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// What to do as `identity`.
    pub(super) fn judge(&self, identity: &str, now: Instant) -> Verdict {
        match self.holder() {
            None => Verdict::Take,
            Some(holder) if holder == identity => Verdict::Renew,
            Some(_) => {
                let until = self.since + self.promised();
                if now >= until { Verdict::Take } else { Verdict::Held(until) }
            }
        }
    }

    /// How long the holder said it would stay away at most. What nobody sensible writes is brought into bounds, so
    /// that a bad record can neither start a fight nor stop elections.
    fn promised(&self) -> Duration {
        let seconds = spec(&self.lease).and_then(|spec| spec.lease_duration_seconds).unwrap_or(SHORTEST);
        Duration::from_secs(seconds.clamp(SHORTEST, LONGEST).unsigned_abs().into())
    }

    /// The object to write in order to hold it as `identity` from `now` on (wall clock, for people).
    pub(super) fn claimed(&self, identity: &str, duration: Duration, now: Timestamp) -> Lease {
        let before = spec(&self.lease).cloned().unwrap_or_default();
        let ours = self.holder() == Some(identity);
        let transitions = before.lease_transitions.unwrap_or_default();
        let spec = LeaseSpec {
            holder_identity: Some(identity.to_owned()),
            lease_duration_seconds: Some(seconds(duration)),
            acquire_time: before.acquire_time.filter(|_| ours).or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if ours { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        };
        Lease { metadata: self.lease.metadata.clone(), spec: Some(spec) }
    }

    /// The object to write in order to let it go.
    pub(super) fn released(&self, now: Timestamp) -> Lease {
        let before = spec(&self.lease).cloned().unwrap_or_default();
        let spec = LeaseSpec { holder_identity: Some(String::new()), renew_time: Some(MicroTime(now)), ..before };
        Lease { metadata: self.lease.metadata.clone(), spec: Some(spec) }
    }
}

/// The first object of a Lease that does not exist.
pub(super) fn created(name: &str, identity: &str, duration: Duration, now: Timestamp) -> Lease {
    let spec = LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(seconds(duration)),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(0),
        ..LeaseSpec::default()
    };
    Lease { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, spec: Some(spec) }
}

/// Any write moves the version; a store that was set back may bring an old version with other content.
fn unchanged(before: &Lease, after: &Lease) -> bool {
    before.metadata.resource_version == after.metadata.resource_version && before.spec == after.spec
}

fn spec(lease: &Lease) -> Option<&LeaseSpec> {
    lease.spec.as_ref()
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(LONGEST).clamp(1, LONGEST)
}

/// Bounds of what a record may promise, seconds.
const SHORTEST: i32 = 1;
const LONGEST: i32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(12);

    fn lease(holder: &str, seconds: Option<i32>, version: &str) -> Lease {
        let mut lease = created("l", holder, DURATION, Timestamp::UNIX_EPOCH);
        lease.metadata.resource_version = Some(version.to_owned());
        if let Some(spec) = &mut lease.spec {
            spec.lease_duration_seconds = seconds;
        }
        lease
    }

    #[test]
    fn holder_is_gone_when_its_record_stands_still_on_our_clock() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let seen = Observed::update(None, lease("a", Some(12), "1"), start);
        assert_eq!(seen.judge("b", at(11)), Verdict::Held(at(12)));
        assert_eq!(seen.judge("b", at(12)), Verdict::Take);
        assert_eq!(seen.judge("a", at(99)), Verdict::Renew);
        let same = Observed::update(Some(seen.clone()), lease("a", Some(12), "1"), at(8));
        assert_eq!(same.judge("b", at(8)), Verdict::Held(at(12)), "seeing it again is no renewal");
        let renewed = Observed::update(Some(seen), lease("a", Some(12), "2"), at(8));
        assert_eq!(renewed.judge("b", at(12)), Verdict::Held(at(20)));
    }

    #[test]
    fn times_in_the_record_are_never_compared() {
        let start = Instant::now();
        let mut long_ago = lease("a", Some(12), "1");
        if let Some(spec) = &mut long_ago.spec {
            spec.renew_time = Some(MicroTime(Timestamp::UNIX_EPOCH));
        }
        let seen = Observed::update(None, long_ago, start);
        assert_eq!(seen.judge("b", start), Verdict::Held(start + DURATION));
    }

    #[test]
    fn odd_promises_are_brought_into_bounds() {
        let start = Instant::now();
        for (promised, waits) in [(None, 1), (Some(-5), 1), (Some(0), 1), (Some(3600), 60), (Some(i32::MIN), 1)] {
            let seen = Observed::update(None, lease("a", promised, "1"), start);
            assert_eq!(seen.judge("b", start), Verdict::Held(start + Duration::from_secs(waits)), "{promised:?}");
        }
    }

    #[test]
    fn taking_counts_a_transition_and_renewing_none() {
        let start = Instant::now();
        let theirs = Observed::update(None, lease("a", Some(12), "7"), start);
        let taken = theirs.claimed("b", DURATION, Timestamp::UNIX_EPOCH);
        let spec = taken.spec.clone().unwrap_or_default();
        assert_eq!((spec.lease_transitions, spec.holder_identity.as_deref()), (Some(1), Some("b")));
        assert_eq!(taken.metadata.resource_version.as_deref(), Some("7"), "so that only one of two takers wins");
        let ours = Observed::update(None, taken, start);
        let renewed = ours.claimed("b", DURATION, Timestamp::UNIX_EPOCH).spec.unwrap_or_default();
        assert_eq!((renewed.lease_transitions, renewed.acquire_time), (Some(1), spec.acquire_time));
        let released = Observed::update(None, ours.released(Timestamp::UNIX_EPOCH), start);
        assert_eq!((released.holder(), released.judge("c", start)), (None, Verdict::Take));
    }
}
