//! What is written where: the log on stderr, the access log on stdout.

use clap::{Args, ValueEnum};

/// Log and access log.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub(crate) struct LogArgs {
    /// Access log on stdout
    #[arg(long, env = "PORTICO_ACCESS_LOG", value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) access_log: AccessLogArg,
    /// Least severity of log lines on stderr
    #[arg(long, env = "PORTICO_LOG_LEVEL", value_name = "LEVEL", value_enum, default_value_t)]
    pub(crate) log_level: LogLevel,
    /// Shape of log lines on stderr
    #[arg(long, env = "PORTICO_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
    /// Leave a core file after a crash; it holds private keys and requests
    #[arg(long, env = "PORTICO_CORE_DUMPS")]
    pub(crate) core_dumps: bool,
}

/// `--access-log`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AccessLogArg {
    /// One JSON object a line
    #[default]
    Json,
    /// One line for people
    Text,
    /// None
    Off,
}

/// `--log-level`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogLevel {
    /// Nothing at all
    Off,
    /// What is not served
    Error,
    /// And what may not be meant
    Warn,
    /// And what changes
    #[default]
    Info,
    /// And why
    Debug,
    /// Everything
    Trace,
}

/// `--log-format`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}
