//! `portico serve`: the real thing.

use super::args::ServeArgs;
use super::{Answer, logging, settings};
use crate::app;

pub(super) fn run(args: &ServeArgs) -> anyhow::Result<Answer> {
    let settings = settings::serve(args)?;
    logging::start(args.log.log_level, args.log.log_format);
    app::run(settings)?;
    Ok(Answer::Yes)
}
