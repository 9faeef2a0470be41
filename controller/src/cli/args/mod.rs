//! The command line as typed: names, values, defaults and help, nothing that needs the world.
//!
//! Grouped by what a flag bears on, one file per group. Defaults are taken from the settings that they end in, so that
//! help, README and behaviour cannot differ. What is typed becomes what can run in [`super::settings`].

pub(crate) mod cluster;
pub(crate) mod ingress;
pub(crate) mod limits;
pub(crate) mod listen;
pub(crate) mod log;
pub(crate) mod overload;
#[cfg(test)]
mod tests;
pub(crate) mod timers;
pub(crate) mod tls;
pub(crate) mod upstream;
pub(crate) mod value;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, Styles};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use cluster::ClusterArgs;
use ingress::IngressArgs;
use limits::LimitsArgs;
use listen::ListenArgs;
use log::LogArgs;
use overload::OverloadArgs;
use timers::TimersArgs;
use tls::TlsArgs;
use upstream::UpstreamArgs;
use value::Pause;

/// A Kubernetes HTTP ingress controller: reads Ingress manifests, routes by host and path, terminates TLS.
#[derive(Parser, Clone, Debug)]
#[command(name = "portico", version, styles = Styles::plain(), max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Command {
    /// Serve the Ingresses of a cluster or of manifests, following every change
    Serve(Box<ServeArgs>),
    /// Serve a small hotel with built-in backends and print commands to try
    Demo(DemoArgs),
    /// Report what is wrong with manifests
    Check(CheckArgs),
    /// Show the routing table
    Routes(RoutesArgs),
    /// Say where a request goes, and why
    Explain(ExplainArgs),
    /// Print a completion script
    Completions {
        /// Shell to complete for
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// `portico serve`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    #[command(flatten)]
    pub(crate) ingress: IngressArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) limits: LimitsArgs,
    #[command(flatten)]
    pub(crate) overload: OverloadArgs,
    #[command(flatten)]
    pub(crate) timers: TimersArgs,
    #[command(flatten)]
    pub(crate) upstream: UpstreamArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Where objects come from.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Source")]
pub(crate) struct SourceArgs {
    /// Files and directories of manifests to follow instead of a cluster; `:` separates several in the variable
    #[arg(
        long,
        env = "PORTICO_MANIFESTS",
        value_name = "PATH",
        num_args = 1..,
        value_delimiter = ':'
    )]
    pub(crate) manifests: Vec<PathBuf>,
    /// Least time between two changes of the table; the first of a burst is applied at once
    #[arg(long, env = "PORTICO_HOLD_OFF", value_name = "D", default_value = "100ms")]
    pub(crate) hold_off: Pause,
}

/// `portico demo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Address for HTTP; another port is chosen when this one is taken
    #[arg(long, env = "PORTICO_HTTP", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,
    /// Address for HTTPS; another port is chosen when this one is taken
    #[arg(long, env = "PORTICO_HTTPS", value_name = "ADDR", default_value = "127.0.0.1:8443")]
    pub(crate) https: SocketAddr,
}

/// `portico check`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArgs {
    /// Files and directories of manifests
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Shape of the answer
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) ingress: IngressArgs,
}

/// `portico routes`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RoutesArgs {
    /// Files and directories of manifests
    #[arg(value_name = "PATH", required_unless_present = "admin_url")]
    pub(crate) paths: Vec<PathBuf>,
    /// Ask a running Portico at its admin address instead
    #[arg(id = "admin_url", long = "admin", value_name = "URL", conflicts_with = "paths")]
    pub(crate) admin: Option<String>,
    /// Shape of the answer
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) ingress: IngressArgs,
}

/// `portico explain`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExplainArgs {
    /// What a client would ask for, such as https://hotel.example.com/rooms
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Files and directories of manifests
    #[arg(value_name = "PATH", required_unless_present = "admin_url")]
    pub(crate) paths: Vec<PathBuf>,
    /// Ask a running Portico at its admin address instead
    #[arg(id = "admin_url", long = "admin", value_name = "URL", conflicts_with = "paths")]
    pub(crate) admin: Option<String>,
    /// Method of the request
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// Header of the request; Host replaces that of the URL
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// Shape of the answer
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) ingress: IngressArgs,
}

/// `--format`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// The command line with what holds for every flag: switches read `1`, `yes`, `on` and the like out of their variables,
/// a negative number is a bad value and not a flag, and help never shows what a variable is set to.
pub(crate) fn command() -> clap::Command {
    Cli::command().mut_subcommands(|verb| {
        verb.mut_args(|flag| {
            let flag = flag.hide_env_values(true);
            if matches!(flag.get_action(), ArgAction::SetTrue) {
                flag.value_parser(BoolishValueParser::new())
            } else {
                flag.allow_negative_numbers(true)
            }
        })
    })
}
