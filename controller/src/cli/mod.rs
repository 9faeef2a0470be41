//! The command line: what was typed, what can run, and one file per verb.
//!
//! Exit codes are decided here and nowhere else: 0 done, 1 the answer is no (errors found, request not served), 2 could
//! not run. Whatever stops a verb is one line on stderr.

mod args;
mod ask;
mod check;
mod completions;
mod demo;
mod explain;
mod load;
mod logging;
mod machine;
mod paint;
#[cfg(test)]
mod reference;
mod routes;
mod serve;
mod settings;
mod show;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::FromArgMatches;

use args::{Cli, Command};

/// What a verb found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Done, or nothing wrong.
    Yes,
    /// It ran, and what was asked about is not in order.
    No,
}

/// Runs the program: arguments with the program's name first, exit code out.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (code, complaint) = decide(arguments);
    if let Some(complaint) = complaint {
        // Nothing is left to be done when even stderr is gone.
        drop(writeln!(io::stderr(), "portico: {complaint}"));
    }
    ExitCode::from(code)
}

/// The exit code, and the one line that explains a 2.
fn decide(arguments: impl IntoIterator<Item = OsString>) -> (u8, Option<String>) {
    let outcome = match parse(arguments) {
        Ok(cli) => perform(&cli.command),
        Err(error) if error.use_stderr() => return (2, Some(one_line(&error.render().to_string()))),
        // Help and version are answers, not errors.
        Err(error) => write_out(&error.render().to_string()).map(|()| Answer::Yes),
    };
    match outcome {
        Ok(Answer::Yes) => (0, None),
        Ok(Answer::No) => (1, None),
        Err(error) if is_broken_pipe(&error) => (0, None),
        Err(error) => (2, Some(flat(&told(&error)))),
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&args::command().try_get_matches_from(arguments)?)
}

fn perform(command: &Command) -> anyhow::Result<Answer> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Check(args) => check::run(args),
        Command::Routes(args) => routes::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Completions { shell } => completions::run(*shell),
    }
}

/// Writes an answer to stdout.
fn write_out(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Whoever read our output had enough, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The part of a usage error that says what is wrong and what would be right.
fn one_line(rendered: &str) -> String {
    let told = rendered.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let mut out = String::new();
    for line in told.filter(|line| !line.is_empty() && !line.starts_with("For more information")) {
        let line = line.strip_prefix("error: ").unwrap_or(line);
        match (out.is_empty(), line.strip_prefix("tip: ")) {
            (true, _) => out.push_str(line),
            (false, Some(tip)) => out.extend(["; ", tip]),
            (false, None) => out.extend([" ", line]),
        }
    }
    out
}

/// An error with its causes, each told once although some name their cause themselves.
fn told(error: &anyhow::Error) -> String {
    let mut out = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if out.is_empty() {
            out = cause;
        } else if !out.ends_with(&cause) {
            out.extend([": ", &cause]);
        }
    }
    out
}

/// One line, whatever an error's text holds.
fn flat(text: &str) -> String {
    text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
