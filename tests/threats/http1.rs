//! Runs an entry whose octets are HTTP/1: in every variant, at every position of a connection, whole and octet by octet.

use portico_tests::client::{Raw, Tls};

use crate::caught;
use crate::corpus::{Entry, Position, Step, Wait, octets};
use crate::expect::{Upstream, compare, settled, shown};
use crate::stage::{ASIDE, Stage};
use crate::vary::variants;

/// Longest message that is also sent octet by octet.
const DRIPPED: usize = 3000;

/// Failures of an entry after which its further variants say nothing new.
pub(crate) const ENOUGH: usize = 4;

/// One way of sending an entry.
struct Way<'a> {
    value: &'a str,
    position: Position,
    /// Replaces the octets of the first step.
    first: Vec<u8>,
    dripped: bool,
}

/// Runs all variants; what went wrong.
pub(crate) async fn run(entry: &Entry) -> Vec<String> {
    let stage = Stage::start(&entry.flags).await;
    let mut wrong = Vec::new();
    for value in entry.values() {
        let Some(Step::Send(first)) = entry.send.first() else { return vec!["nothing is sent first".to_owned()] };
        for (name, first) in variants(&octets(first, &value), &entry.vary) {
            for position in &entry.at {
                for dripped in [false, true] {
                    // Octet by octet is the same wherever on a connection it is.
                    if dripped && (*position != entry.at[0] || first.len() > DRIPPED) {
                        continue;
                    }
                    let way = Way { value: &value, position: *position, first: first.clone(), dripped };
                    stage.log.clear();
                    if let Err(what) = caught(one(entry, &stage, &way)).await {
                        let drip = if dripped { ", octet by octet" } else { "" };
                        wrong.push(format!("{value:?}, {name}, {position:?}{drip}: {what}"));
                        if wrong.len() == ENOUGH {
                            return wrong;
                        }
                    }
                }
            }
        }
    }
    wrong
}

async fn one(entry: &Entry, stage: &Stage, way: &Way<'_>) -> Result<(), String> {
    let mut raw = connect(entry, stage).await?;
    stage.log.script(entry.script.script(way.value));
    match way.position {
        Position::First => {}
        Position::Second => {
            let answer = raw.send(ASIDE).await.answer().await;
            assert_eq!(answer.text(), "aside", "the request before it is answered: {answer:?}");
        }
        Position::Pipelined => {
            raw.send(ASIDE).await;
        }
    }
    let mut answered = 0;
    for (number, step) in entry.send.iter().enumerate() {
        match step {
            Step::Send(text) => {
                let octets = if number == 0 { way.first.clone() } else { octets(text, way.value) };
                send(&mut raw, &octets, way.dripped).await;
                if number == 0 && way.position == Position::Pipelined {
                    let answer = raw.answer().await;
                    assert_eq!(answer.text(), "aside", "the request before it is answered: {answer:?}");
                }
            }
            Step::Wait { wait: Wait::Upstream } => {
                stage.messages("a head at the upstream", |messages| !messages.is_empty()).await;
            }
            Step::Wait { wait: Wait::Answer } => {
                entry.answers[answered].read(&mut raw, way.value).await?;
                answered += 1;
            }
            Step::Wait { wait: Wait::Finish } => raw.finish().await,
        }
    }
    if entry.refused.is_empty() {
        for answer in &entry.answers[answered..] {
            answer.read(&mut raw, way.value).await?;
        }
        match entry.closed {
            Some(true) => raw.closed().await,
            Some(false) => {
                let answer = raw.send(ASIDE).await.answer().await;
                assert_eq!(answer.text(), "aside", "the connection serves on: {answer:?}");
            }
            None => {}
        }
    } else {
        refused(entry, &mut raw).await?;
    }
    let nothing: &[Upstream] = &[];
    let expected = match &entry.upstream {
        Some(expected) => Some(expected.as_slice()),
        None if !entry.refused.is_empty() => Some(nothing),
        None => None,
    };
    if let Some(expected) = expected.filter(|expected| !expected.is_empty()) {
        stage.messages("the upstream's messages", |messages| settled(expected, messages)).await;
    }
    aftermath(entry, stage, expected, way.value).await
}

/// What holds behind every attack: others are served, and the upstream got what it should.
pub(crate) async fn aftermath(
    entry: &Entry,
    stage: &Stage,
    expected: Option<&[Upstream]>,
    value: &str,
) -> Result<(), String> {
    let used: Vec<usize> = stage.log.messages().iter().map(|message| message.connection).collect();
    let next = stage.is_well().await?;
    match entry.spoiled {
        Some(true) if used.contains(&next) => return Err("the upstream's connection was used again".to_owned()),
        Some(false) if !used.contains(&next) => {
            return Err(format!("the upstream's connection {used:?} was given up for {next}"));
        }
        _ => {}
    }
    let messages = stage.log.messages();
    if let Some(expected) = expected {
        compare(expected, &messages, value)?;
        let cut = messages.iter().any(|message| message.progress != portico_tests::recorder::Progress::Whole);
        let stray = stage.log.stray();
        if !stray.is_empty() && !cut {
            return Err(format!("the upstream got octets outside of messages: {:?}", String::from_utf8_lossy(&stray)));
        }
    }
    Ok(())
}

async fn connect(entry: &Entry, stage: &Stage) -> Result<Raw, String> {
    let Some(name) = &entry.tls else { return Ok(Raw::connect(stage.portico.http()).await) };
    let tls = Tls::accepting_any().alpn(&["http/1.1"]);
    Raw::connect_tls(stage.portico.https(), &tls, name).await.map_err(|error| error.to_string())
}

async fn send(raw: &mut Raw, octets: &[u8], dripped: bool) {
    if dripped {
        for octet in octets {
            raw.send([*octet]).await;
            tokio::task::yield_now().await;
        }
    } else {
        raw.send(octets).await;
    }
}

/// Our own refusal, once, and the end.
async fn refused(entry: &Entry, raw: &mut Raw) -> Result<(), String> {
    let answer = raw.answer().await;
    if !entry.refused.contains(&answer.status) {
        return Err(format!("{:?} was expected, not {}", entry.refused, shown(&answer)));
    }
    for (name, value) in [("connection", Some("close")), ("server", Some("portico")), ("x-request-id", None)] {
        match answer.header(name) {
            Some(found) if value.is_none_or(|value| value == found) => {}
            found => return Err(format!("{name} is {found:?} in {}", shown(&answer))),
        }
    }
    raw.closed().await;
    Ok(())
}
