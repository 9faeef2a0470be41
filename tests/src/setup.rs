//! How a process under test is started: arguments, manifests, and ports chosen by the system.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::client::get;
use crate::manifest::join;
use crate::portico::Portico;
use crate::process::Process;
use crate::wait_until;

/// How to start a `portico serve`.
#[derive(Debug)]
pub struct Setup {
    binary: PathBuf,
    root: TempDir,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    workers: usize,
}

impl Setup {
    /// With this binary and an empty directory of manifests.
    #[must_use]
    pub fn new(binary: &str) -> Self {
        let root = TempDir::new().expect("the system has a directory for temporary files");
        for directory in [MANIFESTS, STAGING] {
            std::fs::create_dir(root.path().join(directory)).expect("a fresh directory takes entries");
        }
        Self { binary: binary.into(), root, arguments: Vec::new(), variables: Vec::new(), workers: 1 }
    }

    /// Adds flags.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Number of workers; 1 unless said.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Writes these documents into `manifests.yaml`.
    #[must_use]
    pub fn manifests(self, documents: impl IntoIterator<Item = impl Display>) -> Self {
        self.file("manifests.yaml", &join(documents))
    }

    /// Writes a file below the directory of manifests.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Self {
        put(self.root.path(), name, text);
        self
    }

    /// The directory of manifests.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        manifests(self.root.path())
    }

    /// Runs another verb with these arguments, in which `DIR` stands for the directory of manifests, to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let directory = self.directory();
        let mut command = Command::new(&self.binary);
        for &argument in arguments {
            match argument {
                "DIR" => command.arg(&directory),
                other => command.arg(other),
            };
        }
        command.stdin(Stdio::null()).env("NO_COLOR", "1").output().expect("the binary can be run")
    }

    /// Starts it without waiting for anything.
    #[must_use]
    pub fn spawn(self) -> Process {
        let any = "127.0.0.1:0";
        let given = |flag: &str| self.arguments.iter().any(|argument| argument == flag);
        let mut command = Command::new(&self.binary);
        command.arg("serve");
        if !given("--manifests") {
            command.arg("--manifests").arg(manifests(self.root.path()));
        }
        for flag in ["--http", "--https", "--status", "--admin"] {
            if !given(flag) {
                command.args([flag, any]);
            }
        }
        command.args(["--workers", &self.workers.to_string()]).args(&self.arguments);
        self.begin(command)
    }

    /// Starts another verb that runs until it is ended.
    #[must_use]
    pub fn spawn_verb(self, arguments: &[&str]) -> Process {
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        self.begin(command)
    }

    fn begin(self, mut command: Command) -> Process {
        command.envs(self.variables).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the binary can be run");
        Process::new(child, self.root)
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Portico {
        let mut process = self.spawn();
        let addresses = process.addresses().await;
        let mut portico = Portico { process, addresses };
        wait_until("readiness", async || {
            portico.process.still_runs()?;
            let answer = get(portico.addresses.status, "status", "/readyz").await.map_err(|e| e.to_string())?;
            if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
        })
        .await;
        portico
    }
}

/// The directory of manifests below the root that a process owns.
pub(crate) fn manifests(root: &Path) -> PathBuf {
    root.join(MANIFESTS)
}

/// Replaces a file of the directory of manifests at one stroke.
pub(crate) fn put(root: &Path, name: &str, text: &str) {
    let file = manifests(root).join(name);
    std::fs::create_dir_all(file.parent().expect("a file has a directory")).expect("directories can be made");
    let staged = root.join(STAGING).join(name.replace('/', "_"));
    std::fs::write(&staged, text).expect("the directory takes files");
    std::fs::rename(staged, file).expect("both directories are on one file system");
}

const MANIFESTS: &str = "manifests";
const STAGING: &str = "staging";
