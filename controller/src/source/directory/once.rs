//! Everything read once, without following it: what the commands `check`, `routes` and `explain` speak of.
//!
//! Takes the same files under the same names as the source does. Nobody is waited for: what is half written is reported
//! as such. A path given may also be a pipe, which only this way of reading can take.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use portico_compile::AnyObject;
use portico_shared::{Code, Diagnostic, Severity};

use super::file::{self, Draft, File, ReadError};
use super::index::Index;
use super::tree::{Stamp, Tree};
use super::{Limits, Unreadable};
use crate::source::Objects;

/// What stands in some files.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files read, whether or not they could be used.
    pub files: usize,
    /// Objects that were accepted; of those written twice the one that stands.
    pub objects: Vec<AnyObject>,
    /// Problems of files and of refused objects.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads these files and directories. Fails when one of them cannot be read; what cannot be read below a directory is
/// a diagnostic.
pub fn read_once(roots: &[PathBuf], limits: Limits) -> Result<Listing, Unreadable> {
    let (pipes, roots): (Vec<_>, Vec<_>) = roots.iter().cloned().partition(|root| is_pipe(root));
    let mut tree = Tree::look(&roots);
    if let Some(path) = roots.iter().find(|root| tree.unreadable.contains_key(*root)) {
        let source = tree.unreadable.remove(path).unwrap_or_else(|| io::ErrorKind::NotFound.into());
        return Err(Unreadable { path: path.clone(), source });
    }
    let mut index = Index::default();
    let mut files = 0;
    for (name, found) in &tree.files {
        take(&mut index, name, file::read(&found.real, limits.file), limits, &roots)?;
        files += 1;
    }
    for name in &pipes {
        take(&mut index, name, read_pipe(name, limits.file), limits, &pipes)?;
        files += 1;
    }
    let unreadable = tree.unreadable.iter().map(|(path, error)| {
        let message = format!("it cannot be looked at: {error}");
        file::whole_file(&path.display().to_string(), Severity::Error, Code::FileUnreadable, message)
    });
    index.set_around(unreadable.collect());
    let (objects, diagnostics) = match index.changes() {
        Some((Objects::Update { upserts, .. } | Objects::Replace { objects: upserts, .. }, diagnostics)) => {
            (upserts, diagnostics.unwrap_or_default())
        }
        None => Default::default(),
    };
    Ok(Listing { files, objects, diagnostics })
}

fn take(
    index: &mut Index,
    name: &Path,
    read: Result<(Stamp, Vec<u8>), ReadError>,
    limits: Limits,
    roots: &[PathBuf],
) -> Result<(), Unreadable> {
    let (before, title) = (File::default(), name.display().to_string());
    let draft = match read {
        // What was asked for by name must be there.
        Err(ReadError::Refused(source)) if roots.iter().any(|root| root == name) => {
            return Err(Unreadable { path: name.to_owned(), source });
        }
        Err(error) => Draft::unreadable(&before, &title, &error, limits.file),
        Ok((stamp, content)) => Draft::parse(&before, &title, stamp, 0, &content),
    };
    let draft = match index.count_without(name) + draft.file.objects.len() > limits.objects {
        true => Draft::over_limit(&before, &title, None, limits.objects),
        false => draft,
    };
    index.set(name, draft.file);
    Ok(())
}

fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_dir() && !metadata.is_file())
}

fn read_pipe(path: &Path, limit: u64) -> Result<(Stamp, Vec<u8>), ReadError> {
    let refused = ReadError::Refused;
    let file = fs::File::open(path).map_err(refused)?;
    let stamp = Stamp::of(&file.metadata().map_err(refused)?);
    let mut content = Vec::new();
    let octets = file.take(limit + 1).read_to_end(&mut content).map_err(refused)?;
    if octets as u64 > limit { Err(ReadError::TooLarge) } else { Ok((stamp, content)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str =
        "apiVersion: v1\nkind: Service\nmetadata: { name: NAME }\nspec: { ports: [ { port: 80 } ] }\n";

    fn list(files: &[(&str, &str)]) -> Listing {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        read_once(&[directory.path().to_owned()], Limits::default()).unwrap()
    }

    #[test]
    fn the_first_of_two_stands_and_hidden_files_are_passed_over() {
        let service = SERVICE.replace("NAME", "web");
        let listing = list(&[("b.yaml", &service), ("a.yml", &service), (".c.yaml", &service), ("d.txt", "x")]);
        assert_eq!((listing.files, listing.objects.len()), (2, 1));
        let codes: Vec<_> = listing.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        assert_eq!(codes, [Code::ObjectDuplicate]);
    }

    #[test]
    fn a_fresh_file_that_is_broken_is_told_at_once() {
        let listing = list(&[("a.yaml", "a: [\n")]);
        assert_eq!((listing.files, listing.objects.len()), (1, 0));
        assert_eq!(listing.diagnostics[0].code, Code::FileUnreadable);
    }

    #[test]
    fn what_is_asked_for_must_be_there() {
        let path = PathBuf::from("/nowhere/a.yaml");
        assert_eq!(read_once(std::slice::from_ref(&path), Limits::default()).unwrap_err().path, path);
    }
}
