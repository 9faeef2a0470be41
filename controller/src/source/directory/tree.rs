//! What lies under the paths that were given: files, where they really are, and which directories to watch.
//!
//! Names that begin with a dot are passed over, visible symbolic links are followed: so a volume that Kubernetes mounts
//! (`a.yaml` -> `..data/a.yaml`, `..data` -> a dated directory) is read once, under its visible names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What tells that a file may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Last change of the content.
    pub(super) modified: Option<SystemTime>,
    changed: (i64, i64),
    /// Size in octets.
    pub(super) size: u64,
    inode: (u64, u64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.len(),
            inode: (metadata.dev(), metadata.ino()),
        }
    }
}

/// A manifest file.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Where it really is.
    pub(super) real: PathBuf,
    /// Its metadata when it was seen.
    pub(super) stamp: Stamp,
}

/// One look at everything.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Files by the path under which they are named.
    pub(super) files: BTreeMap<PathBuf, Found>,
    /// Every name of a real directory, as it is reached from the paths given.
    pub(super) directories: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// Real directories that hold only parts of what was given: links' ends and the parents of the paths themselves.
    pub(super) around: BTreeSet<PathBuf>,
    /// Where the paths given are named: a change there is a change of everything.
    pub(super) gates: BTreeSet<PathBuf>,
    /// What could not be looked at.
    pub(super) unreadable: BTreeMap<PathBuf, io::Error>,
    /// Real paths of the files, so that one that is reached twice is read once.
    taken: BTreeSet<PathBuf>,
}

impl Tree {
    /// Looks at everything under `roots`. A root that cannot be looked at is among the unreadable.
    pub(super) fn look(roots: &[PathBuf]) -> Self {
        let mut tree = Self::default();
        for root in roots {
            if let Some(parent) = parent(root).and_then(|parent| parent.canonicalize().ok()) {
                tree.gates.extend(root.file_name().map(|name| parent.join(name)));
                tree.around.insert(parent);
            }
            match fs::metadata(root).and_then(|metadata| Ok((metadata, root.canonicalize()?))) {
                Ok((metadata, real)) if metadata.is_dir() => tree.enter(root, &real, &mut Vec::new()),
                Ok((metadata, real)) => tree.take(root.clone(), real, &metadata),
                Err(error) => drop(tree.unreadable.insert(root.clone(), error)),
            }
        }
        // Only looking needs them.
        tree.taken.clear();
        tree
    }

    fn enter(&mut self, directory: &Path, real: &PathBuf, above: &mut Vec<PathBuf>) {
        // A link that leads back up would never end.
        if above.contains(real) {
            return;
        }
        let mut entries: Vec<_> = match fs::read_dir(directory) {
            Ok(entries) => entries.filter_map(Result::ok).collect(),
            Err(error) => return drop(self.unreadable.insert(directory.to_owned(), error)),
        };
        self.directories.entry(real.clone()).or_default().insert(directory.to_owned());
        entries.sort_by_key(fs::DirEntry::file_name);
        above.push(real.clone());
        for entry in entries.iter().filter(|entry| !is_hidden(&entry.path())) {
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            self.see(&entry.path(), is_link, real, above);
        }
        above.pop();
    }

    fn see(&mut self, path: &Path, is_link: bool, directory: &Path, above: &mut Vec<PathBuf>) {
        let real = match path.file_name() {
            Some(name) if !is_link => Ok(directory.join(name)),
            _ => path.canonicalize(),
        };
        match real.and_then(|real| Ok((fs::metadata(path)?, real))) {
            Ok((metadata, real)) if metadata.is_dir() => self.enter(path, &real, above),
            Ok((metadata, real)) if is_manifest(path) => self.take(path.to_owned(), real, &metadata),
            Ok(_) => {}
            // Gone between listing and looking, or a link to nothing: nothing is there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => drop(self.unreadable.insert(path.to_owned(), error)),
        }
    }

    fn take(&mut self, path: PathBuf, real: PathBuf, metadata: &Metadata) {
        if !metadata.is_file() || !self.taken.insert(real.clone()) {
            return;
        }
        if let Some(parent) = real.parent() {
            self.around.insert(parent.to_owned());
        }
        self.files.insert(path, Found { real, stamp: Stamp::of(metadata) });
    }

    /// Whether the same names lead to the same files.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let both = self.files.iter().zip(&other.files);
        self.files.len() == other.files.len()
            && both.into_iter().all(|((name, a), (other, b))| name == other && a.real == b.real)
    }

    /// Real directories to watch.
    pub(super) fn watched(&self) -> BTreeSet<PathBuf> {
        self.around.iter().chain(self.directories.keys()).cloned().collect()
    }
}

/// The directory that holds `path`'s name.
fn parent(path: &Path) -> Option<&Path> {
    path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// Whether the last component is passed over.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether the name is a manifest's.
pub(super) fn is_manifest(path: &Path) -> bool {
    !is_hidden(path)
        && path.extension().is_some_and(|extension| matches!(extension.to_str(), Some("yaml" | "yml" | "json")))
}
