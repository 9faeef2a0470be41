//! Real files in real directories, edited in every way that people and programs edit them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use portico_compile::AnyObject;
use portico_shared::{Code, Diagnostic};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Directory, Limits, Rescan};
use crate::source::{Event, Objects, QUEUE, Source};

/// A directory that is followed, and what was told of it so far.
struct Followed {
    directory: TempDir,
    rescan: Rescan,
    events: mpsc::Receiver<Event>,
    /// Ports of Services by name: what the tests change.
    services: BTreeMap<String, i32>,
    diagnostics: Vec<Diagnostic>,
}

impl Followed {
    /// Fills a directory and follows it until the first listing.
    async fn new(fill: impl FnOnce(&Path)) -> Self {
        Self::with_limits(Limits::default(), fill).await
    }

    async fn with_limits(limits: Limits, fill: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fill(directory.path());
        let source = Directory::new(vec![directory.path().to_owned()], limits).expect("it is readable");
        let (sender, events) = mpsc::channel(QUEUE);
        let rescan = source.rescan();
        tokio::spawn(source.run(sender));
        let (services, diagnostics) = Default::default();
        let mut followed = Self { directory, rescan, events, services, diagnostics };
        followed.next("the first listing").await;
        followed
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.directory.path().join(name), content).expect("it can be written");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    async fn next(&mut self, what: &str) {
        let event = timeout(Duration::from_secs(15), self.events.recv()).await;
        match event.unwrap_or_else(|_| panic!("waited for {what}; {:?} {:?}", self.services, self.diagnostics)) {
            Some(Event::Change(change)) => {
                match change.objects {
                    Objects::Replace { objects, .. } => {
                        self.services.clear();
                        self.apply(objects);
                    }
                    Objects::Update { upserts, deletes } => {
                        self.apply(upserts);
                        for gone in deletes {
                            self.services.remove(&*gone.name);
                        }
                    }
                }
                self.diagnostics = change.diagnostics.unwrap_or(std::mem::take(&mut self.diagnostics));
            }
            other => panic!("waited for {what}, got {other:?}"),
        }
    }

    fn apply(&mut self, objects: Vec<AnyObject>) {
        for object in objects {
            let AnyObject::Service(service) = &object else { panic!("{object:?}") };
            let port = service.value.spec.as_ref().and_then(|spec| spec.ports.as_ref()?.first()).map(|port| port.port);
            self.services.insert(service.reference.name.to_string(), port.unwrap_or_default());
        }
    }

    /// Waits until exactly these Services are known.
    async fn until(&mut self, what: &str, services: &[(&str, i32)]) {
        while !self.is(services) {
            self.next(what).await;
        }
    }

    async fn until_code(&mut self, code: Code) {
        while !self.has(code) {
            self.next(code.as_str()).await;
        }
    }

    fn is(&self, services: &[(&str, i32)]) -> bool {
        self.services.iter().map(|(name, port)| (name.as_str(), *port)).eq(services.iter().copied())
    }

    fn has(&self, code: Code) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.code == code)
    }
}

fn service(name: &str, port: i32) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  ports:\n  - name: http\n    port: {port}\n---\n"
    )
}

#[tokio::test]
async fn first_listing_holds_every_file_below() {
    let files = Followed::new(|path| {
        fs::create_dir_all(path.join("deep/er")).expect("made");
        fs::create_dir(path.join(".hidden")).expect("made");
        for (name, text) in [
            ("a.yaml", service("a", 1) + &service("b", 2)),
            ("deep/er/c.yml", service("c", 3)),
            (
                "deep/d.json",
                r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"d"},"spec":{"ports":[{"port":4}]}}"#
                    .to_owned(),
            ),
            (".hidden/x.yaml", service("x", 9)),
            (".y.yaml", service("y", 9)),
            ("notes.txt", service("z", 9)),
        ] {
            fs::write(path.join(name), text).expect("written");
        }
        symlink("..", path.join("deep/loop")).expect("linked");
    })
    .await;
    assert!(files.is(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]), "{:?}", files.services);
    assert_eq!(files.diagnostics, []);
}

#[tokio::test]
async fn edit_rename_and_deletion() {
    let mut files = Followed::new(|path| fs::write(path.join("a.yaml"), service("a", 1)).expect("written")).await;
    files.write("a.yaml", &service("a", 2));
    files.until("an edit", &[("a", 2)]).await;
    files.write("b.yaml", &service("b", 1));
    files.until("a new file", &[("a", 2), ("b", 1)]).await;
    files.write("a.yaml.tmp", &service("a", 3));
    fs::rename(files.path("a.yaml.tmp"), files.path("a.yaml")).expect("renamed");
    files.until("an atomic rename", &[("a", 3), ("b", 1)]).await;
    fs::rename(files.path("b.yaml"), files.path("c.yaml")).expect("renamed");
    files.write("a.yaml", &service("a", 4));
    files.until("an edit behind a rename", &[("a", 4), ("b", 1)]).await;
    fs::remove_file(files.path("a.yaml")).expect("removed");
    files.until("a deletion", &[("b", 1)]).await;
    fs::remove_file(files.path("c.yaml")).expect("removed");
    files.until("the last deletion", &[]).await;
}

