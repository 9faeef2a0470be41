//! The access log: one line a request, formatted by the worker and written by a thread of its own.
//!
//! Knows the form of a line, not where lines go. Invariant: a worker never waits; what the writer cannot keep up with is
//! dropped and counted. Queries, `Authorization` and `Cookie` have no place in a [`Record`].

mod escape;
mod line;
#[cfg(test)]
mod tests;
mod writer;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portico_shared::ObjectRef;
use portico_shared::ir::UpstreamName;

use crate::config::AccessLogFormat;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use escape::LONGEST;
use writer::Writer;

/// What is known of a finished request; everything is borrowed.
///
/// Octets that a client chose come as they are: they are escaped and cut when the line is made.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the request began, by the wall clock.
    pub time: SystemTime,
    /// The client, canonical and after the PROXY protocol.
    pub client: SocketAddr,
    /// Server name of the TLS handshake.
    pub sni: Option<&'a str>,
    /// Host of the request.
    pub host: Option<&'a [u8]>,
    /// Method.
    pub method: &'a str,
    /// Path; anything from `?` on is left out of the line.
    pub path: &'a [u8],
    /// Protocol towards the client, such as `HTTP/1.1`.
    pub protocol: &'static str,
    /// Name of the route.
    pub route: Option<&'a str>,
    /// The object the route was written in.
    pub ingress: Option<&'a ObjectRef>,
    /// The upstream that was chosen.
    pub upstream: Option<&'a UpstreamName>,
    /// The endpoint tried last.
    pub endpoint: Option<SocketAddr>,
    /// How often an endpoint was tried.
    pub tries: u32,
    /// Status sent; `None` when the request ended without one.
    pub status: Option<u16>,
    /// Side and kind of the error that ended the request.
    pub error: Option<(&'static str, &'static str)>,
    /// Octets of the request body received.
    pub bytes_in: u64,
    /// Octets of the response body sent.
    pub bytes_out: u64,
    /// From the first octet of the request to the end of the response.
    pub duration: Duration,
    /// From the last try to the head of its response.
    pub upstream_duration: Option<Duration>,
    /// Request id.
    pub request_id: Option<&'a [u8]>,
    /// Generation of the table that served it.
    pub generation: u64,
    /// The client's `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
}

/// A handle of the log; cheap to clone, one per worker.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: AccessLogFormat,
    writer: Option<Arc<Writer>>,
}

impl AccessLog {
    /// Starts the thread that writes to `out`; none for [`AccessLogFormat::Off`].
    #[must_use]
    pub fn start(format: AccessLogFormat, out: Box<dyn Write + Send>) -> Self {
        let writer = (format != AccessLogFormat::Off).then(|| Arc::new(Writer::start(out)));
        Self { format, writer }
    }

    /// Whether anything is logged: when not, no record needs to be made.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.writer.is_some()
    }

    /// Makes the line on this thread and queues it; never waits.
    pub fn record(&self, record: &Record<'_>) {
        let Some(writer) = &self.writer else { return };
        let mut line = writer.buffer();
        append(&mut line, self.format, record);
        line.push(b'\n');
        writer.queue(line);
    }

    /// Lines that were not written: the queue was full, the log had ended, or the output refused them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.dropped())
    }

    /// Writes what is queued and ends the thread; whether it ended within `timeout`. Later lines are dropped.
    ///
    /// Waits: not for a worker's thread.
    pub fn flush_and_stop(&self, timeout: Duration) -> bool {
        self.writer.as_ref().is_none_or(|writer| writer.stop(timeout))
    }
}

/// Appends a line without its end.
fn append(line: &mut Vec<u8>, format: AccessLogFormat, record: &Record<'_>) {
    match format {
        AccessLogFormat::Off => {}
        AccessLogFormat::Json => line::json(line, record),
        AccessLogFormat::Text => line::text(line, record),
    }
}

/// A line without its end.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn line(format: AccessLogFormat, record: &Record<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    append(&mut line, format, record);
    line
}
