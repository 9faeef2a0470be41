//! What appeared, and who tells of it: each problem once, by whoever leads.
//!
//! Knows no clock and no client. Every replica tracks what appears. Followers forget that something is new after
//! [`OLD`], which is longer than an election takes: a new leader tells what the old one may not have come to, and
//! nothing older.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use portico_shared::Code;

use super::problem::Problem;

/// The problems there are.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    known: HashMap<Problem, Entry>,
    begun: bool,
    /// Since when we lead.
    leading: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    appeared: Instant,
    /// It was there when we began to look.
    from_start: bool,
    told: bool,
}

/// A problem to tell of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) problem: Problem,
    /// Whether it appeared under our eyes as the leader: when it was told before it came again. Otherwise whoever led
    /// before us may have told of it.
    pub(super) ours: bool,
}

impl Tracker {
    /// Notes what there is at `now`; what is not there any more is forgotten.
    pub(super) fn observe(&mut self, problems: HashSet<Problem>, now: Instant) {
        self.known.retain(|problem, _| problems.contains(problem));
        let entry = Entry { appeared: now, from_start: !self.begun, told: false };
        for problem in problems {
            self.known.entry(problem).or_insert(entry);
        }
        self.begun = true;
    }

    /// Notes that we lead from `now` on, or do not.
    pub(super) fn lead(&mut self, leads: bool, now: Instant) {
        self.forget(now);
        self.leading = leads.then(|| self.leading.unwrap_or(now));
    }

    /// What to tell, which is then told, and when there will be more.
    pub(super) fn due(&mut self, now: Instant) -> (Vec<Due>, Option<Instant>) {
        let Some(leading) = self.leading else {
            self.forget(now);
            return (Vec::new(), None);
        };
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for (problem, entry) in self.known.iter_mut().filter(|(_, entry)| !entry.told) {
            let at = entry.appeared + settled(problem.code);
            if at <= now {
                entry.told = true;
                due.push(Due { problem: problem.clone(), ours: !entry.from_start && entry.appeared >= leading });
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        // The worst first, should there be too many.
        due.sort_by(|a, b| (a.problem.severity, &a.problem.object).cmp(&(b.problem.severity, &b.problem.object)));
        (due, next)
    }

    /// As a follower: what was there for long was told by another.
    fn forget(&mut self, now: Instant) {
        if self.leading.is_none() {
            self.known.values_mut().filter(|entry| now >= entry.appeared + OLD).for_each(|entry| entry.told = true);
        }
    }
}

/// How long a problem must last before it is told: objects that belong together arrive one by one, and a Service whose
/// only pod is replaced has no endpoint for a moment.
fn settled(code: Code) -> Duration {
    match code {
        Code::NoEndpoints => Duration::from_secs(5),
        _ => Duration::from_secs(1),
    }
}

/// Age at which a problem is no news to a follower.
pub(super) const OLD: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use portico_shared::{Kind, ObjectRef, Severity};

    use super::*;

    fn problem(code: Code, name: &str) -> Problem {
        let object = ObjectRef::new(Kind::Ingress, "n", name);
        Problem { object, related: None, severity: Severity::Error, code, note: "broken".into() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn told(tracker: &mut Tracker, now: Instant) -> Vec<(String, bool)> {
        let (due, _) = tracker.due(now);
        due.into_iter().map(|due| ((*due.problem.object.name).to_owned(), due.ours)).collect()
    }

    #[test]
    fn each_problem_is_told_once_when_it_lasts() {
        let start = Instant::now();
        let mut tracker = Tracker::default();
        tracker.observe(HashSet::new(), start);
        tracker.lead(true, start);
        let problems = HashSet::from([problem(Code::ServiceNotFound, "a"), problem(Code::NoEndpoints, "b")]);
        tracker.observe(problems.clone(), start);
        let (due, next) = tracker.due(start);
        assert_eq!((due, next), (Vec::new(), Some(start + seconds(1))));
        assert_eq!(told(&mut tracker, start + seconds(1)), [("a".to_owned(), true)]);
        assert_eq!(told(&mut tracker, start + seconds(5)), [("b".to_owned(), true)]);
        tracker.observe(problems.clone(), start + seconds(9));
        assert_eq!(told(&mut tracker, start + seconds(99)), []);
        // Healed, and there again.
        tracker.observe(HashSet::new(), start + seconds(100));
        tracker.observe(problems, start + seconds(101));
        assert_eq!(told(&mut tracker, start + seconds(102)), [("a".to_owned(), true)]);
    }

    #[test]
    fn what_heals_at_once_is_not_told() {
        let start = Instant::now();
        let mut tracker = Tracker::default();
        tracker.lead(true, start);
        tracker.observe(HashSet::from([problem(Code::ServiceNotFound, "a")]), start);
        tracker.observe(HashSet::new(), start + Duration::from_millis(300));
        assert_eq!(tracker.due(start + seconds(9)), (Vec::new(), None));
    }

    #[test]
    fn new_leader_tells_what_is_young_only() {
        let start = Instant::now();
        let mut tracker = Tracker::default();
        tracker.observe(HashSet::from([problem(Code::ServiceNotFound, "old")]), start);
        let both = HashSet::from([problem(Code::ServiceNotFound, "old"), problem(Code::ServiceNotFound, "young")]);
        tracker.observe(both, start + seconds(10));
        assert_eq!(told(&mut tracker, start + seconds(15)), []);
        tracker.lead(true, start + OLD + seconds(1));
        assert_eq!(told(&mut tracker, start + OLD + seconds(1)), [("young".to_owned(), false)]);
    }

    #[test]
    fn what_was_there_at_the_start_may_have_been_told_by_others() {
        let start = Instant::now();
        let mut tracker = Tracker::default();
        tracker.lead(true, start);
        tracker.observe(HashSet::from([problem(Code::ServiceNotFound, "a")]), start + seconds(1));
        assert_eq!(told(&mut tracker, start + seconds(3)), [("a".to_owned(), false)]);
    }

    #[test]
    fn who_lost_the_lease_tells_nothing() {
        let start = Instant::now();
        let mut tracker = Tracker::default();
        tracker.lead(true, start);
        tracker.lead(false, start + seconds(1));
        tracker.observe(HashSet::from([problem(Code::ServiceNotFound, "a")]), start + seconds(2));
        assert_eq!(told(&mut tracker, start + seconds(9)), []);
        tracker.lead(true, start + seconds(10));
        assert_eq!(told(&mut tracker, start + seconds(10)), [("a".to_owned(), false)]);
    }
}
