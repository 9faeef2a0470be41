//! What this machine lets the process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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

/// What tells this process from others: the machine's name and the process's number.
pub(super) fn process_name() -> String {
    format!("{}-{}", rustix::system::uname().nodename().to_string_lossy(), std::process::id())
}
