//! What must come of an attack, and the comparison with what came.

use portico_tests::client::{Raw, RawAnswer};
use portico_tests::recorder::{Message, Progress};
use serde::Deserialize;

use crate::corpus::octets;

/// An answer that the client must get.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// One of these statuses.
    pub(crate) status: Vec<u16>,
    /// Lines that the head must have, in any letter case.
    #[serde(default)]
    has: Vec<String>,
    /// Texts that it must not have, in any letter case.
    #[serde(default)]
    lacks: Vec<String>,
    /// The body.
    #[serde(default)]
    body: Option<String>,
    /// Whether only a head comes: to HEAD, or before a switch of protocols.
    #[serde(default)]
    pub(crate) bare: bool,
    /// Whether it must break off instead of ending; an answer of our own may end.
    #[serde(default)]
    cut: bool,
}

/// A message that the upstream must get.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// The whole message, but for the values of what differs each time (see [`canonical`]).
    #[serde(default)]
    exact: Option<String>,
    /// The request line.
    #[serde(default)]
    line: Option<String>,
    /// Name of the recorder; any unless said.
    #[serde(default)]
    backend: Option<String>,
    /// Lines that the head must have, in any letter case.
    #[serde(default)]
    has: Vec<String>,
    /// Texts that it must not have, in any letter case.
    #[serde(default)]
    lacks: Vec<String>,
    /// The body with its framing.
    #[serde(default)]
    body: Option<String>,
    /// Whether it must break off instead of ending; either way unless said.
    #[serde(default)]
    cut: Option<bool>,
    /// Whether it may be missing.
    #[serde(default)]
    maybe: bool,
}

impl Answer {
    /// Reads and compares the next answer.
    pub(crate) async fn read(&self, raw: &mut Raw, value: &str) -> Result<RawAnswer, String> {
        let (answer, whole) = if self.cut {
            let head = raw.answer_head().await;
            // One of our own ends where it says, and its connection may go on.
            let own =
                head.header("content-length").filter(|_| head.status >= 500).and_then(|length| length.parse().ok());
            let rest = match own {
                Some(length) => raw.exactly(length).await,
                None => raw.rest().await,
            };
            let whole = is_whole(&head, &rest);
            (RawAnswer { body: rest, ..head }, whole)
        } else if self.bare {
            (raw.answer_head().await, true)
        } else {
            (raw.answer().await, true)
        };
        if !self.status.contains(&answer.status) {
            return Err(format!("{:?} was expected, not {}", self.status, shown(&answer)));
        }
        if self.cut && whole && answer.status < 500 {
            return Err(format!("the answer ended as if it were whole: {}", shown(&answer)));
        }
        let mut text = String::new();
        for (name, value) in &answer.headers {
            text += &format!("{name}: {value}\r\n");
        }
        has_and_lacks(&text, &self.has, &self.lacks, value)?;
        match &self.body {
            Some(body) if octets(body, value) != answer.body => Err(format!("the body is another: {}", shown(&answer))),
            _ => Ok(answer),
        }
    }
}

/// An answer in a line.
pub(crate) fn shown(answer: &RawAnswer) -> String {
    format!("{} {:?} {:?}", answer.line, answer.headers, answer.text())
}

/// Whether a body ended as its head announced.
fn is_whole(head: &RawAnswer, rest: &[u8]) -> bool {
    match (head.header("content-length"), head.header("transfer-encoding")) {
        (Some(length), _) => length.parse().is_ok_and(|length: usize| rest.len() >= length),
        (None, Some(_)) => rest.ends_with(b"0\r\n\r\n"),
        (None, None) => true,
    }
}

