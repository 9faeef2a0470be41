//! Runs an entry whose octets are HTTP/2: in clear and over TLS, at the beginning of a connection and behind a good stream,
//! whole and octet by octet.

use portico_tests::client::Tls;
use portico_tests::frames::{END_HEADERS, END_STREAM, Frames, frame, hello, kind, literal};
use portico_tests::stream::Stream;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::caught;
use crate::corpus::{Ended, Entry, FrameText, Kind, Outcome, octets};
use crate::expect::{Upstream, settled};
use crate::http1::{ENOUGH, aftermath};
use crate::stage::Stage;

/// Longest sequence of frames that is also sent octet by octet.
const DRIPPED: usize = 3000;

/// One way of sending an entry.
#[derive(Clone, Copy)]
struct Way {
    tls: bool,
    /// Number of good streams before.
    before: u32,
    dripped: bool,
}

/// Runs all variants; what went wrong.
pub(crate) async fn run(entry: &Entry) -> Vec<String> {
    let mut flags = entry.flags.clone();
    flags.push("--h2c".to_owned());
    let stage = Stage::start(&flags).await;
    let mut wrong = Vec::new();
    for value in entry.values() {
        for (tls, before, dripped) in
            [(false, 0, false), (false, 0, true), (false, 1, false), (true, 0, false), (true, 1, true)]
        {
            let way = Way { tls, before, dripped };
            let sent = frames(entry, way, &value);
            if dripped && sent.concat().len() > DRIPPED {
                continue;
            }
            stage.log.clear();
            if let Err(what) = caught(one(entry, &stage, way, &sent, &value)).await {
                let place = if tls { "TLS" } else { "in clear" };
                let drip = if dripped { ", octet by octet" } else { "" };
                wrong.push(format!("{value:?}, {place}, behind {before}{drip}: {what}"));
                if wrong.len() == ENOUGH {
                    return wrong;
                }
            }
        }
    }
    wrong
}

async fn one(entry: &Entry, stage: &Stage, way: Way, sent: &[Vec<u8>], value: &str) -> Result<(), String> {
    let mut client = Frames::new(connect(stage, way.tls).await);
    client.stream.write_all(&hello(&[])).await.map_err(|error| error.to_string())?;
    if way.before > 0 {
        let block = block(&[(":path".to_owned(), "/aside/".to_owned())], way.tls, value);
        let good = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block);
        client.stream.write_all(&good).await.map_err(|error| error.to_string())?;
        client.read_until("the stream before it", |client| client.fate(1).ended).await;
        assert_eq!(client.fate(1).body, b"aside", "the stream before it is answered");
    }
    stage.log.script(entry.script.script(value));
    for (number, part) in sent.iter().enumerate() {
        if number > 0 {
            stage.messages("a head at the upstream", |messages| !messages.is_empty()).await;
        }
        // The connection may be ended before all is sent.
        for octets in part.chunks(if way.dripped { 1 } else { part.len().max(1) }) {
            let _ = client.stream.write_all(octets).await;
            let _ = client.stream.flush().await;
        }
    }
    let stream = 1 + 2 * way.before;
    client
        .read_until("the end of the stream", |client| {
            client.fate(stream).is_decided() || client.goaway.is_some_and(|code| code != 0)
        })
        .await;
    if !entry.outcome.iter().any(|outcome| is(&client, stream, *outcome)) {
        let fate = client.fate(stream);
        return Err(format!("{fate:?}, GOAWAY {:?}, closed {}", client.goaway, client.closed));
    }
    let nothing: &[Upstream] = &[];
    let refused = !entry.outcome.contains(&Outcome::Status(200));
    let expected = entry.upstream.as_deref().or(refused.then_some(nothing));
    if let Some(expected) = expected.filter(|expected| !expected.is_empty()) {
        stage.messages("the upstream's messages", |messages| settled(expected, messages)).await;
    }
    aftermath(entry, stage, expected, value).await
}

fn is(client: &Frames, stream: u32, outcome: Outcome) -> bool {
    let fate = client.fate(stream);
    match outcome {
        Outcome::Status(status) => fate.status == Some(status) && fate.ended,
        Outcome::Ended(Ended::Reset) => fate.reset.is_some() && fate.status.is_none(),
        Outcome::Ended(Ended::Goaway) => client.goaway.is_some_and(|code| code != 0) && fate.status.is_none(),
        Outcome::Ended(Ended::Compression) => client.goaway == Some(9) && fate.status.is_none(),
        Outcome::Ended(Ended::Cut) => fate.reset.is_some() && !fate.ended,
        Outcome::Ended(Ended::Closed) => client.closed && fate.status.is_none(),
    }
}

pub(crate) async fn connect(stage: &Stage, tls: bool) -> Stream {
    if tls {
        let tls = Tls::accepting_any().alpn(&["h2"]);
        return tls.connect(stage.portico.https(), "a.test").await.unwrap();
    }
    let stream = TcpStream::connect(stage.portico.http()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Stream::Plain(stream)
}

/// The frames of an entry, in the parts that are sent one after another.
fn frames(entry: &Entry, way: Way, value: &str) -> Vec<Vec<u8>> {
    if entry.frames.is_empty() {
        let block = block(&entry.fields, way.tls, value);
        return vec![frame(kind::HEADERS, END_HEADERS | END_STREAM, 1 + 2 * way.before, &block)];
    }
    let mut parts = vec![Vec::new()];
    for text in &entry.frames {
        if text.later {
            parts.push(Vec::new());
        }
        parts.last_mut().unwrap().extend(one_frame(text, way, value).repeat(text.times as usize));
    }
    parts
}

fn one_frame(text: &FrameText, way: Way, value: &str) -> Vec<u8> {
    let end = if text.end { END_STREAM } else { 0 };
    let (kind, flags) = match text.kind {
        Kind::Data => (kind::DATA, end),
        Kind::Headers => (kind::HEADERS, END_HEADERS | end),
        Kind::Reset => (kind::RESET, 0),
        Kind::Settings => (kind::SETTINGS, 0),
        Kind::Window => (kind::WINDOW, 0),
        Kind::Continuation => (kind::CONTINUATION, 0),
    };
    let stream = if text.stream == 0 { 0 } else { text.stream + 2 * way.before };
    let payload = if text.kind == Kind::Headers && !text.bare {
        [block(&text.fields, way.tls, value), octets(&text.octets, value)].concat()
    } else {
        octets(&text.octets, value)
    };
    frame(kind, text.flags.unwrap_or(flags), stream, &payload)
}

/// The block of a request: pseudo-fields first, each replaced or left out as told, then the rest.
pub(crate) fn block(fields: &[(String, String)], tls: bool, value: &str) -> Vec<u8> {
    let scheme = if tls { "https" } else { "http" };
    let mut block = Vec::new();
    for (name, usual) in [(":method", "GET"), (":scheme", scheme), (":path", "/"), (":authority", "a.test")] {
        let given = fields.iter().find(|(field, _)| field == name).map_or(usual, |(_, value)| value.as_str());
        if !given.is_empty() {
            block.extend(literal(name.as_bytes(), &octets(given, value)));
        }
    }
    let known = [":method", ":scheme", ":path", ":authority"];
    for (name, text) in fields.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        block.extend(literal(&octets(name, value), &octets(text, value)));
    }
    block
}
