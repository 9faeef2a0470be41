//! The log on stderr. The access log is the data plane's and goes to stdout.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter(level));
    // It fails only when a log runs already.
    let _ = match format {
        LogFormat::Text => registry.with(layer.with_ansi(Paint::for_stderr().is_on()).with_target(false)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
}

/// Protocol libraries warn of what a client does wrong, which any client could fill the log with: they are heard only
/// when somebody looks for the cause of something.
///
/// The client of the Kubernetes API may print an answer that it cannot read, which may hold a Secret: never below errors.
fn filter(level: LevelFilter) -> Targets {
    let filter = Targets::new().with_default(level).with_target("kube_client", level.min(LevelFilter::ERROR));
    if level > LevelFilter::INFO {
        return filter;
    }
    let quiet = level.min(LevelFilter::ERROR);
    LIBRARIES.iter().fold(filter, |filter, library| filter.with_target(*library, quiet))
}

const LIBRARIES: [&str; 5] = ["h2", "hyper", "hyper_util", "rustls", "hickory_resolver"];
