//! A cgroup with a limit, of either version; gone with its last process.

use std::fs;
use std::path::{Path, PathBuf};

/// A limited cgroup.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// One whose processes may have so many octets.
    pub(crate) fn limited_to(octets: u64) -> Self {
        let octets = octets.to_string();
        Self::new("memory", &[("memory.limit_in_bytes", &octets)], &[("memory.max", &octets)])
    }

    /// One whose processes may have this share of one processor, in slices of ten milliseconds.
    pub(crate) fn with_processor(percent: u64) -> Self {
        let (quota, period) = ((percent * 100).to_string(), "10000");
        let both = format!("{quota} {period}");
        Self::new("cpu", &[("cpu.cfs_period_us", period), ("cpu.cfs_quota_us", &quota)], &[("cpu.max", &both)])
    }

    fn new(controller: &str, first: &[(&str, &str)], second: &[(&str, &str)]) -> Self {
        let own = Path::new("/sys/fs/cgroup").join(controller);
        let (mount, limits) = if own.exists() { (own, first) } else { (PathBuf::from("/sys/fs/cgroup"), second) };
        let directory = mount.join(format!("portico-faults-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("root may make cgroups");
        for (file, value) in limits {
            fs::write(directory.join(file), value).unwrap();
        }
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