#[tokio::test]
async fn volume_of_kubernetes_flips() {
    let generation = |path: &Path, name: &str, port| {
        fs::create_dir(path.join(name)).expect("made");
        fs::write(path.join(name).join("a.yaml"), service("a", port)).expect("written");
        fs::write(path.join(name).join("b.yaml"), service("b", port)).expect("written");
        symlink(name, path.join("..data_tmp")).expect("linked");
        fs::rename(path.join("..data_tmp"), path.join("..data")).expect("renamed");
    };
    let mut files = Followed::new(|path| {
        generation(path, "..2026_01", 1);
        symlink("..data/a.yaml", path.join("a.yaml")).expect("linked");
        symlink("..data/b.yaml", path.join("b.yaml")).expect("linked");
    })
    .await;
    files.until("the volume", &[("a", 1), ("b", 1)]).await;
    for port in 2..5 {
        generation(files.directory.path(), &format!("..2026_0{port}"), port);
        fs::remove_dir_all(files.path(&format!("..2026_0{}", port - 1))).expect("removed");
        files.next("a flip").await;
        assert!(files.is(&[("a", port), ("b", port)]), "one flip is one change: {:?}", files.services);
    }
    fs::remove_file(files.path("b.yaml")).expect("removed");
    files.until("a key that is gone", &[("a", 4)]).await;
    assert_eq!(files.diagnostics, []);
}

#[tokio::test]
async fn broken_file_keeps_what_it_had() {
    let text = service("a", 1) + &service("b", 1);
    let mut files = Followed::new(|path| fs::write(path.join("a.yaml"), &text).expect("written")).await;
    files.write("a.yaml", &(service("a", 2) + "kind: [Service\n"));
    files.until_code(Code::LastGoodKept).await;
    assert!(files.is(&[("a", 1), ("b", 1)]), "{:?}", files.services);
    let broken = files.diagnostics.iter().find(|it| it.code == Code::FileUnreadable).expect("the reason");
    let location = broken.location.as_ref().expect("a place");
    assert!(location.file.ends_with("a.yaml") && location.line > 8, "{location}");
    files.write("a.yaml", &service("a", 3));
    files.until("the mended file", &[("a", 3)]).await;
    assert_eq!(files.diagnostics, []);
    fs::write(files.path("a.yaml"), b"\xff\xfe").expect("written");
    files.until_code(Code::FileUnreadable).await;
    assert!(files.is(&[("a", 3)]), "{:?}", files.services);
}

#[tokio::test]
async fn refused_object_keeps_its_last_accepted_version() {
    let mut files =
        Followed::new(|path| fs::write(path.join("a.yaml"), service("a", 1) + &service("b", 1)).expect("written"))
            .await;
    files.write("a.yaml", &(service("a", 99_999) + &service("b", 2)));
    files.until("the other object", &[("a", 1), ("b", 2)]).await;
    assert!(files.has(Code::ObjectInvalid) && files.has(Code::LastGoodKept), "{:?}", files.diagnostics);
    files.write("a.yaml", &service("b", 3));
    files.until("an object that is written no more", &[("b", 3)]).await;
    assert_eq!(files.diagnostics, []);
}

#[tokio::test]
async fn open_writer_takes_nothing_away() {
    let text = service("a", 1) + &service("b", 1);
    let mut files = Followed::new(|path| fs::write(path.join("a.yaml"), &text).expect("written")).await;
    let mut writer = File::create(files.path("a.yaml")).expect("truncated");
    files.write("marker.yaml", &service("m", 1));
    files.until("the marker", &[("a", 1), ("b", 1), ("m", 1)]).await;
    files.until_code(Code::LastGoodKept).await;
    assert!(files.is(&[("a", 1), ("b", 1), ("m", 1)]), "empty while open: {:?}", files.services);
    writer.write_all(service("a", 2).as_bytes()).expect("written");
    files.until("half of it", &[("a", 2), ("b", 1), ("m", 1)]).await;
    assert!(files.has(Code::LastGoodKept), "{:?}", files.diagnostics);
    drop(writer);
    files.until("all of it", &[("a", 2), ("m", 1)]).await;
    assert_eq!(files.diagnostics, []);
    drop(File::create(files.path("a.yaml")).expect("truncated"));
    files.until("an empty file that was left alone", &[("m", 1)]).await;
}

