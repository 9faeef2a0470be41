//! The gate on both sides of hyper's HTTP/1: every octet that hyper reads was judged here, every head of a connection, not
//! only the first.
//!
//! A sieve follows one direction of a connection: it finds each head, has it judged, then follows the body to its end by
//! its own reckoning. What is canonical stays where it was read; only what came in part, or has to be written in another
//! way, is copied. It knows no sockets, no routes and no timers. Invariant: hyper never gets an octet of a head that was
//! not judged whole and found to have one reading, so both of them frame the same messages.

mod chunks;
pub(crate) mod request;
pub(crate) mod response;
mod syntax;
#[cfg(test)]
mod tests;

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use chunks::Chunks;
use syntax::{Flaw, Framed, Lines, Scan};

/// Who judges the heads of one direction.
pub(crate) trait Judge {
    /// Why a message is refused.
    type Fault: From<Flaw>;

    /// Whether an empty line may come before a head (RFC 9112 section 2.2).
    const MAY_BE_PRECEDED: bool;

    /// An octet has come where a head may begin.
    fn admit(&mut self) -> Result<(), Self::Fault>;

    /// Part of a head has come and its end is not in sight. `first` is its first line when that has just become whole.
    fn begun(&mut self, part: &[u8], first: Option<&[u8]>) -> Result<(), Self::Fault>;

    /// Judges a whole head.
    fn judge(&mut self, head: &[u8], lines: Lines<'_>) -> Result<Verdict, Self::Fault>;

    /// A message has passed to its end.
    fn ended(&mut self);
}

/// What becomes of a head that is in order.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It passes as it is.
    Pass(Next),
    /// This passes in its place.
    Replace(Vec<u8>, Next),
    /// It is of interest to nobody; another one follows.
    Skip,
}

/// What follows behind a head.
#[derive(Debug)]
pub(crate) enum Next {
    /// A head.
    Head,
    /// That many octets of a body.
    Length(u64),
    /// A body in chunks.
    Chunked,
    /// Nothing, until somebody opens the sieve.
    Hold,
    /// Whatever comes, up to the end of the connection.
    Open,
}

impl From<Framed> for Next {
    fn from(framed: Framed) -> Self {
        match framed {
            Framed::Unsaid | Framed::Length(0) => Self::Head,
            Framed::Length(length) => Self::Length(length),
            Framed::Chunked => Self::Chunked,
        }
    }
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Sieve<J: Judge> {
    pub(crate) judge: J,
    state: State,
    scan: Scan,
    /// Whether the empty line that may precede a head was there.
    blank: bool,
    /// What has come and was not judged: part of a head, or what waits for the sieve to open.
    held: BytesMut,
    /// What was judged and does not lie in hyper's buffer.
    ready: BytesMut,
    /// Messages whose heads passed.
    messages: u32,
    fault: Option<Fault<J::Fault>>,
}

#[derive(Debug)]
enum State {
    Head,
    Length(u64),
    Chunked(Box<Chunks>),
    Hold,
    Open,
    Shut,
}

/// What ended the judging; nothing behind it passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault<F> {
    pub(crate) why: F,
    /// Whether the head of the guilty message had not passed: then it can be refused as if it had never begun.
    pub(crate) whole: bool,
}

/// Why sifting stopped before the end of the octets.
enum Stop<F> {
    /// The rest has to wait.
    Wait,
    /// So much of the rest is left out, for this.
    Replace(usize, Vec<u8>),
    Fault(Fault<F>),
}

impl<J: Judge> Sieve<J> {
    pub(crate) fn new(judge: J) -> Self {
        Self::behind(0, judge)
    }

    /// A sieve that goes on between two messages, behind so many of them.
    pub(crate) fn behind(messages: u32, judge: J) -> Self {
        Self {
            judge,
            state: State::Head,
            scan: Scan::default(),
            blank: false,
            held: BytesMut::new(),
            ready: BytesMut::new(),
            messages,
            fault: None,
        }
    }

