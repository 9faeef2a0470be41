//! A cgroup with a memory limit, of either version; gone with its last process.

use std::fs;
use std::path::{Path, PathBuf};

/// A limited cgroup.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// One whose processes may have so many octets.
    pub(crate) fn limited_to(octets: u64) -> Self {
        let (mount, limit) = match Path::new("/sys/fs/cgroup/memory").exists() {
            true => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            false => ("/sys/fs/cgroup", "memory.max"),
        };
        let directory = Path::new(mount).join(format!("portico-faults-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("root may make cgroups");
        fs::write(directory.join(limit), octets.to_string()).unwrap();
        Self(directory)
    }

    /// A line of sh that enters it.
    pub(crate) fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.0.display())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its process may take a moment to be gone.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    }
}
