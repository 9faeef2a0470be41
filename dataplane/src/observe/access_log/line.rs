//! The two forms of a line.
//!
//! Invariant: a line holds no line break but the one its writer adds, whatever the record holds.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use super::Record;
use super::escape::{Escaping, escaped};

/// Appends one JSON object; absent values are left out. Times are RFC 3339 in UTC, durations seconds.
pub(super) fn json(out: &mut Vec<u8>, record: &Record<'_>) {
    let mut fields = Fields { out, form: Form::Json };
    fields.shown("time", Some(time(record.time)));
    fields.shown("client", Some(record.client));
    fields.octets("method", Some(record.method.as_bytes()));
    fields.octets("path", Some(path(record)));
    fields.octets("protocol", Some(record.protocol.as_bytes()));
    fields.number("status", record.status);
    fields.rest(record);
    out.push(b'}');
}

/// Appends one line for people: time, client, request, status, then `key=value` for what is known.
pub(super) fn text(out: &mut Vec<u8>, record: &Record<'_>) {
    print(out, format_args!("{} {} \"", time(record.time), record.client));
    escaped(out, record.method.as_bytes());
    out.push(b' ');
    escaped(out, path(record));
    print(out, format_args!(" {}\" ", record.protocol));
    match record.status {
        Some(status) => print(out, format_args!("{status}")),
        None => out.push(b'-'),
    }
    Fields { out, form: Form::Text }.rest(record);
}

/// How keys and values are joined.
#[derive(Clone, Copy)]
enum Form {
    Json,
    Text,
}

struct Fields<'o> {
    out: &'o mut Vec<u8>,
    form: Form,
}

impl Fields<'_> {
    /// What both forms show alike.
    fn rest(&mut self, record: &Record<'_>) {
        self.seconds("duration", Some(record.duration));
        self.number("bytes_in", Some(record.bytes_in));
        self.number("bytes_out", Some(record.bytes_out));
        self.octets("host", record.host);
        self.octets("sni", record.sni.map(str::as_bytes));
        self.octets("route", record.route.map(str::as_bytes));
        self.shown("ingress", record.ingress.map(|object| Joined(&object.namespace, &object.name)));
        self.shown("upstream", record.upstream);
        self.shown("endpoint", record.endpoint);
        self.number("tries", Some(record.tries));
        self.seconds("upstream_duration", record.upstream_duration);
        self.shown("error_side", record.error.map(|(side, _)| side));
        self.shown("error", record.error.map(|(_, kind)| kind));
        self.octets("request_id", record.request_id);
        self.number("generation", Some(record.generation));
        self.octets("user_agent", record.user_agent);
    }

    /// A value of foreign octets, quoted and escaped.
    fn octets(&mut self, key: &str, value: Option<&[u8]>) {
        let Some(value) = value else { return };
        self.key(key);
        self.out.push(b'"');
        escaped(self.out, value);
        self.out.push(b'"');
    }

    /// A value that prints itself, quoted and escaped.
    fn shown(&mut self, key: &str, value: Option<impl Display>) {
        let Some(value) = value else { return };
        self.key(key);
        self.out.push(b'"');
        write!(Escaping(self.out), "{value}").expect("writing to a vector cannot fail");
        self.out.push(b'"');
    }

    fn number(&mut self, key: &str, value: Option<impl Into<u64>>) {
        let Some(value) = value else { return };
        self.key(key);
        print(self.out, format_args!("{}", value.into()));
    }

    /// Seconds down to the microsecond.
    fn seconds(&mut self, key: &str, value: Option<Duration>) {
        let Some(value) = value else { return };
        self.key(key);
        print(self.out, format_args!("{}.{:06}", value.as_secs(), value.subsec_micros()));
    }

    fn key(&mut self, key: &str) {
        match self.form {
            Form::Json => {
                let before = if self.out.is_empty() { '{' } else { ',' };
                print(self.out, format_args!("{before}\"{key}\":"));
            }
            Form::Text => print(self.out, format_args!(" {key}=")),
        }
    }
}

/// Namespace and name.
struct Joined<'a>(&'a str, &'a str);

impl Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

/// The path without what may follow it: queries carry secrets.
fn path<'a>(record: &Record<'a>) -> &'a [u8] {
    let end = record.path.iter().position(|octet| matches!(octet, b'?' | b'#'));
    &record.path[..end.unwrap_or(record.path.len())]
}

/// A time as RFC 3339 has it; a clock outside 1970 to 9999 counts as the nearest year within.
fn time(time: SystemTime) -> impl Display {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(time.clamp(SystemTime::UNIX_EPOCH, last))
}

fn print(out: &mut Vec<u8>, arguments: fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("writing to a vector cannot fail");
}
