//! Events that wait: warnings before others, no more than so many, and no more than so many of one object.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use portico_shared::ObjectRef;

use super::bucket::Bucket;
use super::event::Telling;

/// Events that wait to be sent.
#[derive(Debug)]
pub(super) struct Queue {
    warnings: VecDeque<Waiting>,
    others: VecDeque<Waiting>,
    objects: HashMap<ObjectRef, Bucket>,
    all: Bucket,
}

/// An Event that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) telling: Telling,
    /// How often sending it failed.
    pub(super) failures: u32,
}

impl Queue {
    pub(super) fn new(now: Instant) -> Self {
        let (warnings, others, objects) = Default::default();
        Self { warnings, others, objects, all: Bucket::new(BURST, PER_SECOND, now) }
    }

    /// Adds an Event, unless there are too many already.
    pub(super) fn push(&mut self, telling: Telling, now: Instant) -> bool {
        let line = if telling.warning { &mut self.warnings } else { &mut self.others };
        if line.len() >= LONGEST || !allowed(&mut self.objects, &telling.object, now) {
            return false;
        }
        line.push_back(Waiting { telling, failures: 0 });
        true
    }

    /// Puts back what could not be sent, to be first again.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        let line = if waiting.telling.warning { &mut self.warnings } else { &mut self.others };
        line.push_front(waiting);
    }

    /// When the next may be sent.
    pub(super) fn ready(&mut self, now: Instant) -> Instant {
        self.all.ready(now)
    }

    /// The next to send, if one may be sent.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Waiting> {
        if self.is_empty() || !self.all.take(now) {
            return None;
        }
        self.warnings.pop_front().or_else(|| self.others.pop_front())
    }

    pub(super) fn clear(&mut self) {
        self.warnings.clear();
        self.others.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.warnings.len() + self.others.len()
    }
}

/// Whether `object` may have one more Event.
fn allowed(objects: &mut HashMap<ObjectRef, Bucket>, object: &ObjectRef, now: Instant) -> bool {
    if objects.len() >= OBJECTS {
        objects.retain(|_, bucket| !bucket.is_full(now));
    }
    if objects.len() >= OBJECTS && !objects.contains_key(object) {
        return false;
    }
    objects.entry(object.clone()).or_insert_with(|| Bucket::new(OBJECT_BURST, OBJECT_PER_SECOND, now)).take(now)
}

/// Events of all objects: at once, and a second after that.
const BURST: u32 = 100;
const PER_SECOND: f64 = 10.0;
/// Events of one object: at once, and a second after that (one in 30 s).
const OBJECT_BURST: u32 = 10;
const OBJECT_PER_SECOND: f64 = 1.0 / 30.0;
/// Objects that had Events of late, the most.
const OBJECTS: usize = 10_000;
/// Events of one kind that wait, the most.
const LONGEST: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portico_shared::Kind;

    use super::*;

    fn telling(name: &str, warning: bool) -> Telling {
        let object = ObjectRef::new(Kind::Ingress, "n", name);
        let (uid, note) = (String::new(), "x".into());
        Telling { object, uid, related: None, warning, reason: "R", action: "A", note, repeats: true }
    }

    #[test]
    fn warnings_go_first() {
        let now = Instant::now();
        let mut queue = Queue::new(now);
        assert!(queue.push(telling("a", false), now) && queue.push(telling("b", true), now));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop(now)).map(|it| it.telling.object.name).collect();
        assert_eq!(order.iter().map(|name| &**name).collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn one_object_cannot_crowd_out_others_and_nothing_grows() {
        let now = Instant::now();
        let mut queue = Queue::new(now);
        assert_eq!((0..50).filter(|_| queue.push(telling("a", true), now)).count(), OBJECT_BURST as usize);
        let later = now + Duration::from_secs(31);
        assert_eq!((queue.push(telling("a", true), later), queue.push(telling("a", true), later)), (true, false));
        let pushed = (0..5000).filter(|i| queue.push(telling(&format!("o{i}"), true), later)).count();
        assert_eq!((pushed, queue.len()), (LONGEST - OBJECT_BURST as usize - 1, LONGEST));
        assert_eq!(std::iter::from_fn(|| queue.pop(later)).count(), BURST as usize);
        assert_eq!(queue.ready(later), later + Duration::from_millis(100));
    }
}
