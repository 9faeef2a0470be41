//! `portico serve`: the real thing.

use super::args::ServeArgs;
use super::{Answer, logging, machine, settings};
use crate::app;

pub(super) fn run(args: &ServeArgs) -> anyhow::Result<Answer> {
    let settings = settings::serve(args)?;
    if !args.log.core_dumps {
        machine::forbid_core_dumps();
    }
    machine::forbid_huge_pages();
    logging::start(args.log.log_level, args.log.log_format);
    app::run(settings)?;
    Ok(Answer::Yes)
}
