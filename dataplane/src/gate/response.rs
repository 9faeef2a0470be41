//! What a response head must be before hyper's client reads it, and whether it was asked for at all.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::syntax::{Flaw, Framing, Lines, UNCLEAR, clear_field, is_clear, is_text};
use super::{Judge, Next, Verdict};
use crate::observe::metrics::WorkerMetrics;

/// Why an answer of an upstream is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the upstream's answer is refused: {}", self.0)
    }
}

impl std::error::Error for Refused {}

impl From<Flaw> for Refused {
    fn from(flaw: Flaw) -> Self {
        Self(flaw)
    }
}

/// What is known of an upstream connection on both sides of hyper: what it was lent for, whether it can be lent again.
#[derive(Debug, Default)]
pub(crate) struct Line {
    asked: AtomicU8,
    /// Whether anything of an answer has come.
    answered: AtomicBool,
    spoiled: AtomicBool,
    /// Whether nobody waits for anything on it any more.
    abandoned: AtomicBool,
    /// Whether octets were handed to hyper that the connection has not taken.
    laden: AtomicBool,
    /// Who waits until it has.
    waiting: AtomicWaker,
}

/// What a response has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Asked {
    /// Nothing: whatever comes is for nobody.
    Nothing,
    /// An ordinary request.
    Plain,
    /// HEAD, whose answer has no body whatever it says.
    Head,
    /// One to switch protocols.
    Upgrade,
}

impl Line {
    /// The connection is lent for one request, which is sent next.
    pub(crate) fn ask(&self, asked: Asked) {
        self.answered.store(false, Ordering::Relaxed);
        self.asked.store(asked as u8 | UNSENT, Ordering::Relaxed);
    }

    /// Whether anything of an answer to the request that it was lent for has come, be it one octet.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Octets of the request go out: an answer may come from now on.
    pub(crate) fn sent(&self) {
        let asked = self.asked.load(Ordering::Relaxed);
        if asked & UNSENT != 0 {
            self.asked.store(asked & !UNSENT, Ordering::Relaxed);
        }
    }

    fn asked(&self) -> Asked {
        match self.asked.load(Ordering::Relaxed) {
            1 => Asked::Plain,
            2 => Asked::Head,
            3 => Asked::Upgrade,
            _ => Asked::Nothing,
        }
    }

    /// Whether the connection may be lent again: nothing is owed on it, and nothing came that nobody had asked for.
    pub(crate) fn is_clean(&self) -> bool {
        self.asked.load(Ordering::Relaxed) == Asked::Nothing as u8 && !self.spoiled.load(Ordering::Relaxed)
    }

    /// Something came that belongs to no request: nobody knows what else will.
    pub(crate) fn spoil(&self) {
        self.spoiled.store(true, Ordering::Relaxed);
    }

    /// Nobody waits for an answer any more: what was not sent is not sent. hyper would keep it, and the connection, until
    /// the endpoint takes it.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Whether it was abandoned.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Octets of a body are handed to hyper.
    pub(crate) fn load(&self) {
        self.laden.store(true, Ordering::Relaxed);
    }

    /// hyper holds nothing more: it flushes only then.
    pub(crate) fn unload(&self) {
        if self.is_laden() {
            self.laden.store(false, Ordering::Relaxed);
            self.waiting.wake();
        }
    }

    /// Whether the connection has not taken all that was handed on.
    pub(crate) fn is_laden(&self) -> bool {
        self.laden.load(Ordering::Relaxed)
    }

    /// Waits until the connection has taken what was handed on.
    pub(crate) fn poll_unladen(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_laden() {
            return Poll::Ready(());
        }
        self.waiting.register(cx.waker());
        Poll::Pending
    }
}

/// Judges the responses on one connection.
#[derive(Debug)]
pub(crate) struct Responses {
    line: Arc<Line>,
    metrics: Arc<WorkerMetrics>,
    most: usize,
    interim: u32,
}

impl Responses {
    /// `most` is the size of the largest head.
    pub(crate) fn new(line: Arc<Line>, metrics: Arc<WorkerMetrics>, most: usize) -> Self {
        Self { line, metrics, most, interim: 0 }
    }
}

impl Judge for Responses {
    type Fault = Refused;

    const MAY_BE_PRECEDED: bool = false;

    fn admit(&mut self) -> Result<(), Refused> {
        if self.line.asked() == Asked::Nothing {
            return Err(Refused("nobody asked for it"));
        }
        self.line.answered.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn begun(&mut self, part: &[u8], first: Option<&[u8]>) -> Result<(), Refused> {
        first.map(status).transpose()?;
        if part.len() > self.most { Err(Refused("the head is too large")) } else { Ok(()) }
    }

    fn judge(&mut self, head: &[u8], mut lines: Lines<'_>) -> Result<Verdict, Refused> {
        let (status, http_1_1) = status(lines.next().unwrap_or_default())?;
        if head.len() > self.most {
            return Err(Refused("the head is too large"));
        }
        if !is_clear(head) {
            return Err(Refused(UNCLEAR));
        }
        let mut framing = Framing::default();
        for line in lines {
            let (name, value) = clear_field(line)?;
            framing.field(name, value);
        }
        let framed = framing.judge(http_1_1);
        let framed = framed.map_err(|_| Refused("the fields do not say clearly where the body ends"))?;
        let asked = self.line.asked();
        Ok(match status {
            101 if asked == Asked::Upgrade => Verdict::Pass(Next::Open),
            101 => return Err(Refused("nobody asked to switch protocols")),
            100..=199 => {
                self.interim += 1;
                self.metrics.interim_dropped.inc();
                if self.interim > MOST_INTERIM {
                    return Err(Refused("there are too many interim answers"));
                }
                Verdict::Skip
            }
            204 | 304 => Verdict::Pass(Next::Head),
            _ if asked == Asked::Head => Verdict::Pass(Next::Head),
            _ => Verdict::Pass(match framed {
                super::Framed::Unsaid => Next::Open,
                said => said.into(),
            }),
        })
    }

    fn ended(&mut self) {
        self.interim = 0;
        self.line.asked.store(Asked::Nothing as u8, Ordering::Relaxed);
    }
}

/// The status of a status line, and whether it is of HTTP/1.1. A missing reason may lack its space, too.
fn status(line: &[u8]) -> Result<(u16, bool), Refused> {
    let http_1_1 = match line.get(..9) {
        Some(b"HTTP/1.1 ") => true,
        Some(b"HTTP/1.0 ") => false,
        _ => return Err(Refused("it does not begin with HTTP/1.1 or HTTP/1.0")),
    };
    match line[9..] {
        [hundreds @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9', ref reason @ ..]
            if matches!(reason.first(), None | Some(b' ')) && is_text(reason) =>
        {
            let digit = |octet: u8| u16::from(octet - b'0');
            Ok((digit(hundreds) * 100 + digit(tens) * 10 + digit(ones), http_1_1))
        }
        _ => Err(Refused("the status is none")),
    }
}

/// Marks a request that is not under way yet.
const UNSENT: u8 = 0x80;
/// Interim answers to one request; 502 behind them.
const MOST_INTERIM: u32 = 10;