    /// Takes in what was read into `buffer` behind `before` and leaves there what passes; more may be given later.
    pub(crate) fn take(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        if self.held.is_empty() {
            let octets = &buffer.filled()[before..];
            let (passed, stop) = self.sift(octets);
            let Some(stop) = stop else { return };
            let left_out = self.stop(stop);
            self.held.extend_from_slice(&octets[passed + left_out..]);
            buffer.set_filled(before + passed);
            if left_out == 0 {
                return;
            }
        } else {
            self.held.extend_from_slice(&buffer.filled()[before..]);
            buffer.set_filled(before);
        }
        while !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            let (passed, stop) = self.sift(&held);
            self.ready.extend_from_slice(&held[..passed]);
            let left_out = stop.map(|stop| self.stop(stop));
            held.advance(passed + left_out.unwrap_or(0));
            if !held.is_empty() {
                self.held = held;
            }
            if left_out == Some(0) {
                return;
            }
        }
    }

    /// Hands over what lies ready; false when nothing does.
    pub(crate) fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.ready.is_empty() {
            return false;
        }
        let length = self.ready.len().min(buffer.remaining());
        buffer.put_slice(&self.ready[..length]);
        self.ready.advance(length);
        if self.ready.is_empty() {
            // An idle connection keeps no memory.
            self.ready = BytesMut::new();
        }
        true
    }

    /// Lets pass from here on whatever comes.
    pub(crate) fn open(&mut self) {
        self.state = State::Open;
        self.ready.unsplit(std::mem::take(&mut self.held));
    }

    /// Lets nothing pass any more but this.
    pub(crate) fn shut(&mut self, last: &[u8]) {
        self.state = State::Shut;
        self.held = BytesMut::new();
        self.ready.extend_from_slice(last);
    }

    /// Takes what went wrong, if anything did.
    pub(crate) fn fault(&mut self) -> Option<Fault<J::Fault>> {
        self.fault.take()
    }

    /// The message that is being judged, from its first octet, as far as it has come.
    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }

    pub(crate) fn messages(&self) -> u32 {
        self.messages
    }

    /// Whether a head is due or under way.
    pub(crate) fn at_head(&self) -> bool {
        matches!(self.state, State::Head)
    }

    /// Whether a head is due, nothing of it has come and nothing judged is left: another sieve could go on from here.
    pub(crate) fn is_between(&self) -> bool {
        let empty = self.held.is_empty() && self.ready.is_empty() && !self.blank;
        empty && self.at_head() && self.fault.is_none()
    }

    /// Whether it waits to be opened.
    pub(crate) fn holds(&self) -> bool {
        matches!(self.state, State::Hold)
    }

    /// Whether nothing passes any more.
    pub(crate) fn is_shut(&self) -> bool {
        matches!(self.state, State::Shut)
    }

    /// Takes note of why sifting stopped; how many octets are left out.
    fn stop(&mut self, stop: Stop<J::Fault>) -> usize {
        match stop {
            Stop::Wait => 0,
            Stop::Replace(length, with) => {
                self.ready.extend_from_slice(&with);
                length
            }
            Stop::Fault(fault) => {
                self.fault = Some(fault);
                self.state = State::Shut;
                0
            }
        }
    }

    /// How many octets pass as they are, and why not all of them.
    fn sift(&mut self, octets: &[u8]) -> (usize, Option<Stop<J::Fault>>) {
        let mut at = 0;
        let mut head = None;
        while at < octets.len() {
            let rest = &octets[at..];
            at += match &mut self.state {
                State::Head => match self.head(rest) {
                    Ok(length) => {
                        head = Some(at);
                        length
                    }
                    Err(stop) => return (at, Some(stop)),
                },
                State::Length(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.end();
                    }
                    taken
                }
                State::Chunked(chunks) => match chunks.take(rest) {
                    Ok((taken, ended)) => {
                        if ended {
                            self.end();
                        }
                        taken
                    }
                    Err(flaw) => {
                        self.messages = self.messages.wrapping_sub(u32::from(head.is_some()));
                        let fault = Fault { why: flaw.into(), whole: head.is_some() };
                        return (head.unwrap_or(at), Some(Stop::Fault(fault)));
                    }
                },
                State::Hold | State::Shut => return (at, Some(Stop::Wait)),
                State::Open => rest.len(),
            };
        }
        (at, None)
    }

    /// Judges what begins as a head: its length if it passes as it is.
    fn head(&mut self, octets: &[u8]) -> Result<usize, Stop<J::Fault>> {
        let fault = |why| Stop::Fault(Fault { why, whole: true });
        self.judge.admit().map_err(fault)?;
        if J::MAY_BE_PRECEDED && !self.blank && octets.starts_with(b"\r\n") {
            self.blank = true;
            self.scan.reset();
            return Err(Stop::Replace(2, Vec::new()));
        }
        let first = self.scan.count() == 0;
        let Some(length) = self.scan.end(octets).map_err(|flaw| fault(flaw.into()))? else {
            let first = self.scan.lines(octets).next().filter(|_| first);
            self.judge.begun(octets, first).map_err(fault)?;
            return Err(Stop::Wait);
        };
        let head = &octets[..length];
        let verdict = self.judge.judge(head, self.scan.lines(head)).map_err(fault)?;
        self.scan.reset();
        self.blank = false;
        let (next, other) = match verdict {
            Verdict::Pass(next) => (next, None),
            Verdict::Replace(with, next) => (next, Some(with)),
            Verdict::Skip => return Err(Stop::Replace(length, Vec::new())),
        };
        self.messages = self.messages.wrapping_add(1);
        match next {
            Next::Head => self.end(),
            Next::Length(length) => self.state = State::Length(length),
            Next::Chunked => self.state = State::Chunked(Box::default()),
            Next::Hold => self.state = State::Hold,
            Next::Open => self.state = State::Open,
        }
        other.map_or(Ok(length), |with| Err(Stop::Replace(length, with)))
    }

    fn end(&mut self) {
        self.state = State::Head;
        self.judge.ended();
    }
}
