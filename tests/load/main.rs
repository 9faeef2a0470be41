//! Acceptance under load, on a release binary: edits of the directory, SIGTERM, bodies of gibibytes.
//!
//! Prints figures and exits 1 when a promise is broken. Everything is bounded in count and time and stays on loopback.
//!
//! ```text
//! cargo build --release
//! cargo run --release -p portico-tests --bin acceptance -- edits|drain|bodies [--portico PATH] [--seconds N] ...
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are what this program is for")]

mod arguments;
mod bodies;
mod drain;
mod drivers;
mod edits;
mod figures;
mod stage;

use std::process::ExitCode;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let kept = runtime.expect("a runtime can be built").block_on(async {
        match arguments.run.as_str() {
            "edits" => edits::run(&arguments).await,
            "drain" => drain::run(&arguments).await,
            _ => bodies::run(&arguments).await,
        }
    });
    println!("{}", if kept { "every promise kept" } else { "BROKEN" });
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
