//! How long to wait before something is tried again that was answered with an error.

use std::time::Duration;

/// Growing, jittered waits: from 1 s to 30 s, or to 1 s while the API has only just come up, when it refuses for a moment
/// what it will soon allow.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    young: u32,
    grown: u32,
}

impl Patience {
    /// The next wait. `young`: the API has only just come up. `asked`: how long it wants to be left alone.
    pub fn next(&mut self, young: bool, asked: Option<Duration>) -> Duration {
        let (tries, first, longest) =
            if young { (&mut self.young, YOUNG_FIRST, FIRST) } else { (&mut self.grown, FIRST, LONGEST) };
        let wait = first.saturating_mul(1 << (*tries).min(16)).min(longest);
        *tries += 1;
        jittered(wait).max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }

    /// It worked.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing failed since it worked last.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.young == 0 && self.grown == 0
    }
}

/// Between two thirds and all of `longest`.
pub(crate) fn jittered(longest: Duration) -> Duration {
    longest.mul_f64(fastrand::f64().mul_add(1.0 / 3.0, 2.0 / 3.0))
}

const YOUNG_FIRST: Duration = Duration::from_millis(200);
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// However long the API wants to be left alone.
const LONGEST_ASKED: Duration = Duration::from_secs(60);
