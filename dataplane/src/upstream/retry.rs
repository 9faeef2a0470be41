//! When a request may be tried again, and how many of them may.

use std::cell::Cell;

/// Bounds retries to a share of the requests of one upstream on one worker, so that a failing upstream does not get
/// several times its load. A small reserve lets rare requests be retried too.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    /// Retries that may be made now, in hundredths.
    hundredths: Cell<u32>,
    percent: u32,
}

impl RetryBudget {
    pub(crate) fn new(percent: u32) -> Self {
        Self { hundredths: Cell::new(RESERVE), percent }
    }

    /// A first try adds its share.
    pub(crate) fn deposit(&self) {
        self.hundredths.set((self.hundredths.get() + self.percent).min(MOST));
    }

    /// Takes one retry, if there is one.
    pub(crate) fn withdraw(&self) -> bool {
        let left = self.hundredths.get().checked_sub(100);
        if let Some(left) = left {
            self.hundredths.set(left);
        }
        left.is_some()
    }
}

/// Retries at the start: 10.
const RESERVE: u32 = 1_000;
/// Retries that can be saved up: 100.
const MOST: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_requests_after_the_reserve() {
        let budget = RetryBudget::new(20);
        assert_eq!((0..20).filter(|_| budget.withdraw()).count(), 10);
        let retried = (0..1000).filter(|_| {
            budget.deposit();
            budget.withdraw()
        });
        assert_eq!(retried.count(), 200);
    }
}
