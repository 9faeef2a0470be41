//! One file: what it holds, and what it keeps when it cannot be read.
//!
//! Knows nothing of other files and of time; whoever asks decides when to believe a draft.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use portico_compile::{AnyObject, Object, manifest};
use portico_shared::{Code, Diagnostic, Location, ObjectRef, Severity};

use super::tree::Stamp;

/// What a file gives.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Metadata when it was read.
    pub(super) stamp: Option<Stamp>,
    /// Hash of the content that was judged; `None` when it must be judged again even if it is the same.
    pub(super) digest: Option<u64>,
    /// Its objects, none twice: as written now, or as last accepted.
    pub(super) objects: Vec<AnyObject>,
    /// What is wrong with it.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// Why nothing could be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// There is no such file.
    Gone,
    /// It is larger than the limit.
    TooLarge,
    /// The operating system refuses.
    Refused(io::Error),
}

/// Reads a regular file of at most `limit` octets.
pub(super) fn read(path: &Path, limit: u64) -> Result<(Stamp, Vec<u8>), ReadError> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::Gone,
        _ => ReadError::Refused(error),
    };
    let metadata = fs::metadata(path).map_err(refused)?;
    if !metadata.is_file() {
        return Err(ReadError::Gone);
    }
    let file = fs::File::open(path).map_err(refused)?;
    // The stamp is the opened file's, so that it never is newer than the content.
    let stamp = Stamp::of(&file.metadata().map_err(refused)?);
    let mut content = Vec::new();
    let octets = file.take(limit + 1).read_to_end(&mut content).map_err(refused)?;
    if octets as u64 > limit { Err(ReadError::TooLarge) } else { Ok((stamp, content)) }
}

/// What a content would make of a file.
#[derive(Debug)]
pub(super) struct Draft {
    /// The file as it would be.
    pub(super) file: File,
    /// Whether everything in it could be read.
    pub(super) complete: bool,
    /// Objects that the file had and that the content does not have.
    lost: Vec<AnyObject>,
}

impl Draft {
    /// Judges a content. `name` is what locations call the file.
    pub(super) fn parse(before: &File, name: &str, stamp: Stamp, digest: u64, content: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(content) else {
            let problem = whole_file(name, Severity::Error, Code::FileUnreadable, "it is not UTF-8 text");
            return Self::kept(before, name, Some(stamp), problem).judged(digest);
        };
        let manifest = manifest::parse(name, text);
        let mut file = File { stamp: Some(stamp), digest: Some(digest), ..File::default() };
        file.diagnostics = manifest.diagnostics;
        if !manifest.complete && !before.objects.is_empty() {
            file.objects.clone_from(&before.objects);
            file.diagnostics.push(last_good(name, before.objects.len(), "it cannot be read to its end"));
            return Self { file, complete: false, lost: Vec::new() };
        }
        let mut had: HashMap<_, _> = before.objects.iter().map(|object| (object.reference(), object)).collect();
        file.accept(manifest.objects, &mut had);
        file.keep_refused(&mut had);
        let lost = before.objects.iter().filter(|object| had.contains_key(object.reference())).cloned().collect();
        Self { file, complete: manifest.complete, lost }
    }

    /// A file that cannot be read: everything it had stays.
    pub(super) fn unreadable(before: &File, name: &str, error: &ReadError, limit: u64) -> Self {
        let problem = match error {
            ReadError::TooLarge => {
                let message = format!("it is larger than {limit} octets and not read");
                whole_file(name, Severity::Error, Code::LimitReached, message)
            }
            ReadError::Refused(error) => whole_file(name, Severity::Error, Code::FileUnreadable, error.to_string()),
            ReadError::Gone => whole_file(name, Severity::Error, Code::FileUnreadable, "it is not a regular file"),
        };
        Self::kept(before, name, before.stamp, problem)
    }

    /// A file that is not taken because there are too many objects.
    pub(super) fn over_limit(before: &File, name: &str, stamp: Option<Stamp>, limit: usize) -> Self {
        let message = format!("it is not taken: there are more than {limit} objects");
        Self::kept(before, name, stamp, whole_file(name, Severity::Error, Code::LimitReached, message))
    }

    fn kept(before: &File, name: &str, stamp: Option<Stamp>, problem: Diagnostic) -> Self {
        let mut file = File { stamp, digest: None, objects: before.objects.clone(), diagnostics: vec![problem] };
        if !file.objects.is_empty() {
            file.diagnostics.push(last_good(name, file.objects.len(), "it cannot be used now"));
        }
        Self { file, complete: false, lost: Vec::new() }
    }

    fn judged(mut self, digest: u64) -> Self {
        self.file.digest = Some(digest);
        self
    }

    /// Whether the content may be half of something: it cannot be read to its end, or objects are missing.
    pub(super) fn is_doubtful(&self) -> bool {
        !self.complete || !self.lost.is_empty()
    }

