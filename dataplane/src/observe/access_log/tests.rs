//! Lines in both forms, escapes, and a log that nobody reads.

use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::mpsc;

use portico_shared::Kind;

use super::*;

fn record<'a>() -> Record<'a> {
    Record {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_123),
        client: (Ipv4Addr::new(192, 0, 2, 7), 4711).into(),
        sni: None,
        host: Some(b"a.test"),
        method: "GET",
        path: b"/x",
        protocol: "HTTP/1.1",
        route: Some("shop/front a.test /x"),
        ingress: None,
        upstream: None,
        endpoint: None,
        tries: 1,
        status: Some(200),
        error: None,
        bytes_in: 0,
        bytes_out: 12,
        duration: Duration::from_micros(1500),
        upstream_duration: None,
        request_id: None,
        generation: 3,
        user_agent: None,
    }
}

/// What was written, once the log has ended.
struct Sink(mpsc::Sender<Vec<u8>>);

impl Write for Sink {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.send(octets.to_vec()).map_err(std::io::Error::other)?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn written(format: AccessLogFormat, records: &[Record<'_>]) -> String {
    let (sender, receiver) = mpsc::channel();
    let log = AccessLog::start(format, Box::new(Sink(sender)));
    assert!(log.enabled());
    records.iter().for_each(|record| log.record(record));
    assert!(log.flush_and_stop(Duration::from_secs(10)));
    assert_eq!(log.dropped(), 0);
    String::from_utf8(receiver.iter().flatten().collect()).expect("lines are UTF-8")
}

fn json(record: &Record<'_>) -> serde_json::Value {
    let text = written(AccessLogFormat::Json, &[*record]);
    assert_eq!(text.matches('\n').count(), 1, "{text:?}");
    assert!(!text.trim_end().contains(char::is_control), "{text:?}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn json_holds_every_field() {
    let ingress = ObjectRef::new(Kind::Ingress, "shop", "front");
    let upstream = UpstreamName { namespace: "shop".into(), service: "cart".into(), port: 80 };
    let record = Record {
        sni: Some("a.test"),
        ingress: Some(&ingress),
        upstream: Some(&upstream),
        endpoint: Some((Ipv4Addr::LOCALHOST, 8080).into()),
        error: Some(("upstream", "timeout")),
        upstream_duration: Some(Duration::from_millis(2)),
        request_id: Some(b"r-1"),
        user_agent: Some(b"curl/8"),
        ..record()
    };
    let expected = serde_json::json!({
        "time": "2001-09-09T01:46:40.123Z", "client": "192.0.2.7:4711", "sni": "a.test", "host": "a.test",
        "method": "GET", "path": "/x", "protocol": "HTTP/1.1", "status": 200, "duration": 0.0015, "bytes_in": 0,
        "bytes_out": 12, "route": "shop/front a.test /x", "ingress": "shop/front", "upstream": "shop/cart:80",
        "endpoint": "127.0.0.1:8080", "tries": 1, "upstream_duration": 0.002, "error_side": "upstream",
        "error": "timeout", "request_id": "r-1", "generation": 3, "user_agent": "curl/8",
    });
    assert_eq!(json(&record), expected);
}

#[test]
fn text_is_one_line() {
    let text = written(AccessLogFormat::Text, &[record(), Record { status: None, path: b"/\n\"", ..record() }]);
    let expected = "2001-09-09T01:46:40.123Z 192.0.2.7:4711 \"GET /x HTTP/1.1\" 200 duration=0.001500 bytes_in=0 \
                    bytes_out=12 host=\"a.test\" route=\"shop/front a.test /x\" tries=1 generation=3";
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], expected);
    assert!(lines[1].contains(r#""GET /\n\" HTTP/1.1" - duration"#), "{}", lines[1]);
    assert_eq!(lines.len(), 2);
}

#[test]
fn foreign_octets_are_escaped() {
    for (octets, shown) in [
        (&b"\x1b[31mred"[..], "\u{1b}[31mred"),
        (b"a\r\nb\tc\0", "a\r\nb\tc\0"),
        (b"\"quoted\\\"", "\"quoted\\\""),
        (b"\xff\xfeok\xc3", "\u{fffd}\u{fffd}ok\u{fffd}"),
        ("\u{9b}\u{2028}\u{202e}\u{7f}".as_bytes(), "\u{9b}\u{2028}\u{202e}\u{7f}"),
        ("b\u{fc}cher \u{1f600}".as_bytes(), "b\u{fc}cher \u{1f600}"),
    ] {
        let value = json(&Record { user_agent: Some(octets), host: Some(octets), ..record() });
        assert_eq!(value["user_agent"], shown, "{octets:?}");
        assert_eq!(value["host"], shown, "{octets:?}");
    }
}

#[test]
fn values_are_cut_after_their_escapes() {
    for octet in [b'a', 0x1b, 0xff, b'"'] {
        let long = vec![octet; 64 * 1024];
        let line = written(AccessLogFormat::Json, &[Record { user_agent: Some(&long), ..record() }]);
        let (_, value) = line.split_once("\"user_agent\":\"").expect("the field is there");
        let value = value.strip_suffix("\"}\n").expect("the line ends whole");
        assert!(value.len() <= LONGEST && value.ends_with('…'), "{octet}: {}", value.len());
    }
}

#[test]
fn queries_are_left_out() {
    let value = json(&Record { path: b"/x?token=secret", ..record() });
    assert_eq!(value["path"], "/x");
}

#[test]
fn any_clock_is_shown() {
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
    assert_eq!(json(&Record { time: before, ..record() })["time"], "1970-01-01T00:00:00.000Z");
    let after = SystemTime::UNIX_EPOCH + Duration::from_secs(400_000_000_000);
    assert_eq!(json(&Record { time: after, ..record() })["time"], "9999-12-31T23:59:59.000Z");
}

#[test]
fn off_does_nothing() {
    let log = AccessLog::start(AccessLogFormat::Off, Box::new(std::io::sink()));
    assert!(!log.enabled());
    log.record(&record());
    assert!(log.flush_and_stop(Duration::ZERO));
}

#[test]
fn an_output_that_blocks_drops_lines_and_stops_nobody() {
    let (mut reader, pipe) = std::io::pipe().expect("a pipe");
    let log = AccessLog::start(AccessLogFormat::Json, Box::new(pipe));
    let long = [b'x'; 2048];
    while log.dropped() < 100 {
        log.record(&Record { path: &long, ..record() });
    }
    assert!(!log.flush_and_stop(Duration::from_millis(50)), "the thread is stuck in the pipe");
    let mut text = Vec::new();
    reader.read_to_end(&mut text).expect("the log closes the pipe when it ends");
    assert!(log.flush_and_stop(Duration::from_secs(10)));
    assert!(text.len() > 1024 * 1024, "what was queued is written: {}", text.len());
    assert!(text.ends_with(b"}\n"));
}

#[test]
fn lines_that_the_output_refuses_are_counted() {
    let (reader, pipe) = std::io::pipe().expect("a pipe");
    drop(reader);
    let log = AccessLog::start(AccessLogFormat::Json, Box::new(pipe));
    log.record(&record());
    assert!(log.flush_and_stop(Duration::from_secs(10)));
    log.record(&record());
    assert_eq!(log.dropped(), 2, "one refused by the pipe, one after the end");
}
