//! Reading files, many at once: what each holds beside what is known of it, on every processor.
//!
//! Changes nothing and decides nothing. Whoever asks takes what was seen, file by file and in order.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use super::Limits;
use super::file::{self, Draft, File, ReadError};
use super::index::Index;
use super::tree::Stamp;
use super::worker::SETTLE;

/// What reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) index: &'a Index,
    pub(super) limits: Limits,
    pub(super) hasher: &'a RandomState,
}

/// What a file was seen to hold.
#[derive(Debug)]
pub(super) enum Seen {
    /// There is none.
    Gone,
    /// What it held before.
    Same(Stamp),
    /// Something else, or nothing that can be read.
    Other {
        draft: Box<Draft>,
        /// Whether it was changed so lately before it was read that its writer may still be at it.
        fresh: bool,
    },
}

/// A file's name, and where it really is if it is anywhere.
pub(super) type Named<'a> = (&'a Path, Option<PathBuf>);

impl Reader<'_> {
    /// What these files hold, in their order.
    pub(super) fn read_all(self, files: &[Named<'_>]) -> Vec<Seen> {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS).min(files.len() / EACH);
        if threads < 2 {
            return files.iter().map(|file| self.read(file)).collect();
        }
        let next = AtomicUsize::new(0);
        // Each thread takes the next few until none are left, so that large files hold up nobody.
        let read = || {
            let mut seen = Vec::new();
            loop {
                let from = next.fetch_add(EACH, Ordering::Relaxed);
                let Some(some) = files.get(from..files.len().min(from + EACH)).filter(|some| !some.is_empty()) else {
                    return seen;
                };
                seen.push((from, some.iter().map(|file| self.read(file)).collect::<Vec<_>>()));
            }
        };
        let mut seen = thread::scope(|scope| {
            // A thread that cannot be started leaves its share to the others.
            let start = |_| thread::Builder::new().name("portico-files".to_owned()).spawn_scoped(scope, read).ok();
            let others: Vec<_> = (1..threads).filter_map(start).collect();
            let mut seen = read();
            for other in others {
                match other.join() {
                    Ok(more) => seen.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            seen
        });
        seen.sort_unstable_by_key(|(from, _)| *from);
        seen.into_iter().flat_map(|(_, seen)| seen).collect()
    }

    fn read(self, (name, real): &Named<'_>) -> Seen {
        let empty = File::default();
        let before = self.index.get(name).unwrap_or(&empty);
        let title = || name.display().to_string();
        let read = real.as_ref().map_or(Err(ReadError::Gone), |real| file::read(real, self.limits.file));
        let draft = match read {
            Err(ReadError::Gone) => return Seen::Gone,
            Err(error) => Draft::unreadable(before, &title(), &error, self.limits.file),
            Ok((stamp, content)) => {
                let digest = self.hasher.hash_one(&content);
                if before.digest == Some(digest) {
                    return Seen::Same(stamp);
                }
                Draft::parse(before, &title(), stamp, digest, &content)
            }
        };
        let fresh = draft.file.stamp.is_some_and(is_fresh);
        Seen::Other { draft: Box::new(draft), fresh }
    }
}

fn is_fresh(stamp: Stamp) -> bool {
    let age = stamp.modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_some_and(|age| age < SETTLE)
}

/// Most threads that read.
const THREADS: usize = 4;
/// Files that a thread takes at a time; fewer than two times as many are read by one.
const EACH: usize = 16;
