//! Signals, from the process or from whoever stands in for it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What the process is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// End: the first time in good order, the second time at once. SIGTERM or SIGINT.
    Terminate,
    /// Read everything again. SIGHUP.
    Rescan,
}

/// A stream of signals.
#[derive(Debug)]
pub struct Signals {
    received: mpsc::Receiver<Signal>,
}

impl Signals {
    /// The signals of this process. Must be called on a runtime.
    pub fn of_process() -> io::Result<Self> {
        let (sender, signals) = Self::from_sender();
        for (kind, meaning) in [
            (SignalKind::terminate(), Signal::Terminate),
            (SignalKind::interrupt(), Signal::Terminate),
            (SignalKind::hangup(), Signal::Rescan),
        ] {
            let mut stream = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    if sender.send(meaning).await.is_err() {
                        return;
                    }
                }
            });
        }
        Ok(signals)
    }

    /// Signals that come from elsewhere.
    #[must_use]
    pub fn from_sender() -> (mpsc::Sender<Signal>, Self) {
        let (sender, received) = mpsc::channel(8);
        (sender, Self { received })
    }

    /// The next signal; never comes when nobody can send one any more.
    pub(super) async fn next(&mut self) -> Signal {
        match self.received.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}
