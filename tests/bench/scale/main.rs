//! The control side at scale: time to the first table, memory, and what one change costs until it is served.
//!
//! Everything is bounded in count and time and stays on loopback; `tests/bench/scale/run` builds what it needs and calls it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are what this program is for")]

mod arguments;
mod backend;
mod changes;
mod cluster;
mod machine;
mod peers;
mod report;
mod traffic;

use std::process::ExitCode;
use std::time::Instant;

use portico_tests::{Portico, Setup};

use arguments::Arguments;
use cluster::Cluster;
use report::Report;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("scale: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be built").block_on(async {
        let mut report = Report::new(&arguments);
        let port = backend::start().await;
        for &count in &arguments.ingresses {
            measure(&arguments, count, port, &mut report).await;
        }
        if arguments.peers {
            peers::measure(port, &mut report).await;
        }
        report.finish(&arguments);
    });
    ExitCode::SUCCESS
}

/// Everything of one size.
async fn measure(arguments: &Arguments, count: usize, port: u16, report: &mut Report) {
    let setup = Setup::new(&arguments.portico).args(&["--access-log", "off"]);
    let mut cluster = Cluster::new(count, port, setup.directory());
    cluster.write_all();
    let begun = Instant::now();
    let mut process = setup.spawn();
    let portico = Portico { addresses: process.addresses().await, process };
    changes::first(&portico, &cluster).await;
    report.add(count, "first table, from the start of the process", "ms", &[begun.elapsed()]);
    let pid = portico.process.id();
    report.value(count, "resident memory after the first table", "MB", machine::resident(pid));
    report.value(count, "highest resident memory until then", "MB", machine::highest(pid));

    for kind in changes::KINDS {
        let took = changes::latency(&portico, &mut cluster, kind, arguments.samples).await;
        report.add(count, &format!("one {}, until served", kind.name()), "ms", &took);
    }
    for kind in changes::KINDS {
        let cost = changes::cost(&portico, &mut cluster, kind, arguments.samples.div_ceil(5), arguments.rest).await;
        report.value(count, &format!("processor time of one {}", kind.name()), "ms", cost);
    }
    let traffic = traffic::measure(&portico, &mut cluster, arguments).await;
    report.add(count, report::QUIET, "ms", &traffic.quiet);
    report.add(count, report::CHURNED, "ms", &traffic.churned);
    report.value(count, "resident memory at the end", "MB", machine::resident(pid));
}
