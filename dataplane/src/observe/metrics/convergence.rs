//! How long changes of endpoints take until they matter.
//!
//! Knows moments and not whose they are. They come from another machine's clock, so what cannot be is left out: a moment
//! that has not come yet, and one so long ago that it says more of the clocks, or of a lack of requests, than of us.

use std::time::{Duration, SystemTime};

use super::cell::{Histogram, HistogramTotals};

/// Times since changes happened.
#[derive(Debug, Default)]
pub struct Convergence(Histogram);

impl Convergence {
    /// Counts the time from a change to now, if it can be believed.
    pub fn record(&self, changed: SystemTime) {
        if let Some(age) = SystemTime::now().duration_since(changed).ok().filter(|age| *age <= LONGEST) {
            self.0.record(age);
        }
    }

    /// Adds what was counted so far to `totals`.
    pub(super) fn add_to(&self, totals: &mut HistogramTotals) {
        self.0.add_to(totals);
    }
}

/// What took longer is left out.
const LONGEST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_moments_that_can_be_believed_count() {
        let (convergence, now) = (Convergence::default(), SystemTime::now());
        let second = Duration::from_secs(1);
        for moment in [now + 60 * second, now - LONGEST - second, SystemTime::UNIX_EPOCH, now - 2 * second] {
            convergence.record(moment);
        }
        let mut totals = HistogramTotals::default();
        convergence.add_to(&mut totals);
        assert_eq!(totals.count(), 1);
        assert!((2.0..30.0).contains(&totals.seconds()), "{}", totals.seconds());
    }
}
