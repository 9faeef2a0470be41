//! nginx and HAProxy with 10,000 applications in their own configuration: what a reload costs, since that is how they take
//! up a change.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portico_tests::client::get;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::cluster::host;
use crate::machine;
use crate::report::Report;

const COUNT: usize = 10_000;
/// Reloads of each.
const RELOADS: usize = 5;

/// One of them.
struct Proxy {
    name: &'static str,
    /// Its configuration with a path of this version on every host.
    configuration: fn(&Path, SocketAddr, u16, usize) -> String,
    command: fn(&Path) -> Command,
    /// The signal by which it reads its configuration again.
    signal: &'static str,
}

const PROXIES: [Proxy; 2] = [
    Proxy { name: "nginx", configuration: nginx, command: run_nginx, signal: "-HUP" },
    Proxy { name: "HAProxy", configuration: haproxy, command: run_haproxy, signal: "-USR2" },
];

pub(crate) async fn measure(port: u16, report: &mut Report) {
    for proxy in PROXIES {
        let folder = TempDir::new().expect("the system has a directory for temporary files");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("loopback has free ports");
        let write = |version: usize| {
            let text = (proxy.configuration)(folder.path(), address, port, version);
            fs::write(folder.path().join("conf"), text).expect("the folder can be written to");
        };
        write(0);
        let begun = Instant::now();
        let Ok(child) = (proxy.command)(folder.path()).stderr(Stdio::null()).stdout(Stdio::null()).spawn() else {
            println!("{} is not there and left out", proxy.name);
            continue;
        };
        let running = Running(child);
        let pid = running.0.id();
        served(address, 0).await;
        report.add(COUNT, &format!("{}, start", proxy.name), "ms", &[begun.elapsed()]);
        report.value(COUNT, &format!("{}, resident memory of all processes", proxy.name), "MB", resident(pid));
        let (mut took, mut processor, mut most) = (Vec::new(), 0.0, 0.0_f64);
        for version in 1..=RELOADS {
            // A master that has only just started, or ended a reload, may not listen to signals yet.
            sleep(Duration::from_secs(3)).await;
            write(version);
            let (begun, before) = (Instant::now(), machine::processor(pid));
            let sent = Command::new("kill").args([proxy.signal, &pid.to_string()]).status();
            assert!(sent.is_ok_and(|status| status.success()), "{} runs", proxy.name);
            served(address, version).await;
            took.push(begun.elapsed());
            most = most.max(resident(pid));
            processor += machine::processor(pid) - before;
        }
        report.add(COUNT, &format!("{}, one rule by a reload, until served", proxy.name), "ms", &took);
        report.value(COUNT, &format!("{}, resident memory during a reload", proxy.name), "MB", most);
        let each = processor * 1000.0 / RELOADS as f64;
        report.value(COUNT, &format!("{}, processor time of the master in a reload", proxy.name), "ms", each);
    }
}

/// Waits until a path of this version is answered.
async fn served(address: SocketAddr, version: usize) {
    let path = format!("/api/v{version}/x");
    let asked = async {
        loop {
            // Reloads may refuse connections for a moment, or leave one without an answer.
            let asked = timeout(Duration::from_secs(1), get(address, &host(COUNT - 1, 1), &path)).await;
            if asked.is_ok_and(|asked| asked.is_ok_and(|answer| answer.status == 200)) {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(120), asked).await.expect("it starts and reloads within two minutes");
}

fn resident(pid: u32) -> f64 {
    machine::resident(pid) + machine::children(pid).into_iter().map(machine::resident).sum::<f64>()
}

fn nginx(folder: &Path, address: SocketAddr, port: u16, version: usize) -> String {
    let folder = folder.display();
    let mut text = format!(
        "daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log /dev/null;\nevents {{ worker_connections 1024; }}\n\
         http {{\naccess_log off;\nserver_names_hash_max_size 65536;\nserver_names_hash_bucket_size 128;\n"
    );
    for number in 0..COUNT {
        let servers: String = (0..10).map(|at| server(at, port)).map(|it| format!(" server {it};")).collect();
        writeln!(text, "upstream u{number} {{ keepalive 8;{servers} }}").expect("writing to a string never fails");
        for half in 0..2 {
            writeln!(
                text,
                "server {{ listen {address}; server_name {}; location = / {{ proxy_pass http://u{number}; }} location \
                 /api/v{version}/ {{ proxy_pass http://u{number}; }} location / {{ return 404; }} }}",
                host(number, half)
            )
            .expect("writing to a string never fails");
        }
    }
    text + "}\n"
}

fn haproxy(folder: &Path, address: SocketAddr, port: u16, version: usize) -> String {
    let map: String =
        (0..COUNT).flat_map(|number| [0, 1].map(|half| format!("{} u{number}\n", host(number, half)))).collect();
    fs::write(folder.join("hosts.map"), map).expect("the folder can be written to");
    let folder = folder.display();
    let mut text = format!(
        "global\n  nbthread 1\n  maxconn 1000\ndefaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout \
         connect 2s\nfrontend f\n  bind {address}\n  http-request deny deny_status 404 unless {{ path / }} or {{ path_beg \
         /api/v{version}/ }}\n  use_backend %[req.hdr(host),lower,map({folder}/hosts.map)]\n"
    );
    for number in 0..COUNT {
        let servers: String = (0..10).map(|at| format!("  server s{at} {}\n", server(at, port))).collect();
        write!(text, "backend u{number}\n{servers}").expect("writing to a string never fails");
    }
    text
}

/// Both backends that answer, five times each: without health checks a server that is not there would fail requests.
fn server(at: usize, port: u16) -> String {
    format!("127.0.0.{}:{port}", 2 + at % 2)
}

fn run_nginx(folder: &Path) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-c").arg(folder.join("conf")).arg("-p").arg(folder);
    command
}

fn run_haproxy(folder: &Path) -> Command {
    let mut command = Command::new("haproxy");
    command.arg("-W").arg("-f").arg(folder.join("conf"));
    command
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Asked to end, the master ends its workers too.
        drop(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status());
        drop(self.0.wait());
    }
}
