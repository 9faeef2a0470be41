//! What rings when an answer takes too long.
//!
//! Setting a timer and taking it back costs a request more than waiting does. So the requests of an HTTP/1 connection, of
//! which there is one at a time, share one that stays set; it knows nothing of what it is for. Invariant: it rings no
//! later than asked for. It may ring earlier: whoever takes it looks at the clock then.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// The timer of a connection between two uses.
#[derive(Default)]
pub(crate) struct Alarm(Cell<Option<Pin<Box<Sleep>>>>);

impl Alarm {
    /// Takes it for one use.
    pub(super) fn take(&self, by: Instant) -> Pin<Box<Sleep>> {
        let kept = self.0.take().filter(|sleep| !sleep.is_elapsed());
        let mut sleep = kept.unwrap_or_else(|| Box::pin(sleep_until(by)));
        if by < sleep.deadline() {
            sleep.as_mut().reset(by);
        }
        sleep
    }

    /// Keeps it for the next use, which must be by the same task: that is whom it wakes.
    pub(super) fn keep(&self, sleep: Pin<Box<Sleep>>) {
        self.0.set(Some(sleep));
    }

    /// Gives it up.
    pub(crate) fn put_off(&self) {
        self.0.take();
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").finish_non_exhaustive()
    }
}
