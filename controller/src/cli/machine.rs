//! What this machine lets the process have.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::disable_transparent_huge_pages;

/// Processors this process may use, cgroup quota included, at most 16.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(16)
}

/// Open files that the process may have, after asking for as many as it may ask for.
pub(super) fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Refused where the kernel's own bound is lower: then what there is must do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
    let granted = getrlimit(Resource::Nofile).current;
    granted.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

/// Keeps private keys out of core files: none is written, nor piped to a collector (which ignores the size limit), and
/// other processes of the same user cannot read this one's memory.
pub(super) fn forbid_core_dumps() {
    // Neither can be refused to a process that asks for less.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Has memory given out in ordinary pages: a huge one stays for as long as a single connection in it does, and is as
/// large as 200 of them.
pub(super) fn forbid_huge_pages() {
    // A kernel that does not know the wish has none to give.
    let _ = disable_transparent_huge_pages(true);
}

/// What tells this process from others: the machine's name and the process's number.
pub(super) fn process_name() -> String {
    format!("{}-{}", rustix::system::uname().nodename().to_string_lossy(), std::process::id())
}