    /// Keeps what is missing, because the writer is not done.
    pub(super) fn keep_lost(mut self, name: &str) -> File {
        if !self.lost.is_empty() {
            // The same content means something else once the writer is done.
            self.file.digest = None;
            let reason = "its writer still has it open";
            self.file.diagnostics.push(last_good(name, self.lost.len(), reason));
            self.file.objects.append(&mut self.lost);
        }
        self.file
    }
}

impl File {
    /// Takes the objects that were accepted; what did not change stays the same value. Removes them from `had`.
    fn accept(&mut self, objects: Vec<AnyObject>, had: &mut HashMap<&ObjectRef, &AnyObject>) {
        let mut seen = BTreeSet::new();
        for object in objects {
            if !seen.insert(object.reference().clone()) {
                let message = "it is written twice in this file; the first stands";
                self.diagnostics.push(about(&object, Severity::Warning, Code::ObjectDuplicate, message));
                continue;
            }
            let before = had.remove(object.reference());
            self.objects.push(before.filter(|before| same(before, &object)).cloned().unwrap_or(object));
        }
    }

    /// Keeps the accepted version of objects that are refused now, as an API server does. Removes them from `had`.
    fn keep_refused(&mut self, had: &mut HashMap<&ObjectRef, &AnyObject>) {
        let errors = self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        let refused: BTreeSet<_> = errors.filter_map(|diagnostic| diagnostic.object.clone()).collect();
        for reference in &refused {
            if let Some(object) = had.remove(reference) {
                let message = "this version is refused; the last accepted one is served";
                self.diagnostics.push(about(object, Severity::Warning, Code::LastGoodKept, message));
                self.objects.push(object.clone());
            }
        }
    }
}

/// A diagnostic of an object.
pub(super) fn about(object: &AnyObject, severity: Severity, code: Code, message: impl Into<String>) -> Diagnostic {
    let location = match object {
        AnyObject::Ingress(object) => object.locate(""),
        AnyObject::IngressClass(object) => object.locate(""),
        AnyObject::Service(object) => object.locate(""),
        AnyObject::EndpointSlice(object) => object.locate(""),
        AnyObject::Secret(object) => object.locate(""),
        AnyObject::ConfigMap(object) => object.locate(""),
        AnyObject::Namespace(object) => object.locate(""),
    };
    let object = Some(object.reference().clone());
    Diagnostic { severity, code, object, field: "".into(), location, message: message.into(), hint: None }
}

/// A diagnostic of a whole file.
pub(super) fn whole_file(name: &str, severity: Severity, code: Code, message: impl Into<String>) -> Diagnostic {
    let location = Some(Location { file: name.into(), line: 1, column: 1 });
    Diagnostic { severity, code, object: None, field: "".into(), location, message: message.into(), hint: None }
}

fn last_good(name: &str, objects: usize, reason: &str) -> Diagnostic {
    let message = match objects {
        1 => format!("its object stays as last accepted: {reason}"),
        _ => format!("its {objects} objects stay as last accepted: {reason}"),
    };
    whole_file(name, Severity::Warning, Code::LastGoodKept, message)
}

/// Whether two versions of an object are equal, places in the file included.
fn same(a: &AnyObject, b: &AnyObject) -> bool {
    fn equal<T: PartialEq>(a: &Arc<Object<T>>, b: &Arc<Object<T>>) -> bool {
        a.value == b.value && a.spans == b.spans
    }
    match (a, b) {
        (AnyObject::Ingress(a), AnyObject::Ingress(b)) => equal(a, b),
        (AnyObject::IngressClass(a), AnyObject::IngressClass(b)) => equal(a, b),
        (AnyObject::Service(a), AnyObject::Service(b)) => equal(a, b),
        (AnyObject::EndpointSlice(a), AnyObject::EndpointSlice(b)) => equal(a, b),
        (AnyObject::Secret(a), AnyObject::Secret(b)) => equal(a, b),
        (AnyObject::ConfigMap(a), AnyObject::ConfigMap(b)) => equal(a, b),
        (AnyObject::Namespace(a), AnyObject::Namespace(b)) => equal(a, b),
        _ => false,
    }
}

/// Whether two objects are one value.
pub(super) fn is_one(a: &AnyObject, b: &AnyObject) -> bool {
    match (a, b) {
        (AnyObject::Ingress(a), AnyObject::Ingress(b)) => Arc::ptr_eq(a, b),
        (AnyObject::IngressClass(a), AnyObject::IngressClass(b)) => Arc::ptr_eq(a, b),
        (AnyObject::Service(a), AnyObject::Service(b)) => Arc::ptr_eq(a, b),
        (AnyObject::EndpointSlice(a), AnyObject::EndpointSlice(b)) => Arc::ptr_eq(a, b),
        (AnyObject::Secret(a), AnyObject::Secret(b)) => Arc::ptr_eq(a, b),
        (AnyObject::ConfigMap(a), AnyObject::ConfigMap(b)) => Arc::ptr_eq(a, b),
        (AnyObject::Namespace(a), AnyObject::Namespace(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}
