//! The thread that follows files: waits for hints, lets writers finish, reads, tells.
//!
//! Every path with something to do is in `pending` with the moment at which it is due. A hint only sets that moment; what
//! is true is found out when it comes.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::hash::RandomState;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use portico_shared::{Code, Severity};
use tokio::sync::mpsc;

use super::file::{self, Draft, File};
use super::index::Index;
use super::read::{Reader, Seen};
use super::tree::{Found, Tree, is_hidden, is_manifest};
use super::watch::{Hint, Watch, What};
use super::{Limits, Wake};
use crate::source::{Change, Event, KINDS, Objects};

/// Something to do with one file.
#[derive(Debug)]
struct Pending {
    /// When; `None` waits for the writer, who was given up on.
    due: Option<Instant>,
    /// When the first hint came.
    noticed: Instant,
    /// Since when somebody is writing without having closed the file.
    writing: Option<Instant>,
    /// Since when its content is not believed because it may be half of something.
    doubted: Option<Instant>,
    /// Since when the file is not there.
    absent: Option<Instant>,
}

/// State of the thread.
pub(super) struct Worker {
    roots: Vec<PathBuf>,
    limits: Limits,
    wakes: Receiver<Wake>,
    events: mpsc::Sender<Event>,
    watch: Option<Watch>,
    tree: Tree,
    /// Names of files by where they really are.
    names: HashMap<PathBuf, PathBuf>,
    index: Index,
    pending: BTreeMap<PathBuf, Pending>,
    /// When to look at everything.
    look: Instant,
    /// Whether looking means reading.
    look_force: bool,
    trouble: Option<String>,
    hasher: RandomState,
}

impl Worker {
    pub(super) fn new(
        roots: Vec<PathBuf>,
        limits: Limits,
        waker: SyncSender<Wake>,
        wakes: Receiver<Wake>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let mut worker = Self {
            roots,
            limits,
            wakes,
            events,
            watch: None,
            tree: Tree::default(),
            names: HashMap::new(),
            index: Index::default(),
            pending: BTreeMap::new(),
            look: Instant::now(),
            look_force: false,
            trouble: None,
            hasher: RandomState::new(),
        };
        match Watch::new(waker) {
            Ok(watch) => worker.watch = Some(watch),
            Err(error) => worker.complain(format!("files are not watched, only looked at: {error}")),
        }
        worker
    }

    /// Runs until nobody listens.
    pub(super) fn run(mut self) {
        let started = Instant::now();
        self.look_at_everything();
        // Nothing is known yet, so nothing can be lost by reading at once.
        self.work(started + Duration::from_secs(3600));
        let (objects, diagnostics) = match self.index.changes() {
            Some((Objects::Update { upserts, .. }, diagnostics)) => (upserts, diagnostics),
            _ => (Vec::new(), None),
        };
        tracing::debug!(files = self.tree.files.len(), objects = objects.len(), "read after {:?}", started.elapsed());
        let objects = Objects::Replace { kinds: KINDS.to_vec(), objects };
        let mut told = self.tell(Change { objects, diagnostics, noticed: started });
        while told && self.wait() {
            told = self.turn();
        }
    }

    /// Waits for the next hint or due moment; false when it is time to end.
    fn wait(&mut self) -> bool {
        let due = self.pending.values().filter_map(|pending| pending.due).chain([self.look]).min();
        let patience = due.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
        match self.wakes.recv_timeout(patience) {
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Ok(wake) => self.handle(wake),
            Err(RecvTimeoutError::Timeout) => {}
        }
        while let Ok(wake) = self.wakes.try_recv() {
            if matches!(wake, Wake::Stop) {
                return false;
            }
            self.handle(wake);
        }
        if self.watch.as_ref().is_some_and(Watch::lost) {
            self.handle(Wake::Lost);
        }
        true
    }

    /// Does what is due and tells of it; false when nobody listens.
    fn turn(&mut self) -> bool {
        let now = Instant::now();
        if self.look <= now {
            self.look_at_everything();
        }
        let Some(noticed) = self.work(now + SLACK) else { return !self.events.is_closed() };
        match self.index.changes() {
            Some((objects, diagnostics)) => self.tell(Change { objects, diagnostics, noticed }),
            None => true,
        }
    }

    fn tell(&self, change: Change) -> bool {
        self.events.blocking_send(Event::Change(change)).is_ok()
    }

