//! A process with a processor of its own, and what the kernel says it has cost.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// A running process and its children; dropping it ends them all.
pub(crate) struct Running {
    /// For messages.
    name: String,
    child: std::process::Child,
}

impl Running {
    /// Starts a command on the given processors, in a process group of its own; what it prints goes into a file.
    pub(crate) fn start(name: &str, cpus: &str, command: &[String], log: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let log = fs::File::create(log).with_context(|| format!("{}", log.display()))?;
        let child = Command::new("taskset")
            .args(["-c", cpus])
            .args(command)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name}: taskset cannot be run: apt-get install util-linux"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// Fails when the process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended: {status}", self.name),
            None => Ok(()),
        }
    }

    /// What all threads of the process and of its descendants have run.
    pub(crate) fn ran(&self) -> Result<Ran> {
        let mut ran = HashMap::new();
        for pid in self.tree() {
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for task in tasks.flatten() {
                // A thread may end between the two readings.
                let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
                let mut numbers = text.split(' ').map(str::parse::<u64>);
                let mut number = || numbers.next().context("schedstat has three numbers");
                ran.insert(task.file_name(), [number()??, number()??]);
            }
        }
        Ok(Ran(ran))
    }

    /// Resident kilobytes of the process and of its descendants.
    pub(crate) fn resident(&self) -> Result<u64> {
        let mut sum = 0;
        for pid in self.tree() {
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmRSS:")) else { continue };
            sum += line.trim().trim_end_matches(" kB").parse::<u64>()?;
        }
        Ok(sum)
    }

    fn tree(&self) -> Vec<u32> {
        let mut pids = vec![self.child.id()];
        let mut next = 0;
        while let Some(pid) = pids.get(next) {
            next += 1;
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        pids
    }
}

/// Nanoseconds that each thread has run, and that it has waited for the processor.
#[derive(Debug)]
pub(crate) struct Ran(HashMap<OsString, [u64; 2]>);

impl Ran {
    /// What has run and waited since an earlier reading. The last bit of a thread that ended meanwhile is lost.
    pub(crate) fn since(&self, earlier: &Self) -> [Duration; 2] {
        [0, 1].map(|index| {
            let before = |thread| earlier.0.get(thread).map_or(0, |both| both[index]);
            let spent = self.0.iter().map(|(thread, both)| both[index].saturating_sub(before(thread)));
            Duration::from_nanos(spent.sum())
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // Gone already is as good.
            let _gone = kill_process_group(pid, Signal::KILL);
        }
        let _status = self.child.wait();
    }
}

/// Runs a command on the given processors to its end; gives what it printed.
pub(crate) async fn output(cpus: &str, command: &[String]) -> Result<String> {
    let output = tokio::process::Command::new("taskset")
        .args(["-c", cpus])
        .args(command)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("taskset cannot be run: apt-get install util-linux")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{} failed: {}{text}", command.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

/// Ports of loopback that nobody listens on, below those that the kernel gives to outgoing connections.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut candidates = 18_000..32_000;
    let mut ports = [0; N];
    for port in &mut ports {
        *port = candidates
            .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .context("no port between 18000 and 32000 is free")?;
    }
    Ok(ports)
}
