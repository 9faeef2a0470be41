//! The directory source: manifests in files, read at start and followed while they change.
//!
//! A thread of its own reads and waits, since both block. It reacts to what the kernel tells at once, lets a writer
//! finish, and looks at everything from time to time in case a notice was lost. Invariants: a file that cannot be read,
//! or not to its end, and an object that is refused keep what they last gave; only a file that is gone, or left alone
//! without an object, takes the object away.

mod file;
mod index;
mod once;
mod read;
#[cfg(test)]
mod tests;
mod tree;
mod watch;
mod worker;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::{mpsc, oneshot};

pub use once::{Listing, read_once};

use super::{Event, Source};
use worker::Worker;

/// Bounds on what is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Size of a file in octets; a larger one is not read. Default 64 MiB.
    pub file: u64,
    /// Objects of all files; files beyond it are not taken. Default 500,000.
    pub objects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file: 64 * 1024 * 1024, objects: 500_000 }
    }
}

/// A path that cannot be read at start.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct Unreadable {
    /// The path as it was given.
    pub path: PathBuf,
    /// The operating system's reason.
    pub source: io::Error,
}

/// Files and directories of manifests.
#[derive(Debug)]
pub struct Directory {
    roots: Vec<PathBuf>,
    limits: Limits,
    waker: SyncSender<Wake>,
    wakes: Receiver<Wake>,
}

/// Makes a [`Directory`] read everything again.
#[derive(Clone, Debug)]
pub struct Rescan(SyncSender<Wake>);

impl Rescan {
    /// Reads every file again, whether or not it seems to have changed.
    pub fn rescan(&self) {
        // A full queue means that everything is about to be looked at.
        drop(self.0.try_send(Wake::Rescan));
    }
}

/// What ends the worker's waiting.
#[derive(Debug)]
enum Wake {
    /// Something happened at a path.
    Hint(watch::Hint),
    /// Notices were lost.
    Lost,
    /// Watching failed.
    Failed(String),
    /// Somebody asks for everything to be read again.
    Rescan,
    /// Nobody listens any more.
    Stop,
}

impl Directory {
    /// A source of these files and directories, which must be readable now. Directories are read with everything below
    /// them: names that end in `.yaml`, `.yml` or `.json` and do not begin with a dot.
    pub fn new(roots: Vec<PathBuf>, limits: Limits) -> Result<Self, Unreadable> {
        for path in &roots {
            let probe = fs::metadata(path).and_then(|metadata| match metadata.is_dir() {
                true => fs::read_dir(path).map(drop),
                false => fs::File::open(path).map(drop),
            });
            probe.map_err(|source| Unreadable { path: path.clone(), source })?;
        }
        let (waker, wakes) = sync_channel(HINTS);
        Ok(Self { roots, limits, waker, wakes })
    }

    /// A handle that makes it read everything again.
    #[must_use]
    pub fn rescan(&self) -> Rescan {
        Rescan(self.waker.clone())
    }
}

impl Source for Directory {
    async fn run(self, events: mpsc::Sender<Event>) {
        let stop = StopOnDrop(self.waker.clone());
        let (done, ended) = oneshot::channel::<()>();
        let gone = events.clone();
        let spawned = thread::Builder::new().name("portico-files".to_owned()).spawn(move || {
            let _done = done;
            Worker::new(self.roots, self.limits, self.waker, self.wakes, events).run();
        });
        if let Err(error) = spawned {
            // The receiver is gone only when everything ends anyway.
            drop(gone.send(Event::Trouble(format!("cannot start the thread that reads manifests: {error}"))).await);
            return;
        }
        tokio::select! {
            _ = ended => {}
            () = gone.closed() => {}
        }
        drop(stop);
    }
}

struct StopOnDrop(SyncSender<Wake>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // A full queue is worked off, and then the closed receiver is found.
        drop(self.0.try_send(Wake::Stop));
    }
}

/// Hints that may wait for the worker.
const HINTS: usize = 16 * 1024;