    fn complain(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            self.trouble = Some(trouble.clone());
            // Nobody listening is found out at the next change.
            drop(self.events.blocking_send(Event::Trouble(trouble)));
        }
    }

    fn handle(&mut self, wake: Wake) {
        let now = Instant::now();
        match wake {
            Wake::Hint(hint) => self.take_hint(&hint, now),
            Wake::Failed(error) => self.complain(error),
            Wake::Lost => {
                // Whether a writer is done may be among what was lost; its file's age still protects it.
                for pending in self.pending.values_mut() {
                    if pending.writing.take().is_some() {
                        pending.due = Some(now + WRITER);
                    }
                }
                self.look = now;
            }
            Wake::Rescan => (self.look, self.look_force) = (now, true),
            Wake::Stop => {}
        }
    }

    fn take_hint(&mut self, hint: &Hint, now: Instant) {
        let path = &hint.path;
        if let Some(name) = self.name_of(path) {
            // A symbolic link is created whole, while a file is created empty.
            let was_link = self.tree.files.get(&name).is_some_and(|found| found.real != *path);
            if !self.names.contains_key(path) && (was_link || is_link(path)) {
                self.look = self.look.min(now + COALESCE);
            } else {
                self.set_pending(name, hint.what, now);
            }
        } else if hint.what == What::Moved && self.is_structure(path) {
            if let Some(watch) = &mut self.watch {
                watch.forget(path);
            }
            self.look = self.look.min(now + COALESCE);
        } else if is_link(path) && self.is_ours(path) {
            self.look = self.look.min(now + COALESCE);
        }
    }

    /// The name under which a real path is, or would be, one of our files.
    fn name_of(&self, real: &Path) -> Option<PathBuf> {
        if let Some(name) = self.names.get(real) {
            return Some(name.clone());
        }
        let directories = self.tree.directories.get(real.parent()?).filter(|_| is_manifest(real))?;
        Some(directories.first()?.join(real.file_name()?))
    }

    /// Whether a name that came or went may change which files there are.
    fn is_structure(&self, path: &Path) -> bool {
        let dots = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
        self.tree.gates.contains(path)
            || self.watch.as_ref().is_some_and(|watch| watch.concerns(path))
            || self.is_ours(path) && (dots || !is_hidden(path) && path.is_dir())
    }

    /// Whether a real path is a name in one of our directories, or of one of the paths given.
    fn is_ours(&self, path: &Path) -> bool {
        self.tree.gates.contains(path) || path.parent().is_some_and(|parent| self.tree.directories.contains_key(parent))
    }

    fn set_pending(&mut self, name: PathBuf, what: What, now: Instant) {
        let pending = self.pending.entry(name).or_insert_with(|| Pending::new(now));
        match what {
            What::Writing => {
                let since = *pending.writing.get_or_insert(now);
                pending.due = Some((now + WRITER).min((since + LONGEST_WRITE).max(now)));
            }
            What::Touched if pending.writing.is_some() => {}
            What::Closed | What::Moved | What::Touched => {
                let soon = now + COALESCE;
                let waits = pending.writing.take().is_some();
                pending.due = Some(pending.due.filter(|_| !waits).map_or(soon, |due| due.min(soon)));
            }
        }
    }

    /// Looks at every path, watches what is new and makes due what seems to have changed.
    fn look_at_everything(&mut self) {
        let now = Instant::now();
        let force = std::mem::take(&mut self.look_force);
        let mut failure = None;
        for _ in 0..LOOKS {
            let tree = Tree::look(&self.roots);
            // Links may be turned while they are followed: only what is seen twice is one state.
            let settled = tree.is_like(&self.tree);
            self.tree = tree;
            let (added, failed) = self.watch.as_mut().map(|watch| watch.set(self.tree.watched())).unwrap_or_default();
            failure = failed;
            // What happened in a directory before it was watched is seen by looking again.
            if settled && !added {
                break;
            }
        }
        let blind = self.watch.is_none() || failure.is_some();
        if let Some(error) = failure {
            self.complain(format!("some directories are not watched, only looked at: {error}"));
        }
        self.look = now + if blind { LOOK_BLIND } else { LOOK };
        self.names = self.tree.files.iter().map(|(name, found)| (found.real.clone(), name.clone())).collect();
        for (name, found) in &self.tree.files {
            let seen = self.index.get(name).and_then(|file| file.stamp) == Some(found.stamp);
            if !seen || force {
                let pending = self.pending.entry(name.clone()).or_insert_with(|| Pending::new(now));
                if pending.writing.is_none() {
                    pending.due = Some(pending.due.map_or(now, |due| due.min(now)));
                }
            }
        }
        for name in self.index.paths().filter(|name| !self.tree.files.contains_key(*name)) {
            let pending = self.pending.entry(name.to_owned()).or_insert_with(|| Pending::new(now));
            pending.due = Some(pending.due.map_or(now, |due| due.min(now)));
        }
        let unreadable = self.tree.unreadable.iter().map(|(path, error)| {
            let message = format!("it cannot be looked at: {error}");
            file::whole_file(&path.display().to_string(), Severity::Error, Code::FileUnreadable, message)
        });
        self.index.set_around(unreadable.collect());
    }

    /// Reads what is due until `until`. Returns when the oldest of it was noticed.
    fn work(&mut self, until: Instant) -> Option<Instant> {
        let due = self.pending.iter().filter(|(_, pending)| pending.due.is_some_and(|due| due <= until));
        let due: Vec<_> = due.map(|(name, _)| name.clone()).collect();
        let mut noticed = None;
        for names in due.chunks(BATCH) {
            let reals: Vec<_> = names.iter().map(|name| self.real(name)).collect();
            let reader = Reader { index: &self.index, limits: self.limits, hasher: &self.hasher };
            let seen = reader.read_all(&names.iter().map(PathBuf::as_path).zip(reals).collect::<Vec<_>>());
            for (name, seen) in names.iter().zip(seen) {
                let Some(mut pending) = self.pending.remove(name) else { continue };
                let first = pending.noticed;
                noticed = Some(noticed.map_or(first, |earlier: Instant| earlier.min(first)));
                if self.judge(name, &mut pending, seen) {
                    self.pending.insert(name.clone(), pending);
                }
            }
        }
        noticed
    }

    /// Where a link led when everything was looked at, so that files that turn together are read together.
    fn real(&mut self, name: &Path) -> Option<PathBuf> {
        let listed = self.tree.files.contains_key(name) || self.adopt(name);
        self.tree.files.get(name).filter(|_| listed).map(|found| found.real.clone())
    }

    /// Takes what a file holds or not. True when there is more to do.
    fn judge(&mut self, name: &Path, pending: &mut Pending, seen: Seen) -> bool {
        let (draft, fresh) = match seen {
            Seen::Gone => return self.lose(name, pending),
            Seen::Same(stamp) => {
                self.index.restamp(name, stamp);
                return pending.wait_for_writer();
            }
            Seen::Other { draft, fresh } => {
                let (empty, limit) = (File::default(), self.limits.objects);
                let before = self.index.get(name).unwrap_or(&empty);
                match self.index.count_without(name) + draft.file.objects.len() > limit {
                    true => (Draft::over_limit(before, &name.display().to_string(), draft.file.stamp, limit), fresh),
                    false => (*draft, fresh),
                }
            }
        };
        pending.absent = None;
        let now = Instant::now();
        let doubtful = draft.is_doubtful() && pending.writing.is_none() && fresh;
        if doubtful && now < *pending.doubted.get_or_insert(now) + LONGEST_DOUBT {
            pending.due = Some(now + SETTLE);
            return true;
        }
        let title = || name.display().to_string();
        let file = if pending.writing.is_some() { draft.keep_lost(&title()) } else { draft.file };
        self.index.set(name, file);
        pending.wait_for_writer()
    }

    /// A file that no look has seen yet becomes one of ours.
    fn adopt(&mut self, name: &Path) -> bool {
        let Some(directory) = name.parent().and_then(|parent| parent.canonicalize().ok()) else { return false };
        let (Some(last), Ok(metadata)) = (name.file_name(), fs::metadata(name)) else { return false };
        let real = directory.join(last);
        if !metadata.is_file() || self.names.contains_key(&real) || !self.tree.directories.contains_key(&directory) {
            return false;
        }
        let stamp = super::tree::Stamp::of(&metadata);
        self.names.insert(real.clone(), name.to_owned());
        self.tree.files.insert(name.to_owned(), Found { real, stamp });
        true
    }

    /// A file is not there: it may be between two names, so it is gone only after a while. True while it is not.
    fn lose(&mut self, name: &Path, pending: &mut Pending) -> bool {
        if self.index.get(name).is_none() {
            self.forget(name);
            return false;
        }
        let now = Instant::now();
        let since = *pending.absent.get_or_insert(now);
        if now < since + GRACE {
            pending.due = Some(since + GRACE);
            return true;
        }
        self.forget(name);
        self.index.remove(name);
        false
    }

    fn forget(&mut self, name: &Path) {
        if let Some(found) = self.tree.files.remove(name) {
            self.names.remove(&found.real);
        }
    }
}

