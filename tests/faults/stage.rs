//! The process under test as rows start it: its binary, what is wrapped around it, one host in front of some backends.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portico_tests::{Ingress, Portico, Service, Setup};
use tempfile::TempDir;

/// The host that rows ask for.
pub(crate) const HOST: &str = "a.test";

/// The binary under test: the one built with the rows, or the one that `BINARY_UNDER_TEST` names.
pub(crate) fn binary() -> PathBuf {
    named("BINARY_UNDER_TEST").unwrap_or_else(|| env!("CARGO_BIN_EXE_portico").into())
}

/// The binary with points of failure, which `BINARY_WITH_FAILPOINTS` names.
pub(crate) fn binary_with_failpoints() -> PathBuf {
    named("BINARY_WITH_FAILPOINTS").expect("BINARY_WITH_FAILPOINTS names a build with --features failpoints")
}

fn named(variable: &str) -> Option<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::var(variable).ok().map(|named| top.join(named))
}

/// A process of a binary, to be set up.
pub(crate) fn setup_of(binary: &Path) -> Setup {
    Setup::new(binary.to_str().unwrap())
}

/// A process of the binary under test, to be set up.
pub(crate) fn setup() -> Setup {
    setup_of(&binary())
}

/// A script that does something to its own process and then becomes the binary under test.
pub(crate) struct Wrapped {
    _directory: TempDir,
    script: PathBuf,
}

impl Wrapped {
    /// `before` are lines of sh; `after` follows the command, to say where its output goes.
    pub(crate) fn new(before: &str, after: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let script = directory.path().join("portico");
        let binary = binary();
        let text = format!("#!/bin/sh\nset -e\n{before}\nexec {} \"$@\" {after}\n", binary.display());
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { _directory: directory, script }
    }

    pub(crate) fn setup(&self) -> Setup {
        setup_of(&self.script)
    }
}

/// An Ingress that sends [`HOST`] to these addresses.
pub(crate) fn site(addresses: &[SocketAddr]) -> Vec<String> {
    vec![Ingress::new("web").host(HOST, "web").to_string(), Service::new("web").with(addresses)]
}

/// A ready process in front of these addresses.
pub(crate) async fn serve(addresses: &[SocketAddr], flags: &[&str]) -> Portico {
    setup().manifests(site(addresses)).args(flags).start().await
}

/// A counter or gauge of the process as a whole number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are small")]
pub(crate) async fn count(portico: &Portico, name: &str, labels: &[&str]) -> u64 {
    portico.metric(name, labels).await as u64
}

/// Waits until a condition holds; false when it does not within this time.
pub(crate) async fn within(time: Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(time, holds).await.is_ok()
}

/// Processor time that a process has used so far.
pub(crate) fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // utime and stime, in clock ticks of a hundredth of a second (proc(5)).
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Open descriptors of a process.
pub(crate) fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}
