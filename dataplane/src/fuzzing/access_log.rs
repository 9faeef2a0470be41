//! Lines of the access log: each one valid JSON object that says what the record says, each value within its bound, and no
//! octet in either form that could end the line or speak to a terminal.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::Choices;
use crate::config::AccessLogFormat;
use crate::observe::access_log::{LONGEST, Record, line};

/// Values of a record, their lengths before them.
pub fn access_log(octets: &[u8]) {
    let mut choices = Choices(octets);
    let texts: [String; 3] = std::array::from_fn(|_| String::from_utf8_lossy(choices.octets()).into_owned());
    let repeats = 1 + usize::from(choices.octet() % 32);
    let agent = choices.octets().repeat(repeats);
    let [path, host, id] = std::array::from_fn(|_| choices.octets());
    let some = |octets: &'static str| choices.0.first().is_some_and(|octet| octet & 1 == 1).then_some(octets);
    let record = Record {
        time: SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(repeats as u32)),
        client: SocketAddr::from(([192, 0, 2, 7], 4711)),
        sni: Some(&texts[0]),
        host: Some(host),
        method: &texts[1],
        path,
        protocol: "HTTP/1.1",
        route: Some(&texts[2]),
        ingress: None,
        upstream: None,
        endpoint: None,
        tries: 1,
        status: some("").map(|_| 200),
        error: some("upstream").map(|side| (side, "timeout")),
        bytes_in: repeats as u64,
        bytes_out: u64::MAX,
        duration: Duration::from_micros(1500),
        upstream_duration: None,
        request_id: Some(id),
        generation: 3,
        user_agent: Some(&agent),
    };
    let json = made(AccessLogFormat::Json, &record);
    let value: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let path = path.split(|octet| matches!(octet, b'?' | b'#')).next().unwrap_or_default();
    for (key, octets) in [
        ("sni", texts[0].as_bytes()),
        ("host", host),
        ("method", texts[1].as_bytes()),
        ("path", path),
        ("route", texts[2].as_bytes()),
        ("request_id", id),
        ("user_agent", &agent),
    ] {
        says(&value[key], octets);
    }
    assert_eq!(value["bytes_out"], u64::MAX);
    let keys: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    assert!(keys.iter().all(|key| KEYS.contains(key)), "{keys:?}");
    let text = made(AccessLogFormat::Text, &record);
    assert!(text.contains(" generation=3 user_agent=\"") && text.ends_with('"'));
}

fn made(format: AccessLogFormat, record: &Record<'_>) -> String {
    let text = String::from_utf8(line(format, record)).expect("a line is UTF-8");
    let shown =
        |c: char| !c.is_control() && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    assert!(text.chars().all(shown), "{text:?}");
    assert!(text.len() <= 10 * (LONGEST + 32));
    text
}

/// The value is what came, or the beginning of it with a mark.
fn says(value: &Value, octets: &[u8]) {
    let came = String::from_utf8_lossy(octets);
    let said = value.as_str().expect("a string");
    let cut = said.strip_suffix('…').is_some_and(|begin| came.starts_with(begin));
    assert!(said == came || cut && octets.len() * 6 > LONGEST - 12, "{said:?} of {came:?}");
    assert!(said.len() <= LONGEST);
}

/// Every key that the record here can have.
const KEYS: &[&str] = &[
    "time",
    "client",
    "method",
    "path",
    "protocol",
    "status",
    "duration",
    "bytes_in",
    "bytes_out",
    "host",
    "sni",
    "route",
    "tries",
    "error_side",
    "error",
    "request_id",
    "generation",
    "user_agent",
];