impl Pending {
    fn new(now: Instant) -> Self {
        Self { due: None, noticed: now, writing: None, doubted: None, absent: None }
    }

    /// After a read: stays only to remember that somebody is writing.
    fn wait_for_writer(&mut self) -> bool {
        (self.due, self.doubted) = (None, None);
        self.writing.is_some()
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// Most files that are read before what they hold is taken.
const BATCH: usize = 1024;
/// How long hints of one file are gathered.
const COALESCE: Duration = Duration::from_millis(10);
/// What is due this soon is done at once.
const SLACK: Duration = Duration::from_millis(1);
/// How long a content that takes something away must lie still.
pub(super) const SETTLE: Duration = Duration::from_millis(20);
/// How long a content is doubted at most: a file that is rewritten all the time must get through.
const LONGEST_DOUBT: Duration = Duration::from_millis(100);
/// How long a missing file counts as between two names.
const GRACE: Duration = Duration::from_millis(40);
/// How long a writer may pause before its file is read although it is open.
const WRITER: Duration = Duration::from_millis(500);
/// How long a writer that never pauses is waited for.
const LONGEST_WRITE: Duration = Duration::from_secs(5);
/// How often everything is looked at, in case a notice was lost.
const LOOK: Duration = Duration::from_secs(60);
/// The same where nothing can be watched.
const LOOK_BLIND: Duration = Duration::from_secs(1);
/// How often new directories are looked for in one go.
const LOOKS: usize = 8;
