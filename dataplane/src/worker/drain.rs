//! The stages of a worker's life, told to all workers by one channel.

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Worker;
use crate::protocol::Leave;

/// What the workers are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// No table yet: clients are refused.
    Waiting,
    /// Accept and serve.
    Serving,
    /// Accept and serve, but ask clients to go elsewhere.
    Leaving,
    /// Accept no more and finish what is in flight.
    Finishing,
    /// Cut what is left.
    Cutting,
}

/// Sender of the stages.
pub(crate) type Stages = watch::Sender<Stage>;

impl Worker {
    /// Follows the stages to the end; returns when no connection is left, with the upgraded ones that were cut.
    /// `entrances` are the tasks by which connections come in; they end by themselves.
    pub(super) async fn follow(&self, mut stages: watch::Receiver<Stage>, entrances: Vec<JoinHandle<()>>) -> u64 {
        reached(&mut stages, Stage::Leaving).await;
        self.leaving.set(true);
        reached(&mut stages, Stage::Finishing).await;
        for entrance in entrances {
            // One that panicked lets nobody in any more either.
            let _ = entrance.await;
        }
        // What has reached the sockets is read before connections are told to close.
        tokio::task::yield_now().await;
        let mut tick = tokio::time::interval(TICK);
        while !self.idle() {
            if reached(&mut stages, Stage::Cutting).now_or_never().is_some() {
                self.tell(Leave::AtOnce);
                // Upgraded connections have no driver; those that cannot be told end with the runtime.
                let upgraded = self.metrics.upgrades_active.get();
                self.cutting.notify_waiters();
                for _ in 0..FAREWELLS {
                    tick.reset();
                    tick.tick().await;
                    if self.metrics.upgrades_active.get() == 0 {
                        break;
                    }
                }
                return upgraded;
            }
            self.tell(Leave::Gracefully);
            tick.tick().await;
        }
        0
    }

    /// Whether there is nobody to wait for.
    fn idle(&self) -> bool {
        self.connections.borrow().is_empty() && self.metrics.requests_in_flight.get() == 0
    }

    pub(super) fn tell(&self, leave: Leave) {
        for (_, connection) in self.connections.borrow().iter() {
            connection.leave(leave);
        }
    }
}

/// Waits for a stage or a later one. A sender that is gone means the end.
pub(super) async fn reached(stages: &mut watch::Receiver<Stage>, stage: Stage) {
    let _ = stages.wait_for(|now| *now >= stage).await;
}

/// Ticks that upgraded connections are given to take their leave.
const FAREWELLS: u32 = 4;
/// How often the end of the drain is looked for.
const TICK: std::time::Duration = std::time::Duration::from_millis(20);
