//! The log on stderr. The access log is the data plane's and goes to stdout.

use tracing_subscriber::filter::LevelFilter;

use super::args::log::{LogFormat, LogLevel};
use super::paint::Paint;

/// Starts the log of this process; a second call changes nothing.
pub(super) fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    // It fails only when a log runs already.
    let _ = match format {
        LogFormat::Text => log.with_ansi(Paint::for_stderr().is_on()).with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}