#[tokio::test]
async fn truncating_rewrites_never_lose_an_object() {
    let text = |port| (0..200).map(|n| service(&format!("s{n}"), port)).collect::<String>();
    let mut files = Followed::new(|path| fs::write(path.join("a.yaml"), text(1)).expect("written")).await;
    for port in 2..30 {
        let whole = text(port);
        let mut writer = File::create(files.path("a.yaml")).expect("truncated");
        for part in whole.as_bytes().chunks(1000) {
            writer.write_all(part).expect("written");
        }
        drop(writer);
        while files.services["s0"] != port || files.services["s199"] != port {
            files.next("a rewrite").await;
            assert_eq!(files.services.len(), 200);
        }
    }
}

#[tokio::test]
async fn new_directories_are_followed() {
    let mut files = Followed::new(|_| {}).await;
    fs::create_dir_all(files.path("x/y/z")).expect("made");
    files.write("x/y/z/a.yaml", &service("a", 1));
    files.until("a file in new directories", &[("a", 1)]).await;
    files.write("x/y/z/a.yaml", &service("a", 2));
    files.until("an edit there", &[("a", 2)]).await;
    fs::rename(files.path("x"), files.path("w")).expect("renamed");
    files.write("w/y/z/a.yaml", &service("a", 3));
    files.until("an edit in a renamed directory", &[("a", 3)]).await;
    fs::create_dir(files.path("x")).expect("made");
    files.write("x/b.yaml", &service("b", 1));
    files.until("a directory of an old name", &[("a", 3), ("b", 1)]).await;
    fs::remove_dir_all(files.path("w")).expect("removed");
    files.until("a removed directory", &[("b", 1)]).await;
    let elsewhere = tempfile::tempdir().expect("a directory");
    fs::write(elsewhere.path().join("c.yaml"), service("c", 1)).expect("written");
    symlink(elsewhere.path(), files.path("link")).expect("linked");
    files.until("a linked directory", &[("b", 1), ("c", 1)]).await;
    fs::write(elsewhere.path().join("c.yaml"), service("c", 2)).expect("written");
    files.until("an edit behind a link", &[("b", 1), ("c", 2)]).await;
}

#[tokio::test]
async fn first_of_two_files_stands() {
    let mut files = Followed::new(|path| {
        fs::write(path.join("b.yaml"), service("a", 2)).expect("written");
        fs::write(path.join("a.yaml"), service("a", 1)).expect("written");
    })
    .await;
    assert!(files.is(&[("a", 1)]), "{:?}", files.services);
    let double = files.diagnostics.iter().find(|it| it.code == Code::ObjectDuplicate).expect("it is reported");
    assert!(double.location.as_ref().is_some_and(|it| it.file.ends_with("b.yaml")), "{double}");
    fs::remove_file(files.path("a.yaml")).expect("removed");
    files.until("the second", &[("a", 2)]).await;
    assert_eq!(files.diagnostics, []);
}

#[tokio::test]
async fn bounds_are_kept_and_reported() {
    let limits = Limits { file: 1000, objects: 3 };
    let mut files = Followed::with_limits(limits, |path| {
        fs::write(path.join("a.yaml"), service("a", 1) + &service("b", 1)).expect("written");
    })
    .await;
    files.write("b.yaml", &(service("c", 1) + &service("d", 1)));
    files.until_code(Code::LimitReached).await;
    assert!(files.is(&[("a", 1), ("b", 1)]), "{:?}", files.services);
    files.write("b.yaml", &service("c", 1));
    files.until("as many as fit", &[("a", 1), ("b", 1), ("c", 1)]).await;
    assert_eq!(files.diagnostics, []);
    files.write("b.yaml", &" ".repeat(1001));
    files.until_code(Code::LimitReached).await;
    assert!(files.is(&[("a", 1), ("b", 1), ("c", 1)]), "{:?}", files.services);
}

#[tokio::test]
async fn rescan_reads_what_no_notice_told_of() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let real = elsewhere.path().join("real");
    fs::create_dir(&real).expect("made");
    fs::write(real.join("a.yaml"), service("a", 1)).expect("written");
    symlink(&real, elsewhere.path().join("middle")).expect("linked");
    let mut files =
        Followed::new(|path| symlink(elsewhere.path().join("middle"), path.join("sub")).expect("linked")).await;
    files.until("the first", &[("a", 1)]).await;
    // A link in the middle of a chain is not watched.
    let other = elsewhere.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("a.yaml"), service("a", 2)).expect("written");
    fs::remove_file(elsewhere.path().join("middle")).expect("removed");
    symlink(&other, elsewhere.path().join("middle")).expect("linked");
    files.rescan.rescan();
    files.until("the second", &[("a", 2)]).await;
}

#[test]
fn path_that_is_not_there_is_an_error() {
    let error = Directory::new(vec!["/nowhere/at/all".into()], Limits::default()).expect_err("it is not there");
    assert!(error.to_string().starts_with("cannot read /nowhere/at/all: "), "{error}");
}
