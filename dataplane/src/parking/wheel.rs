//! The deadlines of a worker's parked connections, to the second.
//!
//! Invariant: a handle is in the wheel at most once, and its spot says where.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::time::Instant;

use crate::protocol::Handle;

/// Parked connections by the second in which their time is over.
#[derive(Debug)]
pub(crate) struct Wheel {
    start: Instant,
    seconds: BTreeMap<u64, Vec<Rc<Handle>>>,
}

/// Where in the wheel a connection is: its second, and its place among those of the same.
#[derive(Debug, Default)]
pub(crate) struct Spot(Cell<Option<(u64, usize)>>);

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), seconds: BTreeMap::new() }
    }

    /// Notes that the connection's time is over at `at`, or up to a second later.
    pub(crate) fn insert(&mut self, handle: &Rc<Handle>, at: Instant) {
        self.remove(handle);
        handle.renew();
        let second = at.saturating_duration_since(self.start).as_secs() + 1;
        let same = self.seconds.entry(second).or_default();
        handle.spot.0.set(Some((second, same.len())));
        same.push(handle.clone());
    }

    /// Forgets a connection; nothing when it is not there.
    pub(crate) fn remove(&mut self, handle: &Rc<Handle>) {
        let Some((second, place)) = handle.spot.0.take() else { return };
        let Some(same) = self.seconds.get_mut(&second) else { return };
        same.swap_remove(place);
        if let Some(moved) = same.get(place) {
            moved.spot.0.set(Some((second, place)));
        } else if same.is_empty() {
            self.seconds.remove(&second);
        }
    }

    /// Takes out those whose time is over.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Rc<Handle>> {
        let second = now.saturating_duration_since(self.start).as_secs();
        let mut due = Vec::new();
        while let Some(first) = self.seconds.first_entry().filter(|first| *first.key() <= second) {
            due.extend(first.remove());
        }
        due.iter().for_each(|handle| handle.spot.0.set(None));
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_due_within_a_second_of_its_time_and_once() {
        let (mut wheel, now) = (Wheel::new(), Instant::now());
        let handles: Vec<_> = (0..4).map(|_| Rc::new(Handle::default())).collect();
        for (handle, milliseconds) in handles.iter().zip([500, 900, 900, 2500]) {
            wheel.insert(handle, now + Duration::from_millis(milliseconds));
        }
        wheel.remove(&handles[0]);
        wheel.remove(&handles[0]);
        wheel.insert(&handles[1], now + Duration::from_millis(3500));
        let mut due = |milliseconds| {
            let due = wheel.due(now + Duration::from_millis(milliseconds));
            due.iter().map(|due| handles.iter().position(|handle| Rc::ptr_eq(handle, due))).collect::<Vec<_>>()
        };
        assert_eq!(due(900), []);
        assert_eq!(due(1000), [Some(2)]);
        assert_eq!(due(2999), []);
        assert_eq!(due(9000), [Some(3), Some(1)]);
        assert_eq!(due(9000), []);
        assert!(wheel.seconds.is_empty(), "nothing stays behind");
        assert!(handles.iter().all(|handle| Rc::strong_count(handle) == 1));
    }
}
