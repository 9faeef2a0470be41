//! What a worker does while there is not enough memory or time, beside refusing requests.

use std::rc::Rc;
use std::time::Duration;

use super::Worker;
use crate::overload::Level;
use crate::protocol::Leave;

impl Worker {
    /// Lets go of connections that wait for a request while requests are refused for want of memory, and of clients that
    /// do not take what they asked for while nobody is accepted.
    pub(super) async fn relieve(self: Rc<Self>) {
        let mut levels = self.overload.changes();
        // The worker keeps the sender.
        while levels.wait_for(|level| *level >= Level::Refusing).await.is_ok() {
            while self.overload.level() >= Level::Refusing {
                self.tell(Leave::Gracefully);
                self.press(self.overload.level() >= Level::Closed);
                tokio::time::sleep(TICK).await;
            }
            self.press(false);
        }
    }

    fn press(&self, on: bool) {
        for (_, connection) in self.connections.borrow().iter() {
            connection.press(on);
        }
    }

    /// Keeps looking how late the worker is.
    pub(super) async fn measure(self: Rc<Self>) {
        let tell = |late: Duration| self.metrics.lateness.set(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
        self.lateness.measure(tell).await;
    }
}

/// How often connections are told.
const TICK: Duration = Duration::from_millis(250);
