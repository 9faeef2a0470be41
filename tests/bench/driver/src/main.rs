//! Measures Portico beside other proxies, on one machine and in one run.
//!
//! `bench run` is what people start, through `tests/bench/run`. The other words are programs that it starts for itself, so
//! that each has a process and a processor of its own:
//!
//! - `bench relay PORT=PORT...`: a bare relay of bytes, the floor of what forwarding costs;
//! - `bench backend ECHO GRPC`: what stands behind the proxies for uploads, WebSocket and gRPC;
//! - `bench load KIND ...`: drivers for what wrk, h2load and oha do not do.

mod args;
mod backend;
mod client;
mod external;
mod figures;
mod idle;
mod load;
mod machine;
mod measure;
mod peers;
mod process;
mod relay;
mod report;
mod rounds;
mod scenario;
mod site;
mod start;
mod targets;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((word, rest)) if word == "run" => interruptible(rest).await,
        Some((word, rest)) if word == "relay" => relay::run(rest).await,
        Some((word, rest)) if word == "backend" => backend::run(rest).await,
        Some((word, rest)) if word == "load" => load::run(rest).await,
        _ => Err(anyhow::anyhow!("the first argument is run, relay, backend or load")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C drops the run, and with it every process that it started.
async fn interruptible(arguments: &[String]) -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = measure::run(arguments) => result,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}
