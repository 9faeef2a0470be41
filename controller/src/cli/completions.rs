//! `portico completions`: a script for a shell.

use clap_complete::Shell;

use super::{Answer, args, write_out};

pub(super) fn run(shell: Shell) -> anyhow::Result<Answer> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "portico", &mut script);
    write_out(&String::from_utf8_lossy(&script)).map(|()| Answer::Yes)
}
