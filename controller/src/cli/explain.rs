//! `portico explain`: where one request goes, by manifests or by a running Portico.

use super::args::{ExplainArgs, Format};
use super::load::Loaded;
use super::paint::Paint;
use super::{Answer, ask, load, settings, show, write_out};
use crate::view::explain::{self, ExplainView, Question};

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<Answer> {
    // Asked first: a question that makes no sense needs no manifests.
    let question = question(args)?;
    let view = match &args.admin {
        Some(url) => {
            let headers = args.headers.iter().map(|header| ("header", header.as_str()));
            let fields: Vec<_> =
                [("url", args.url.as_str()), ("method", args.method.as_str())].into_iter().chain(headers).collect();
            ask::get(url, "/explain", &fields)?
        }
        None => answer(&load::read(&args.paths, settings::options(&args.ingress))?, &question),
    };
    write_out(&match args.format {
        Format::Text => show::explain::explain(&view, Paint::for_stdout()),
        Format::Json => serde_json::to_string_pretty(&view)? + "\n",
    })?;
    Ok(if view.served { Answer::Yes } else { Answer::No })
}

/// What is asked.
pub(super) fn question(args: &ExplainArgs) -> anyhow::Result<Question> {
    Ok(Question::parse(&args.url, &args.method, args.headers.iter().map(String::as_str))?)
}

/// The answer of manifests.
pub(super) fn answer(loaded: &Loaded, question: &Question) -> ExplainView {
    explain::explain(&loaded.served(), question)
}