impl Upstream {
    fn check(&self, message: &Message, value: &str) -> Result<(), String> {
        let text = canonical(&message.text());
        let head = canonical(&message.head.iter().map(|octet| char::from(*octet)).collect::<String>());
        if let Some(exact) = &self.exact
            && latin(&octets(exact, value)) != text
        {
            return Err(format!("the upstream got {text:?}"));
        }
        if let Some(line) = &self.line
            && latin(&octets(line, value)) != message.line()
        {
            return Err(format!("the upstream got the request {:?}", message.line()));
        }
        if let Some(backend) = &self.backend
            && *backend != message.backend
        {
            return Err(format!("{:?} went to {}", message.line(), message.backend));
        }
        has_and_lacks(&head, &self.has, &self.lacks, value)?;
        if let Some(body) = &self.body
            && one_chunk(&octets(body, value)) != one_chunk(&message.body)
        {
            return Err(format!("the upstream got the body {:?}", String::from_utf8_lossy(&message.body)));
        }
        match (self.cut, message.progress) {
            (_, Progress::Broken) => Err(format!("the upstream cannot tell where this ends: {text:?}")),
            (Some(true), Progress::Whole) => Err(format!("this should have been broken off: {text:?}")),
            (Some(false), Progress::Cut) => Err(format!("this was broken off: {text:?}")),
            _ => Ok(()),
        }
    }

    /// Whether the message has come as far as it is going to.
    fn is_settled(&self, message: &Message) -> bool {
        self.cut.is_none() || message.progress != Progress::Coming
    }
}

/// Whether the messages are as many as expected and have come as far as they will.
pub(crate) fn settled(expected: &[Upstream], messages: &[Message]) -> bool {
    let needed = expected.iter().filter(|one| !one.maybe).count();
    needed <= messages.len() && expected.iter().zip(messages).all(|(one, message)| one.is_settled(message))
}

/// Compares all messages of a variant.
pub(crate) fn compare(expected: &[Upstream], messages: &[Message], value: &str) -> Result<(), String> {
    let needed = expected.iter().filter(|one| !one.maybe).count();
    if messages.len() < needed || messages.len() > expected.len() {
        let lines: Vec<String> = messages.iter().map(Message::text).collect();
        return Err(format!("the upstream got {} messages instead of {}: {lines:?}", messages.len(), expected.len()));
    }
    expected.iter().zip(messages).try_for_each(|(one, message)| one.check(message, value))
}

fn has_and_lacks(text: &str, has: &[String], lacks: &[String], value: &str) -> Result<(), String> {
    let text = format!("\r\n{}", text.to_ascii_lowercase());
    let lower = |wanted: &String| latin(&octets(wanted, value)).to_ascii_lowercase();
    for line in has.iter().map(lower) {
        if !text.split("\r\n").any(|found| found == line) {
            return Err(format!("{line:?} is missing in {text:?}"));
        }
    }
    match lacks.iter().map(lower).find(|wanted| text.contains(wanted.as_str())) {
        Some(found) => Err(format!("{found:?} is in {text:?}")),
        None => Ok(()),
    }
}

/// With the request id, which is drawn, and the port, which the system chose, replaced by their names.
fn canonical(text: &str) -> String {
    let line = |line: &str| match line.split_once(": ") {
        Some((name @ ("x-request-id" | "x-forwarded-port"), _)) => format!("{name}: {name}"),
        _ => line.to_owned(),
    };
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let lines: Vec<String> = head.split("\r\n").map(line).collect();
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}

fn latin(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

/// A chunked body with all its data in one chunk: how what comes slowly is cut into chunks on the way is nobody's matter.
/// Anything else is left as it is.
fn one_chunk(body: &[u8]) -> Vec<u8> {
    let (mut data, mut rest) = (Vec::new(), body);
    loop {
        let Some(at) = rest.windows(2).position(|window| window == b"\r\n") else { return body.to_vec() };
        let size = std::str::from_utf8(&rest[..at]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|size| at + 2 + size + 2 <= rest.len()) else { return body.to_vec() };
        if size == 0 {
            let head = format!("{:x}\r\n", data.len());
            return [head.as_bytes(), &data, b"\r\n", rest].concat();
        }
        let (chunk, after) = rest[at + 2..].split_at(size);
        let Some(after) = after.strip_prefix(b"\r\n") else { return body.to_vec() };
        data.extend_from_slice(chunk);
        rest = after;
    }
}
