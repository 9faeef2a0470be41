//! The tables of limits and of flags in README.md, printed from the flags themselves.

use std::fmt::Write as _;

use super::args;

/// All flags of `serve` by heading, as Markdown.
pub(super) fn flags() -> String {
    let command = args::command();
    let serve = command.find_subcommand("serve").expect("serve is a verb");
    let mut out = String::new();
    let mut heading = None;
    for flag in serve.get_arguments() {
        let (Some(long), Some(group)) = (flag.get_long(), flag.get_help_heading()) else { continue };
        if heading != Some(group) {
            write!(out, "\n**{group}**\n\n| flag | default | meaning |\n|---|---|---|\n").expect(INFALLIBLE);
            heading = Some(group);
        }
        let names = flag.get_value_names().unwrap_or_default().join(" ");
        let value = if flag.get_action().takes_values() { format!(" {names}") } else { String::new() };
        let (default, help) = default_and_help(flag);
        let values: Vec<_> = flag.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
        let values = match flag.get_action().takes_values() && !values.is_empty() {
            true => format!(": {}", values.join(", ")),
            false => String::new(),
        };
        writeln!(out, "| `--{long}{value}` | {default} | {help}{values} |").expect(INFALLIBLE);
    }
    out
}

/// What has a bound, as Markdown: flags of some groups, and those that begin with `max`, whose help says behind a semicolon
/// what happens at it.
pub(super) fn limits() -> String {
    let command = args::command();
    let serve = command.find_subcommand("serve").expect("serve is a verb");
    let mut out = String::from("\n| what | default | on breach | flag |\n|---|---|---|---|\n");
    let bounded = |flag: &&clap::Arg| {
        let grouped = flag.get_help_heading().is_some_and(|heading| BOUNDED.contains(&heading));
        grouped || flag.get_long().is_some_and(|long| long.starts_with("max-"))
    };
    for flag in serve.get_arguments().filter(bounded) {
        let (default, help) = default_and_help(flag);
        if let (Some(long), Some((what, breach))) = (flag.get_long(), help.rsplit_once("; ")) {
            writeln!(out, "| {what} | {default} | {breach} | `--{long}` |").expect(INFALLIBLE);
        }
    }
    out
}

/// The default, written by clap or in the help itself as `[default: ...]`.
fn default_and_help(flag: &clap::Arg) -> (String, String) {
    let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
    let typed: Vec<_> = flag.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if let Some((help, told)) = help.split_once(" [default: ") {
        return (told.trim_end_matches(']').to_owned(), help.to_owned());
    }
    let default = match typed.join(",") {
        _ if !flag.get_action().takes_values() => "off".to_owned(),
        none if none.is_empty() => "none".to_owned(),
        value => format!("`{value}`"),
    };
    (default, help)
}

/// Headings of flags that set bounds.
const BOUNDED: [&str; 4] = ["Limits", "Timers", "Upstreams", "Overload"];

const INFALLIBLE: &str = "writing to a string never fails";
