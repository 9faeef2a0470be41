//! Watching: what the kernel tells, reduced to what matters here.
//!
//! Directories are watched one by one under their real paths, because one inode has one watch. An event is a hint where to
//! look, never a fact about content. Hints that the queue cannot hold become one hint to look at everything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::Wake;

/// Something happened at a real path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    /// Where.
    pub(super) path: PathBuf,
    /// What.
    pub(super) what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Somebody is writing and has not closed it.
    Writing,
    /// A writer closed it.
    Closed,
    /// A name came, went or now means another file.
    Moved,
    /// Rights or times.
    Touched,
}

/// The set of watched directories.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    lost: Arc<AtomicBool>,
}

impl Watch {
    /// A watch that hands its hints to `wakes`.
    pub(super) fn new(wakes: SyncSender<Wake>) -> notify::Result<Self> {
        let lost = Arc::new(AtomicBool::new(false));
        let overflow = lost.clone();
        let watcher = notify::recommended_watcher(move |event| {
            for wake in translate(event) {
                if wakes.try_send(wake).is_err() {
                    overflow.store(true, Ordering::Relaxed);
                }
            }
        })?;
        Ok(Self { watcher, watched: BTreeSet::new(), lost })
    }

    /// Whether hints were lost since the last call.
    pub(super) fn lost(&self) -> bool {
        self.lost.swap(false, Ordering::Relaxed)
    }

    /// Watches exactly these directories. Returns the new ones, in which something may have happened before, and why
    /// others cannot be watched.
    pub(super) fn set(&mut self, directories: BTreeSet<PathBuf>) -> (bool, Option<notify::Error>) {
        let (mut added, mut failure) = (false, None);
        for gone in self.watched.difference(&directories) {
            // A directory that is no more took its watch along.
            drop(self.watcher.unwatch(gone));
        }
        self.watched.retain(|directory| directories.contains(directory));
        for directory in directories {
            if self.watched.contains(&directory) {
                continue;
            }
            match self.watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => added |= self.watched.insert(directory),
                Err(error) => failure = Some(error),
            }
        }
        (added, failure)
    }

    /// Forgets a directory that was moved or deleted, so that one of the same name is watched anew.
    pub(super) fn forget(&mut self, directory: &Path) {
        let below: Vec<_> = self.watched.iter().filter(|path| path.starts_with(directory)).cloned().collect();
        for path in below {
            drop(self.watcher.unwatch(&path));
            self.watched.remove(&path);
        }
    }

    /// Whether this is a watched directory or lies above one.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        self.watched.range(path.to_owned()..).next().is_some_and(|first| first.starts_with(path))
    }
}

fn translate(event: notify::Result<notify::Event>) -> Vec<Wake> {
    let event = match event {
        Ok(event) if event.need_rescan() => return vec![Wake::Lost],
        Ok(event) => event,
        Err(error) => return vec![Wake::Failed(error.to_string()), Wake::Lost],
    };
    let what = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => What::Closed,
        EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) => What::Writing,
        EventKind::Create(_)
        | EventKind::Remove(RemoveKind::File | RemoveKind::Folder | RemoveKind::Any | RemoveKind::Other)
        | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Any | ModifyKind::Other) => What::Moved,
        EventKind::Modify(ModifyKind::Metadata(_)) => What::Touched,
        EventKind::Access(_) | EventKind::Any | EventKind::Other => return Vec::new(),
    };
    event.paths.into_iter().map(|path| Wake::Hint(Hint { path, what })).collect()
}
