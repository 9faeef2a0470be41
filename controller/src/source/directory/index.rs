//! All files together: which version of an object stands, and what changed since it was last told.
//!
//! Knows no file system. Of an object that several files hold, the one whose path comes first stands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use portico_compile::AnyObject;
use portico_shared::{Code, Diagnostic, ObjectRef, Severity};

use super::file::{File, about, is_one};
use crate::source::Objects;

/// The files and what was told of them.
#[derive(Debug, Default)]
pub(super) struct Index {
    files: BTreeMap<Arc<Path>, File>,
    objects: HashMap<ObjectRef, Held>,
    /// Objects to compare with what was told.
    touched: BTreeSet<ObjectRef>,
    /// Problems of paths that are no files.
    around: Vec<Diagnostic>,
    diagnostics_touched: bool,
    count: usize,
}

/// One object; it is held by a file, or was told of and is gone.
#[derive(Debug, Default)]
struct Held {
    /// The files that hold it, by path, each with its version. Nearly always one.
    versions: Vec<(Arc<Path>, AnyObject)>,
    /// What was told.
    told: Option<AnyObject>,
}

impl Index {
    /// The file of that path.
    pub(super) fn get(&self, path: &Path) -> Option<&File> {
        self.files.get(path)
    }

    /// Paths of all files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(|path| &**path)
    }

    /// Objects of all files but `path`.
    pub(super) fn count_without(&self, path: &Path) -> usize {
        self.count - self.files.get(path).map_or(0, |file| file.objects.len())
    }

    /// Notes that a file was seen again with the same content.
    pub(super) fn restamp(&mut self, path: &Path, stamp: super::tree::Stamp) {
        if let Some(file) = self.files.get_mut(path) {
            file.stamp = Some(stamp);
        }
    }

    /// Replaces a file.
    pub(super) fn set(&mut self, path: &Path, file: File) {
        let path: Arc<Path> = path.into();
        self.remove(&path);
        self.count += file.objects.len();
        for object in &file.objects {
            let reference = object.reference().clone();
            let versions = &mut self.objects.entry(reference.clone()).or_default().versions;
            versions.reserve_exact(1);
            let at = versions.partition_point(|(other, _)| *other < path);
            versions.insert(at, (path.clone(), object.clone()));
            self.touched.insert(reference);
        }
        self.diagnostics_touched = true;
        self.files.insert(path, file);
    }

    /// Takes a file away.
    pub(super) fn remove(&mut self, path: &Path) {
        let Some(file) = self.files.remove(path) else { return };
        self.count -= file.objects.len();
        self.diagnostics_touched = true;
        for object in file.objects {
            let reference = object.reference().clone();
            if let Some(held) = self.objects.get_mut(&reference) {
                held.versions.retain(|(other, _)| **other != *path);
            }
            self.touched.insert(reference);
        }
    }

    /// Replaces the problems of paths that are no files.
    pub(super) fn set_around(&mut self, diagnostics: Vec<Diagnostic>) {
        self.diagnostics_touched |= self.around != diagnostics;
        self.around = diagnostics;
    }

    /// What changed since the last call: objects, and all diagnostics if those may have changed.
    pub(super) fn changes(&mut self) -> Option<(Objects, Option<Vec<Diagnostic>>)> {
        let (mut upserts, mut deletes) = (Vec::new(), Vec::new());
        for reference in std::mem::take(&mut self.touched) {
            let Some(held) = self.objects.get_mut(&reference) else { continue };
            // The version that stands.
            if let Some((_, object)) = held.versions.first() {
                let before = held.told.replace(object.clone());
                if !before.is_some_and(|before| is_one(&before, object)) {
                    upserts.push(object.clone());
                }
            } else if self.objects.remove(&reference).is_some_and(|held| held.told.is_some()) {
                deletes.push(reference);
            }
        }
        let diagnostics = std::mem::take(&mut self.diagnostics_touched).then(|| self.diagnostics());
        if upserts.is_empty() && deletes.is_empty() && diagnostics.is_none() {
            return None;
        }
        Some((Objects::Update { upserts, deletes }, diagnostics))
    }

    fn diagnostics(&self) -> Vec<Diagnostic> {
        let own = self.files.values().flat_map(|file| &file.diagnostics);
        let mut all: Vec<_> = self.around.iter().chain(own).cloned().collect();
        for held in self.objects.values() {
            let Some(((first, _), others @ [_, ..])) = held.versions.split_first() else { continue };
            let message = format!("it is in {} too, and that one stands", first.display());
            let others = others.iter();
            all.extend(others.map(|(_, it)| about(it, Severity::Warning, Code::ObjectDuplicate, message.clone())));
        }
        all
    }
}
