//! Ten thousand connections that are parked and woken at random: none is lost, no answer goes astray.
//!
//! The data plane runs in a process of its own, so that each side has the file descriptors of a process for itself, and
//! so that what its connections cost in memory can be seen.
#![expect(clippy::print_stdout, reason = "the two processes talk by it, and to whoever runs this")]

#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
#[path = "../kit/mod.rs"]
mod kit;

mod client;
mod host;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the binary allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tells the process to be the data plane's.
const HOST: &str = "PORTICO_STORM_HOST";

fn main() {
    let files = raise_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if std::env::var_os(HOST).is_some() {
        return runtime.block_on(host::run());
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return println!("storm: test");
    }
    if arguments.iter().any(|argument| !argument.starts_with('-') && !"storm".contains(argument.as_str())) {
        return println!("storm: not asked for");
    }
    // What cannot be opened here is left out: half a thousand are for upstreams and the rest of the process.
    let count = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(500).min(10_000);
    let mut host = start();
    let mut lines = BufReader::new(host.stdout.take().expect("piped")).lines();
    let mut line = move || lines.next().expect("a line").expect("text");
    let addresses: [SocketAddr; 2] = [line(), line()].map(|line| line.parse().expect("an address"));
    let mut orders = host.stdin.take().expect("piped");
    runtime.block_on(client::storm(addresses, count, |order| {
        std::io::Write::write_all(&mut orders, format!("{order}\n").as_bytes()).expect("the host listens");
        line()
    }));
    drop(orders);
    assert!(host.wait().expect("a child").success());
}

/// As many files as may be open; how many that is.
fn raise_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Without it there are as many as before.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn start() -> Child {
    let program = std::env::current_exe().expect("a program");
    let mut command = Command::new(program);
    command.env(HOST, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("this program can be started")
}
