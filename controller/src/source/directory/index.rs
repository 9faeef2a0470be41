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
    /// The versions of each object by file.
    versions: HashMap<ObjectRef, BTreeMap<Arc<Path>, AnyObject>>,
    /// What was told.
    told: HashMap<ObjectRef, AnyObject>,
    /// Objects to compare with what was told.
    touched: BTreeSet<ObjectRef>,
    /// Problems of paths that are no files.
    around: Vec<Diagnostic>,
    diagnostics_touched: bool,
    count: usize,
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
            self.versions.entry(reference.clone()).or_default().insert(path.clone(), object.clone());
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
            if let Some(versions) = self.versions.get_mut(&reference) {
                versions.remove(path);
                if versions.is_empty() {
                    self.versions.remove(&reference);
                }
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
            match self.standing(&reference).cloned() {
                Some(object) => {
                    let before = self.told.insert(reference, object.clone());
                    if !before.is_some_and(|before| is_one(&before, &object)) {
                        upserts.push(object);
                    }
                }
                None if self.told.remove(&reference).is_some() => deletes.push(reference),
                None => {}
            }
        }
        let diagnostics = std::mem::take(&mut self.diagnostics_touched).then(|| self.diagnostics());
        if upserts.is_empty() && deletes.is_empty() && diagnostics.is_none() {
            return None;
        }
        Some((Objects::Update { upserts, deletes }, diagnostics))
    }

    /// The version that stands.
    fn standing(&self, reference: &ObjectRef) -> Option<&AnyObject> {
        self.versions.get(reference)?.values().next()
    }

    fn diagnostics(&self) -> Vec<Diagnostic> {
        let own = self.files.values().flat_map(|file| &file.diagnostics);
        let mut all: Vec<_> = self.around.iter().chain(own).cloned().collect();
        for versions in self.versions.values().filter(|versions| versions.len() > 1) {
            let mut versions = versions.iter();
            let Some((first, _)) = versions.next() else { continue };
            let message = format!("it is in {} too, and that one stands", first.display());
            all.extend(versions.map(|(_, it)| about(it, Severity::Warning, Code::ObjectDuplicate, message.clone())));
        }
        all
    }
}
