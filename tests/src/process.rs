//! A started process: what it says, how it takes signals, how it ends.
//!
//! Dropping one kills it; when a test fails, what it logged is printed with the failure.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

use crate::wait_until;

/// A started process, ready or not.
#[derive(Debug)]
pub struct Process {
    child: Child,
    root: TempDir,
    stdout: Captured,
    stderr: Captured,
}

impl Process {
    pub(crate) fn new(mut child: Child, root: TempDir) -> Self {
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        Self { child, root, stdout, stderr }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Waits until it says where it listens.
    pub async fn addresses(&mut self) -> Addresses {
        wait_until("the line that says where it listens", async || {
            self.still_runs()?;
            Addresses::find(&text(&self.stderr)).ok_or_else(|| "not yet".to_owned())
        })
        .await
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        wait_until("the end of the process", async || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it runs".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_some()
    }

    /// Nothing while it runs.
    ///
    /// # Panics
    /// When it has ended.
    pub(crate) fn still_runs(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            // Waiting longer makes no sense: fail at once, with the reason.
            Ok(Some(status)) => panic!("portico ended with {status}: {}", text(&self.stderr)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What it wrote on stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// What it wrote on stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("process ids are positive");
        kill_process(pid, signal).expect("a child takes signals");
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the log of a failed test belongs to its output")]
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- portico's log\n{}\n----", text(&self.stderr));
        }
    }
}

/// Where a process listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Plain HTTP.
    pub http: SocketAddr,
    /// HTTPS.
    pub https: SocketAddr,
    /// Health and metrics.
    pub status: SocketAddr,
    /// What the table holds and why.
    pub admin: SocketAddr,
}

impl Addresses {
    fn find(log: &str) -> Option<Self> {
        let line = log.lines().find(|line| line.contains("listening ") && line.contains("admin="))?;
        let field = |name: &str| {
            let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
            value.parse().ok()
        };
        Some(Self { http: field("http")?, https: field("https")?, status: field("status")?, admin: field("admin")? })
    }
}

/// Resident memory of a process in KiB.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}

/// Output gathered by a thread of its own: complete whatever the test's runtime is doing.
type Captured = Arc<Mutex<Vec<u8>>>;

fn collect(mut pipe: impl std::io::Read + Send + 'static) -> Captured {
    let captured = Captured::default();
    let sink = captured.clone();
    std::thread::spawn(move || {
        let mut chunk = [0; 8192];
        while let Ok(read @ 1..) = pipe.read(&mut chunk) {
            sink.lock().expect("no reader panics").extend_from_slice(&chunk[..read]);
        }
    });
    captured
}

fn text(captured: &Captured) -> String {
    String::from_utf8_lossy(&captured.lock().expect("no reader panics")).into_owned()
}
