//! The corpus: entries as they are written, and the tests they become.
//!
//! Text stands for octets: each character up to U+00FF is one octet. `«v»` is replaced by each of `each` in turn, `«9*ab»`
//! by nine times `ab`.

use std::collections::BTreeSet;
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use portico_tests::recorder::{OK, Script, Then, When};
use serde::Deserialize;

use crate::expect::{Answer, Upstream};
use crate::{http1, http2, trial};

/// One way of attacking, of one row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Row of the table.
    pub(crate) id: String,
    /// What is tried; the test's name behind the row.
    pub(crate) name: String,
    /// Where a rule of ours differs from the table's words, and why.
    #[serde(default, rename = "note")]
    _note: String,
    /// Flags of the process.
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    /// What `«v»` stands for.
    #[serde(default)]
    pub(crate) each: Vec<String>,
    /// HTTP/1: what is sent, in order.
    #[serde(default)]
    pub(crate) send: Vec<Step>,
    /// HTTP/1: further variants of the head.
    #[serde(default)]
    pub(crate) vary: Vec<Vary>,
    /// HTTP/1: where on a connection it stands; everywhere unless said.
    #[serde(default = "everywhere")]
    pub(crate) at: Vec<Position>,
    /// HTTP/1: over TLS to this name.
    #[serde(default)]
    pub(crate) tls: Option<String>,
    /// HTTP/2: fields of a request; pseudo-fields replace those of `GET /` to `a.test`, an empty one leaves it out.
    #[serde(default)]
    pub(crate) fields: Vec<(String, String)>,
    /// HTTP/2: frames instead of one request without a body.
    #[serde(default)]
    pub(crate) frames: Vec<FrameText>,
    /// HTTP/2: what may become of stream 1.
    #[serde(default)]
    pub(crate) outcome: Vec<Outcome>,
    /// What the upstream answers.
    #[serde(default)]
    pub(crate) script: ScriptText,
    /// A refusal with one of these: said once, with the connection's end, and nothing of it at the upstream.
    #[serde(default)]
    pub(crate) refused: Vec<u16>,
    /// The answers, in order.
    #[serde(default)]
    pub(crate) answers: Vec<Answer>,
    /// Whether the client's connection ends behind them.
    #[serde(default)]
    pub(crate) closed: Option<bool>,
    /// The messages that the upstream gets.
    #[serde(default)]
    pub(crate) upstream: Option<Vec<Upstream>>,
    /// Whether the upstream's connection is given up.
    #[serde(default)]
    pub(crate) spoiled: Option<bool>,
}

/// A step of a client.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Step {
    /// Sends octets.
    Send(String),
    /// Waits for something.
    Wait {
        /// For what.
        wait: Wait,
    },
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wait {
    /// A request head at the upstream.
    Upstream,
    /// The next of the answers.
    Answer,
    /// Nothing: it ends its side.
    Finish,
}

/// Ways in which a head can be written differently and mean the same.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Vary {
    /// Letter case of field names.
    Case,
    /// Blanks around values.
    Blanks,
    /// Order of fields.
    Order,
}

/// Where on a connection.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Position {
    /// At its beginning.
    First,
    /// Behind a request that was answered.
    Second,
    /// Behind a request that was not yet answered.
    Pipelined,
}

fn everywhere() -> Vec<Position> {
    vec![Position::First, Position::Second, Position::Pipelined]
}

/// A frame.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FrameText {
    /// Type.
    pub(crate) kind: Kind,
    /// Flags; those that HEADERS and DATA need unless said.
    #[serde(default)]
    pub(crate) flags: Option<u8>,
    /// Stream.
    #[serde(default = "one")]
    pub(crate) stream: u32,
    /// Payload.
    #[serde(default)]
    pub(crate) octets: String,
    /// Payload of HEADERS as [`Entry::fields`].
    #[serde(default)]
    pub(crate) fields: Vec<(String, String)>,
    /// Whether HEADERS has a block of `octets` only.
    #[serde(default)]
    pub(crate) bare: bool,
    /// END_STREAM.
    #[serde(default)]
    pub(crate) end: bool,
    /// Whether it is sent only once the upstream has a head.
    #[serde(default)]
    pub(crate) later: bool,
    /// How often it is sent.
    #[serde(default = "one")]
    pub(crate) times: u32,
}

fn one() -> u32 {
    1
}

/// Types of frames by name.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Data,
    Headers,
    Reset,
    Settings,
    Window,
    Continuation,
}

/// What may become of a stream.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum Outcome {
    /// An answer with this status.
    Status(u16),
    /// Something else.
    Ended(Ended),
}

/// How a stream ends without an answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ended {
    /// By RST_STREAM.
    Reset,
    /// By GOAWAY.
    Goaway,
    /// By GOAWAY with COMPRESSION_ERROR.
    Compression,
    /// With its connection.
    Closed,
    /// By RST_STREAM behind part of an answer.
    Cut,
}

/// What the upstream does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptText {
    #[serde(default)]
    answer: Option<String>,
    #[serde(default)]
    when: WhenText,
    #[serde(default)]
    then: ThenText,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WhenText {
    Accept,
    Head,
    #[default]
    Body,
    Never,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ThenText {
    #[default]
    Keep,
    Close,
    Reset,
    Raw,
}

impl ScriptText {
    /// The script with `«v»` replaced.
    pub(crate) fn script(&self, value: &str) -> Script {
        Script {
            answer: octets(self.answer.as_deref().unwrap_or(OK), value),
            when: match self.when {
                WhenText::Accept => When::Accept,
                WhenText::Head => When::Head,
                WhenText::Body => When::Body,
                WhenText::Never => When::Never,
            },
            then: match self.then {
                ThenText::Keep => Then::Keep,
                ThenText::Close => Then::Close,
                ThenText::Reset => Then::Reset,
                ThenText::Raw => Then::Raw,
            },
        }
    }
}

impl Entry {
    /// The values of `«v»`; one empty one where there are none.
    pub(crate) fn values(&self) -> Vec<String> {
        if self.each.is_empty() { vec![String::new()] } else { self.each.clone() }
    }

    async fn run(self) -> Result<(), Failed> {
        let wrong = if self.send.is_empty() { http2::run(&self).await } else { http1::run(&self).await };
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
    }
}

/// Every entry as a test.
pub(crate) fn trials(entries: &[Entry]) -> Vec<Trial> {
    let mut names = BTreeSet::new();
    let mut trials = Vec::new();
    for entry in entries.iter().cloned() {
        let name = format!("{}::{}", entry.id, entry.name);
        assert!(names.insert(name.clone()), "{name} stands in the corpus twice");
        trials.push(trial(name, || entry.run()));
    }
    trials
}

/// Everything that stands in the corpus.
pub(crate) fn entries() -> Vec<Entry> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/threats/corpus");
    let mut files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut entries = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let read: Vec<Entry> =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        entries.extend(read);
    }
    entries
}

/// The octets that a text stands for.
pub(crate) fn octets(text: &str, value: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('«') {
        let (inside, after) = after.split_once('»').unwrap_or_else(|| panic!("« without » in {text:?}"));
        octets.extend(latin(before));
        if inside == "v" {
            octets.extend(self::octets(value, ""));
        } else {
            let (count, repeated) = inside.split_once('*').unwrap_or_else(|| panic!("«{inside}» means nothing"));
            let count: usize = count.parse().unwrap_or_else(|_| panic!("«{inside}» has no count"));
            octets.extend(latin(repeated).repeat(count));
        }
        rest = after;
    }
    octets.extend(latin(rest));
    octets
}

fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or_else(|_| panic!("{c:?} is no octet"))).collect()
}
