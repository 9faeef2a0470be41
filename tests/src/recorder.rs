//! An upstream that writes down every octet and every message, and answers as it is told: exact octets, at a moment, with
//! an end.
//!
//! Requests below `/aside/` are a test's own questions around the one that it is about; they are always answered alike and
//! kept apart. Several recorders may share one [`Log`], so that the order of messages is known across them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What an ordinary request is answered with.
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// What a test's own question is answered with.
const ASIDE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\naside";

/// When a script answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// As soon as somebody connects; requests are answered in the ordinary way beside it.
    Accept,
    /// Behind the head.
    Head,
    /// Behind the whole request.
    #[default]
    Body,
    /// Not at all.
    Never,
}

/// What comes behind a scripted answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// The next request.
    #[default]
    Keep,
    /// The end of the connection.
    Close,
    /// Its reset.
    Reset,
    /// Octets of another protocol, written down as the body of the request.
    Raw,
}

/// How requests are answered.
#[derive(Clone, Debug)]
pub struct Script {
    /// The answer's octets.
    pub answer: Vec<u8>,
    /// When it is sent.
    pub when: When,
    /// What follows it.
    pub then: Then,
}

impl Default for Script {
    fn default() -> Self {
        Self { answer: OK.into(), when: When::Body, then: Then::Keep }
    }
}

/// How far a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its body is under way.
    Coming,
    /// It is whole.
    Whole,
    /// Its connection ended first.
    Cut,
    /// Its framing is broken.
    Broken,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Message {
    /// Name of the recorder.
    pub backend: String,
    /// Number of the connection in the log.
    pub connection: usize,
    /// Head, with its empty line.
    pub head: Vec<u8>,
    /// Body with its framing.
    pub body: Vec<u8>,
    /// How far it came.
    pub progress: Progress,
}

impl Message {
    /// The request line.
    #[must_use]
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.head).lines().next().unwrap_or_default().to_owned()
    }

    /// Head and body as text, octet by octet.
    #[must_use]
    pub fn text(&self) -> String {
        self.head.iter().chain(&self.body).map(|octet| char::from(*octet)).collect()
    }

    fn is_aside(&self) -> bool {
        self.line().contains(" /aside/")
    }
}

/// What all recorders of a test saw.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    script: Script,
    messages: Vec<Message>,
    connections: usize,
    open: usize,
    /// Octets that were read and are no message: behind a broken one, or before a whole head.
    stray: Vec<u8>,
}

impl Log {
    /// How requests are answered from now on.
    pub fn script(&self, script: Script) {
        self.entries().script = script;
    }

    /// Forgets what came so far.
    pub fn clear(&self) {
        let mut entries = self.entries();
        entries.messages.clear();
        entries.stray.clear();
    }

    /// The connection on which a test's own question came last.
    #[must_use]
    pub fn last_aside(&self) -> Option<usize> {
        let entries = self.entries();
        entries.messages.iter().rev().find(|message| message.is_aside()).map(|message| message.connection)
    }

    /// The messages so far, a test's own questions left out.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.entries().messages.iter().filter(|message| !message.is_aside()).cloned().collect()
    }

    /// Octets that belong to no message.
    #[must_use]
    pub fn stray(&self) -> Vec<u8> {
        self.entries().stray.clone()
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.entries().connections
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.entries().open
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("nobody panics while writing down")
    }
}

/// A listening recorder.
#[derive(Debug)]
pub struct Recorder {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Listens on a port of 127.0.0.1 and writes into `log`.
    pub async fn start(name: &str, log: &Log) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback address can be bound");
        let address = listener.local_addr().expect("a listener has an address");
        let (name, log) = (name.to_owned(), log.clone());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let number = {
                    let mut entries = log.entries();
                    entries.connections += 1;
                    entries.open += 1;
                    entries.connections
                };
                let line = Line { stream, backend: name.clone(), number, log: log.clone(), buffer: Vec::new() };
                connections.spawn(line.serve());
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, task }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection.
struct Line {
    stream: TcpStream,
    backend: String,
    number: usize,
    log: Log,
    buffer: Vec<u8>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut entries = self.log.entries();
        entries.open -= 1;
        entries.stray.append(&mut self.buffer);
        for message in &mut entries.messages {
            if message.connection == self.number && message.progress == Progress::Coming {
                message.progress = Progress::Cut;
            }
        }
    }
}

