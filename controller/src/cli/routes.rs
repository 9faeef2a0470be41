//! `portico routes`: the table of manifests or of a running Portico.

use super::args::{Format, RoutesArgs};
use super::paint::Paint;
use super::{Answer, ask, load, settings, show, write_out};
use crate::view::routes::{self, RoutesView};

pub(super) fn run(args: &RoutesArgs) -> anyhow::Result<Answer> {
    let view: RoutesView = match &args.admin {
        Some(url) => ask::get(url, "/routes", &[])?,
        None => {
            let loaded = load::read(&args.paths, settings::options(&args.ingress))?;
            load::warn(&loaded)?;
            routes::routes(&loaded.served())
        }
    };
    write_out(&match args.format {
        Format::Text => show::routes::routes(&view, Paint::for_stdout()),
        Format::Json => serde_json::to_string_pretty(&view)? + "\n",
    })?;
    Ok(Answer::Yes)
}
