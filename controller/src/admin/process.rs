//! What the operating system says of this process.

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Processor time, memory, descriptors and start of this process; what the system does not tell is left out.
#[derive(Debug)]
pub(super) struct Process {
    started: f64,
}

impl Process {
    pub(super) fn new() -> Self {
        Self { started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        #[allow(clippy::cast_precision_loss)]
        let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        let help = "Processor time spent";
        encoder
            .encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&seconds, None)?;
        let help = "Start of the process since 1970";
        encoder
            .encode_descriptor("process_start_time", help, Some(&Unit::Seconds), MetricType::Gauge)?
            .encode_gauge(&self.started)?;
        let gauges = [
            ("process_resident_memory", "Memory in use", Some(Unit::Bytes), resident()),
            ("process_open_fds", "Open file descriptors", None, descriptors()),
            ("process_max_fds", "File descriptors that may be open", None, getrlimit(Resource::Nofile).current),
        ];
        for (name, help, unit, value) in gauges {
            let Some(value) = value else { continue };
            encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

/// Resident memory in octets (proc(5), `VmRSS`, in kibibytes).
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Open descriptors, without the one that lists them.
fn descriptors() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(open.saturating_sub(1)).ok()
}
