//! HTTP/2 streams whose client takes nothing: hyper waits for its window without asking for more of the body, so no timer
//! of the body runs. Each stream's task is watched from outside and dropped, which resets the stream alone.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::observe::metrics::{Limit, WorkerMetrics};

tokio::task_local! {
    /// How far the stream of the task that is running has come.
    static PROGRESS: Rc<Progress>;
}

/// When a piece of the body was handed out that has not been followed by a wish for the next one.
#[derive(Debug, Default)]
struct Progress(Cell<Option<Instant>>);

/// Runs the streams of one connection on the worker's own thread and resets those that are stalled.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    longest: Duration,
    metrics: Arc<WorkerMetrics>,
}

impl Streams {
    pub(super) fn new(longest: Duration, metrics: Arc<WorkerMetrics>) -> Self {
        Self { longest, metrics }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + 'static,
{
    fn execute(&self, stream: F) {
        let progress = Rc::<Progress>::default();
        let stream = PROGRESS.scope(progress.clone(), stream);
        tokio::task::spawn_local(Watched { stream, progress, sleep: None, rules: self.clone() });
    }
}

pin_project! {
    /// A stream's task. Invariant: `sleep` fires no later than the stream is stalled for too long.
    struct Watched<F> {
        #[pin]
        stream: TaskLocalFuture<Rc<Progress>, F>,
        progress: Rc<Progress>,
        sleep: Option<Pin<Box<Sleep>>>,
        rules: Streams,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = this.progress.0.get() else { return Poll::Pending };
        let until = since + this.rules.longest;
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            if until <= Instant::now() {
                this.rules.metrics.limit(Limit::WriteStall);
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
    }
}

pin_project! {
    /// A response body that tells its stream's task how it gets on. It is handed out in pieces of a frame, because only
    /// the wish for the next piece shows that the client has taken one.
    #[derive(Debug)]
    pub(super) struct Paced<B> {
        #[pin]
        body: B,
        rest: Bytes,
        progress: Option<Rc<Progress>>,
    }
}

impl<B> Paced<B> {
    /// The body of the stream whose task is running.
    pub(super) fn new(body: B) -> Self {
        Self { body, rest: Bytes::new(), progress: PROGRESS.try_with(Rc::clone).ok() }
    }
}

impl<B: Body<Data = Bytes>> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let mut polled = if this.rest.is_empty() {
            this.body.poll_frame(cx)
        } else {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.rest)))))
        };
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(data) = frame.data_mut()
            && data.len() > PIECE
        {
            *this.rest = data.split_off(PIECE);
        }
        if let Some(progress) = this.progress {
            progress.0.set(matches!(polled, Poll::Ready(Some(Ok(_)))).then(Instant::now));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

/// Octets of a frame, unless the client asks for larger ones (RFC 9113 section 6.5.2).
const PIECE: usize = 16 * 1024;
