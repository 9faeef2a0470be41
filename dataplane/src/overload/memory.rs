//! How much memory there is and how much of it is used: cgroups of both versions, or a limit of our own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the process may use.
#[derive(Debug)]
pub(crate) enum Budget {
    /// The resident memory of the process against a number.
    Process {
        /// Octets allowed.
        limit: u64,
    },
    /// The cgroups that have a limit.
    Cgroups(Cgroups),
}

impl Budget {
    /// The budget that was asked for, else what the cgroups say; `None` when there is no limit.
    pub(crate) fn find(limit: Option<u64>) -> Option<Self> {
        if let Some(limit) = limit {
            return Some(Self::Process { limit });
        }
        let cgroups = Cgroups::below(Path::new("/sys/fs/cgroup"), &fs::read_to_string("/proc/self/cgroup").ok()?);
        (!cgroups.limits.is_empty()).then_some(Self::Cgroups(cgroups))
    }

    /// Octets used and allowed, where it is tightest.
    pub(crate) fn used(&self) -> (u64, u64) {
        match self {
            Self::Process { limit } => (resident().unwrap_or(0), *limit),
            Self::Cgroups(cgroups) => cgroups.used(),
        }
    }
}

/// Every cgroup from the process's own up to the root that limits memory: a limit may stand at any of them.
#[derive(Debug)]
pub(crate) struct Cgroups {
    limits: Vec<Limited>,
}

#[derive(Debug)]
struct Limited {
    limit: u64,
    usage: PathBuf,
    stat: PathBuf,
    names: &'static Files,
    /// The most that was ever mapped of files: what runs cannot do without. Where memory is short the kernel takes it back
    /// page by page, and the process reads its own code from the disk instead of working.
    mapped: AtomicU64,
}

impl Cgroups {
    /// Those that `membership`, the text of `/proc/self/cgroup`, names below the mount point `root`. In a container the
    /// path is the host's and the mount is the container's own cgroup: then that is looked at.
    pub(crate) fn below(root: &Path, membership: &str) -> Self {
        let mut limits = Vec::new();
        for line in membership.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            let (mount, files) = match controllers {
                "" => (root.to_owned(), &VERSION_2),
                list if list.split(',').any(|name| name == "memory") => (root.join("memory"), &VERSION_1),
                _ => continue,
            };
            let own = mount.join(path.trim_start_matches('/'));
            let own = if own.join(files.usage).exists() { own } else { mount.clone() };
            let ancestors = own.ancestors().take_while(|directory| directory.starts_with(&mount));
            limits.extend(ancestors.filter_map(|directory| Limited::find(directory, files)));
        }
        Self { limits }
    }

    fn used(&self) -> (u64, u64) {
        let all = self.limits.iter().map(|one| (one.used().unwrap_or(0), one.limit));
        all.max_by_key(|(used, limit)| used.saturating_mul(1000) / limit).unwrap_or((0, 0))
    }
}

impl Limited {
    fn find(directory: &Path, files: &'static Files) -> Option<Self> {
        let limit = number(&directory.join(files.limit)).filter(|limit| (1..UNLIMITED).contains(limit))?;
        let (usage, stat) = (directory.join(files.usage), directory.join("memory.stat"));
        Some(Self { limit, usage, stat, names: files, mapped: AtomicU64::new(0) })
    }

    /// Octets that the kernel cannot take back by forgetting pages of files that nobody has mapped.
    fn used(&self) -> Option<u64> {
        let stat = fs::read_to_string(&self.stat).ok()?;
        let pages = |name: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
        };
        let mapped = self.mapped.load(Relaxed).max(pages(self.names.mapped));
        self.mapped.store(mapped, Relaxed);
        let cache: u64 = self.names.cache.iter().map(|name| pages(name)).sum();
        Some(number(&self.usage)?.saturating_sub(cache.saturating_sub(mapped)))
    }
}

/// The names of a version's files.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    usage: &'static str,
    /// Names of what the kernel can take back, in `memory.stat`.
    cache: [&'static str; 2],
    /// And of the part of it that is mapped.
    mapped: &'static str,
}

static VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: ["total_inactive_file", "total_active_file"],
    mapped: "total_mapped_file",
};
static VERSION_2: Files = Files {
    limit: "memory.max",
    usage: "memory.current",
    cache: ["inactive_file", "active_file"],
    mapped: "file_mapped",
};
/// Limits from here on mean that there is none.
const UNLIMITED: u64 = 1 << 60;

/// A file that holds one number.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Resident memory of this process in octets (proc(5), `VmRSS`, in kibibytes).
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mount point with these files.
    fn tree(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("portico-cgroups-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it lies below the root")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn the_tightest_cgroup_of_version_2_counts_without_pages_of_files() {
        let root = tree(
            "v2",
            &[
                ("pods/memory.max", "1000000\n"),
                ("pods/memory.current", "500000\n"),
                ("pods/memory.stat", "anon 400000\ninactive_file 90000\nactive_file 10000\n"),
                ("pods/one/memory.max", "max\n"),
                ("pods/one/memory.current", "500000\n"),
                ("pods/one/memory.stat", ""),
            ],
        );
        let cgroups = Cgroups::below(&root, "0::/pods/one\n");
        assert_eq!(cgroups.used(), (400_000, 1_000_000));
        fs::remove_dir_all(root).expect("it was there");
    }

    #[test]
    fn what_was_once_mapped_counts_when_the_kernel_has_taken_it_back() {
        let stat = |cache: u64, mapped: u64| format!("inactive_file {cache}\nactive_file 0\nfile_mapped {mapped}\n");
        let files = [("memory.max", "1000\n"), ("memory.current", "900\n"), ("memory.stat", &*stat(200, 50))];
        let root = tree("mapped", &files);
        let cgroups = Cgroups::below(&root, "0::/\n");
        assert_eq!(cgroups.used(), (750, 1000));
        fs::write(root.join("memory.stat"), stat(60, 10)).expect("a file");
        assert_eq!(cgroups.used(), (890, 1000));
        fs::remove_dir_all(root).expect("it was there");
    }

    #[test]
    fn version_1_names_other_files_and_a_container_sees_its_own_as_the_root() {
        let root = tree(
            "v1",
            &[
                ("memory/memory.limit_in_bytes", "2000\n"),
                ("memory/memory.usage_in_bytes", "1500\n"),
                ("memory/memory.stat", "total_inactive_file 200\ntotal_active_file 100\ninactive_file 9999\n"),
            ],
        );
        let cgroups = Cgroups::below(&root, "5:cpu,cpuacct:/x\n4:memory:/kubepods/pod1\n0::/\n");
        assert_eq!(cgroups.used(), (1200, 2000));
        fs::remove_dir_all(root).expect("it was there");
    }

    #[test]
    fn no_limit_is_none() {
        let root = tree("none", &[("memory/memory.limit_in_bytes", "9223372036854771712\n")]);
        assert!(Cgroups::below(&root, "4:memory:/\n").limits.is_empty());
        assert!(Cgroups::below(&root, "not a membership\n").limits.is_empty());
        fs::remove_dir_all(root).expect("it was there");
    }

    #[test]
    fn a_limit_of_our_own_is_held_against_resident_memory() {
        let (used, limit) = Budget::find(Some(1 << 30)).expect("it was asked for").used();
        assert!(used > 1 << 20 && limit == 1 << 30, "{used}");
    }
}
