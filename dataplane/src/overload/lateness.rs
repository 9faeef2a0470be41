//! How late a worker is: the time that a task which is due waits for its turn, and what is refused for it.
//!
//! A worker that has more to do than time lets everybody wait alike. Up to a point that is right, because no work is
//! wasted; beyond it answers come when nobody waits for them any more. Refusing costs time, too - a third of what
//! forwarding does - so no more than one request for every two that are served is refused: what is served stays above
//! four fifths of what could be.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// One worker's lateness and what it allows.
#[derive(Debug)]
pub(crate) struct Lateness {
    /// From which on requests are refused; zero never refuses.
    most: Duration,
    shedding: Cell<bool>,
    /// Looks in a row at which it was too late: a machine that stood still for a moment is no overload.
    row: Cell<u32>,
    /// Refusals that the requests served so far allow, in halves.
    credit: Cell<u32>,
}

impl Lateness {
    pub(crate) fn new(most: Duration) -> Self {
        Self { most, shedding: Cell::new(false), row: Cell::new(0), credit: Cell::new(0) }
    }

    /// Whether a request that has come may be served.
    pub(crate) fn admit(&self) -> bool {
        if !self.shedding.get() {
            return true;
        }
        let credit = self.credit.get();
        if credit >= PRICE {
            self.credit.set(credit - PRICE);
            return false;
        }
        self.credit.set(credit + 1);
        true
    }

    /// Takes note of how late the worker is now.
    fn note(&self, late: Duration) {
        let bound = if self.shedding.get() { self.most / 2 } else { self.most };
        let row = if !self.most.is_zero() && late > bound { self.row.get().saturating_add(1) } else { 0 };
        self.row.set(row);
        self.shedding.set(row >= ROW);
    }

    /// Measures for ever; tells each result.
    pub(crate) async fn measure(&self, tell: impl Fn(Duration)) {
        loop {
            let due = Instant::now() + TICK;
            sleep_until(due).await;
            let late = due.elapsed().saturating_sub(GRAIN);
            self.note(late);
            tell(late);
        }
    }
}

/// Requests that are served for each one refused.
const PRICE: u32 = 2;
/// Looks in a row that make an overload.
const ROW: u32 = 3;
/// Time between two looks.
const TICK: Duration = Duration::from_millis(100);
/// What a timer may be late without anybody being busy.
const GRAIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_millis(500);

    #[test]
    fn a_third_is_refused_while_it_is_late_and_none_otherwise() {
        let lateness = Lateness::new(MOST);
        let admitted = || (0..300).filter(|_| lateness.admit()).count();
        lateness.note(MOST);
        assert_eq!(admitted(), 300);
        for _ in 1..ROW {
            lateness.note(MOST * 2);
            assert_eq!(admitted(), 300, "not yet");
        }
        lateness.note(MOST * 2);
        assert_eq!(admitted(), 200);
        lateness.note(MOST - Duration::from_millis(1));
        assert_eq!(admitted(), 200, "it ends at half of it");
        lateness.note(MOST / 2);
        assert_eq!(admitted(), 300);
    }

    #[test]
    fn zero_never_refuses() {
        let lateness = Lateness::new(Duration::ZERO);
        (0..9).for_each(|_| lateness.note(Duration::from_secs(60)));
        assert!((0..300).all(|_| lateness.admit()));
    }

    #[tokio::test]
    async fn a_busy_thread_is_late() {
        let lateness = Lateness::new(MOST);
        let seen = Cell::new(Duration::ZERO);
        let busy = async {
            tokio::task::yield_now().await;
            let begun = Instant::now();
            while begun.elapsed() < TICK * 3 {}
            tokio::time::sleep(TICK).await;
        };
        tokio::select! {
            () = lateness.measure(|late| seen.set(seen.get().max(late))) => {}
            () = busy => {}
        }
        assert!(seen.get() > TICK, "{:?}", seen.get());
    }
}
