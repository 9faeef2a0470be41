//! The queue and the thread behind it.
//!
//! The thread sleeps until a line comes and then gathers for [`GATHER`] before it writes, so that under load a line costs
//! a worker no wake-up of another thread. Invariant: at most [`LINES`] lines and [`OCTETS`] octets are queued.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};

/// The workers' end of the queue.
#[derive(Debug)]
pub(super) struct Writer {
    lines: Sender<Vec<u8>>,
    used: Receiver<Vec<u8>>,
    stop: Sender<()>,
    ended: Receiver<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    octets: AtomicUsize,
    dropped: AtomicU64,
}

impl Writer {
    pub(super) fn start(out: Box<dyn Write + Send>) -> Self {
        let (lines, queued) = bounded(LINES);
        let (give_back, used) = bounded(USED);
        let (stop, stopped) = bounded(1);
        let (end, ended) = bounded(1);
        let shared = Arc::new(Shared::default());
        let thread = Thread { queued, give_back, stopped, shared: shared.clone(), out, batch: Vec::new() };
        let run = move || {
            thread.run();
            drop(end);
        };
        if let Err(error) = thread::Builder::new().name("access-log".into()).spawn(run) {
            tracing::error!(%error, "the access log's thread cannot be started; nothing is logged");
        }
        Self { lines, used, stop, ended, shared }
    }

    /// An empty buffer, one that was used before where there is one.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.used.try_recv().unwrap_or_default()
    }

    /// Queues a line or drops and counts it.
    pub(super) fn queue(&self, line: Vec<u8>) {
        let length = line.len();
        let fits = self.shared.octets.fetch_add(length, Relaxed) + length <= OCTETS;
        if !fits || self.lines.try_send(line).is_err() {
            self.shared.octets.fetch_sub(length, Relaxed);
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Asks the thread to write what is queued and end; whether it did within `timeout`.
    pub(super) fn stop(&self, timeout: Duration) -> bool {
        // Full means that somebody asked before.
        let _ = self.stop.try_send(());
        matches!(self.ended.recv_timeout(timeout), Err(RecvTimeoutError::Disconnected))
    }
}

struct Thread {
    queued: Receiver<Vec<u8>>,
    give_back: Sender<Vec<u8>>,
    stopped: Receiver<()>,
    shared: Arc<Shared>,
    out: Box<dyn Write + Send>,
    batch: Vec<u8>,
}

impl Thread {
    /// Ends when asked to or when the last handle is gone.
    fn run(mut self) {
        loop {
            let first = select! {
                recv(self.queued) -> line => line.ok(),
                recv(self.stopped) -> _ => None,
            };
            let Some(first) = first else { break };
            // Gathering ends early when the log is stopped.
            let stop = self.stopped.recv_timeout(GATHER) != Err(RecvTimeoutError::Timeout);
            self.write_queued(Some(first));
            if stop {
                break;
            }
        }
        self.write_queued(None);
    }

    /// Writes `first` and everything queued now.
    fn write_queued(&mut self, first: Option<Vec<u8>>) {
        let mut count = 0;
        let queued = self.queued.clone();
        for line in first.into_iter().chain(queued.try_iter()) {
            self.shared.octets.fetch_sub(line.len(), Relaxed);
            self.batch.extend_from_slice(&line);
            count += 1;
            self.recycle(line);
            if self.batch.len() >= BATCH {
                self.write_batch(std::mem::take(&mut count));
            }
        }
        self.write_batch(count);
    }

    fn write_batch(&mut self, lines: u64) {
        if lines > 0 && self.out.write_all(&self.batch).and_then(|()| self.out.flush()).is_err() {
            self.shared.dropped.fetch_add(lines, Relaxed);
        }
        self.batch.clear();
    }

    /// Offers a line's memory to the workers again.
    fn recycle(&self, mut line: Vec<u8>) {
        if line.capacity() <= KEPT {
            line.clear();
            drop(self.give_back.try_send(line));
        }
    }
}

/// Lines queued at most.
const LINES: usize = 8192;
/// Octets queued at most.
const OCTETS: usize = 16 * 1024 * 1024;
/// Buffers kept for reuse.
const USED: usize = 512;
/// Largest buffer kept for reuse, in octets.
const KEPT: usize = 4096;
/// Octets written at once, about.
const BATCH: usize = 64 * 1024;
/// How long lines are gathered.
const GATHER: Duration = Duration::from_millis(20);
