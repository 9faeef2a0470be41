//! Response bodies: what the upstream says, and what becomes of its connection afterwards.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::context::Exchange;
use super::super::error::ProxyError;
use super::{BodyError, Polled, filter_trailers};
use crate::upstream::Lease;

/// A response body as the downstream connection reads it.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// Ours: a few octets at most, and what there is to say about its request.
    Own(Option<Bytes>, Option<Box<Exchange>>),
    /// An upstream's.
    Streaming(Box<Download>),
}

/// A body coming from an upstream.
#[derive(Debug)]
pub(crate) struct Download {
    body: Incoming,
    exchange: Box<Exchange>,
    lease: Option<Lease>,
    idle: Duration,
    trailers: bool,
    /// Whether the protocol marks the end: a stream that is reset without an error looks as if it had ended, too.
    marked: bool,
    /// Whether the client may know the end by nothing but the end of its connection (HTTP/1.0).
    until_close: bool,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl ResponseBody {
    /// A body of ours.
    pub(crate) fn full(octets: impl Into<Bytes>) -> Self {
        Self::Own(Some(octets.into()).filter(|octets| !octets.is_empty()), None)
    }

    /// The same body, with the request that it answers.
    pub(crate) fn of(self, exchange: Box<Exchange>) -> Self {
        match self {
            Self::Own(octets, _) => Self::Own(octets, Some(exchange)),
            streaming @ Self::Streaming(_) => streaming,
        }
    }

    /// The body of an upstream's answer. `trailers` tells whether its trailers may pass, `from` and `to` which versions
    /// are spoken on both sides.
    pub(crate) fn streaming(
        (body, lease, idle): (Incoming, Lease, Duration),
        exchange: Box<Exchange>,
        trailers: bool,
        (from, to): (Version, Version),
    ) -> Self {
        let (marked, until_close) = (from == Version::HTTP_2, to == Version::HTTP_10);
        let lease = Some(lease);
        let mut download = Download { body, exchange, lease, idle, trailers, marked, until_close, waiting: None };
        if download.body.is_end_stream() {
            download.end();
        }
        Self::Streaming(Box::new(download))
    }
}

impl Download {
    /// The upstream has said everything: its connection may serve the next request.
    fn end(&mut self) {
        let now = Instant::now();
        self.exchange.complete = true;
        self.exchange.ended = Some(now);
        if let Some(upload) = &self.exchange.upload {
            upload.drain();
        }
        if let Some(lease) = self.lease.take() {
            let sent = self.exchange.upload.as_ref().is_none_or(|upload| upload.ended().is_some());
            lease.finish(sent, now);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Polled {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() {
            let idle = self.idle;
            let sleep = self.waiting.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle)));
            ready!(sleep.as_mut().poll(cx));
            return self.fail(BodyError::Silent, ProxyError::Silent);
        }
        self.waiting = None;
        match ready!(polled) {
            Some(Ok(frame)) if frame.trailers_ref().is_some_and(|trailers| octets(trailers) > MOST_TRAILERS) => {
                self.fail(BodyError::Upstream, ProxyError::Protocol)
            }
            Some(Ok(frame)) => Poll::Ready(self.pass(frame).map(Ok)),
            Some(Err(_)) => self.fail(BodyError::Upstream, ProxyError::Reset),
            None if self.marked && !self.body.is_end_stream() => self.fail(BodyError::Upstream, ProxyError::Reset),
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn fail(&mut self, error: BodyError, fault: ProxyError) -> Polled {
        let fault = self.exchange.upload.as_ref().and_then(|upload| upload.fault()).unwrap_or(fault);
        self.exchange.error = Some(fault);
        self.exchange.downstream().worker.metrics.answers_broken.inc();
        if self.until_close {
            self.exchange.downstream().activity.break_off();
        }
        Poll::Ready(Some(Err(error)))
    }

    /// Counts a frame; trailers that may not pass end the body.
    fn pass(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        match frame.into_trailers() {
            Ok(mut trailers) => {
                self.end();
                filter_trailers(&mut trailers);
                (self.trailers && !trailers.is_empty()).then(|| Frame::trailers(trailers))
            }
            Err(frame) => {
                self.exchange.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.body.is_end_stream() {
                    self.end();
                }
                Some(frame)
            }
        }
    }
}

/// Size of trailers.
fn octets(trailers: &HeaderMap) -> usize {
    trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Most octets of trailers; an answer with more breaks off.
const MOST_TRAILERS: usize = 16 * 1024;

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match &mut *self {
            Self::Own(octets, exchange) => {
                let octets = octets.take();
                if let (Some(octets), Some(exchange)) = (&octets, exchange) {
                    exchange.bytes_out += octets.len() as u64;
                }
                Poll::Ready(octets.map(|octets| Ok(Frame::data(octets))))
            }
            Self::Streaming(download) => download.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(octets, _) => octets.is_none(),
            Self::Streaming(download) => download.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(octets, _) => SizeHint::with_exact(octets.as_ref().map_or(0, |octets| octets.len() as u64)),
            Self::Streaming(download) => download.body.size_hint(),
        }
    }
}