impl Line {
    async fn serve(mut self) {
        let script = self.log.entries().script.clone();
        if script.when == When::Accept {
            self.send(&script.answer).await;
            if self.end(script.then) {
                return;
            }
        }
        while let Some(head) = self.head().await {
            let script = self.log.entries().script.clone();
            let message = Message {
                backend: self.backend.clone(),
                connection: self.number,
                head,
                body: Vec::new(),
                progress: Progress::Coming,
            };
            let (aside, framing) = (message.is_aside(), Framing::of(&message));
            self.log.entries().messages.push(message);
            if !aside && script.when == When::Head {
                self.send(&script.answer).await;
                if self.end(script.then) {
                    return;
                }
                if script.then == Then::Raw {
                    return self.raw().await;
                }
            }
            if !self.body(framing).await {
                return;
            }
            if aside {
                self.send(ASIDE.as_bytes()).await;
            } else if script.when == When::Accept {
                self.send(OK.as_bytes()).await;
            } else if script.when == When::Body {
                self.send(&script.answer).await;
                if self.end(script.then) {
                    return;
                }
                if script.then == Then::Raw {
                    return self.raw().await;
                }
            }
        }
    }

    async fn head(&mut self) -> Option<Vec<u8>> {
        self.until(b"\r\n\r\n").await
    }

    /// Reads the body of the message that came last; false when nothing can follow it.
    async fn body(&mut self, framing: Framing) -> bool {
        let whole = match framing {
            Framing::Length(length) => self.exactly(length).await,
            Framing::Chunked => self.chunks().await,
            Framing::Doubtful => {
                self.tell(|message| message.progress = Progress::Broken);
                return false;
            }
        };
        if whole {
            self.tell(|message| message.progress = Progress::Whole);
        }
        whole
    }

    async fn chunks(&mut self) -> bool {
        loop {
            let Some(line) = self.until(b"\r\n").await else { return false };
            self.tell(|message| message.body.extend_from_slice(&line));
            let size = std::str::from_utf8(&line[..line.len() - 2]).ok();
            let size = size.filter(|size| size.bytes().all(|octet| octet.is_ascii_hexdigit()));
            let Some(size) = size.and_then(|size| usize::from_str_radix(size, 16).ok()) else {
                self.tell(|message| message.progress = Progress::Broken);
                return false;
            };
            if size == 0 {
                break;
            }
            if !self.exactly(size + 2).await {
                return false;
            }
        }
        loop {
            let Some(line) = self.until(b"\r\n").await else { return false };
            self.tell(|message| message.body.extend_from_slice(&line));
            if line.len() == 2 {
                return true;
            }
        }
    }

    /// Writes down that many octets; false at an early end.
    async fn exactly(&mut self, mut length: usize) -> bool {
        while length > 0 {
            if self.buffer.is_empty() && !self.more().await {
                return false;
            }
            let part: Vec<u8> = self.buffer.drain(..self.buffer.len().min(length)).collect();
            length -= part.len();
            self.tell(|message| message.body.extend_from_slice(&part));
        }
        true
    }

    async fn raw(&mut self) {
        while !self.buffer.is_empty() || self.more().await {
            let part = std::mem::take(&mut self.buffer);
            self.tell(|message| message.body.extend_from_slice(&part));
        }
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    async fn send(&mut self, octets: &[u8]) {
        // The other end may have gone; a test asks that other end.
        let _ = self.stream.write_all(octets).await;
    }

    /// Whether the connection is to end here; sees to how.
    fn end(&self, then: Then) -> bool {
        if then == Then::Reset {
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
        matches!(then, Then::Close | Then::Reset)
    }

    /// Changes the last message of this connection.
    fn tell(&self, change: impl FnOnce(&mut Message)) {
        let mut entries = self.log.entries();
        // One that was forgotten meanwhile is of no interest any more.
        if let Some(message) = entries.messages.iter_mut().rev().find(|message| message.connection == self.number) {
            change(message);
        }
    }
}

/// How a request's body is framed, read the strict way.
enum Framing {
    Length(usize),
    Chunked,
    /// More than one reading.
    Doubtful,
}

impl Framing {
    fn of(message: &Message) -> Self {
        let text = String::from_utf8_lossy(&message.head).to_ascii_lowercase();
        let fields = |name: &str| -> Vec<String> {
            let lines = text.split("\r\n").skip(1).filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            lines.map(|value| value.trim().to_owned()).collect()
        };
        let (lengths, codings) = (fields("content-length"), fields("transfer-encoding"));
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Self::Length(0),
            ([length], []) => length.parse().map_or(Self::Doubtful, Self::Length),
            ([], [coding]) if coding == "chunked" => Self::Chunked,
            _ => Self::Doubtful,
        }
    }
}
