//! Which of several replicas speaks for all: the holder of a Lease.
//!
//! Knows nothing of what a leader does; whoever acts follows [`Lease::leading`]. Every replica serves traffic, so that
//! losing the Lease, or the API server, costs no request. Invariant: [`Lease::leading`] is true only for a time in
//! which no other replica can have taken the Lease: it turns false [`Settings::renew`] after the last renewal was
//! *sent*, and others wait [`Settings::duration`], which is longer, from when they *saw* it.

mod numbers;
mod record;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease as Object;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout, timeout_at};

use crate::cluster::{Connection, Failure, Gate, Refusal};
pub use numbers::Numbers;
use record::{Observed, Verdict};

/// How a Lease is held.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Lease: that of the pods.
    pub namespace: String,
    /// Name of the Lease; Porticos of different classes need different ones.
    pub name: String,
    /// Who we are; no two living processes may share it.
    pub identity: String,
    /// How long others wait for a holder that fell silent. Default 12 s: with the pause between two looks a new
    /// leader is found within 15 s.
    pub duration: Duration,
    /// How long we lead after the last renewal. Default 8 s.
    pub renew: Duration,
    /// Pause between two renewals or two looks, the longest. Default 2 s.
    pub retry: Duration,
}

impl Settings {
    /// Settings with the default times.
    #[must_use]
    pub fn new(namespace: &str, name: &str, identity: &str) -> Self {
        let [namespace, name, identity] = [namespace, name, identity].map(str::to_owned);
        let [duration, renew, retry] = [12, 8, 2].map(Duration::from_secs);
        Self { namespace, name, identity, duration, renew, retry }
    }
}

/// A Lease that this process tries to hold.
#[derive(Debug)]
pub struct Lease {
    api: Api<Object>,
    gate: Gate,
    settings: Settings,
    leading: watch::Sender<bool>,
    numbers: Numbers,
    observed: Option<Observed>,
    /// When the renewal that makes us lead was sent.
    renewed: Option<Instant>,
    failures: u32,
    complained: Option<String>,
}

impl Lease {
    /// A Lease that nobody has looked at.
    #[must_use]
    pub fn new(connection: &Connection, settings: Settings, numbers: Numbers) -> Self {
        let api = Api::namespaced(connection.client.clone(), &settings.namespace);
        let gate = connection.gate.clone();
        let leading = watch::Sender::new(false);
        let (observed, renewed, failures, complained) = Default::default();
        Self { api, gate, settings, leading, numbers, observed, renewed, failures, complained }
    }

    /// Whether this process leads. Its sender goes when the Lease was let go.
    #[must_use]
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.subscribe()
    }

    /// Takes and renews the Lease until `stop` is true or gone, then lets it go so that another takes over at once.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                // What was sent may have arrived all the same; whoever looks next reads it.
                () = self.turn() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.release().await;
    }

    /// One look or renewal and the pause after it.
    async fn turn(&mut self) {
        if self.renewed.is_none() {
            self.gate.pass().await;
        }
        let sent = Instant::now();
        // A request that hangs must not make us lead for longer than we may.
        let until = sent + self.settings.renew / 2;
        let until = self.lead_until().map_or(until, |end| end.min(until));
        let outcome = match timeout_at(until.into(), self.attempt(sent)).await {
            Ok(outcome) => outcome.map_err(|error| Failure::of(&error)),
            Err(_) => Err(Failure::Away("no answer in time".to_owned())),
        };
        let now = Instant::now();
        let pause = match outcome {
            Ok(verdict) => {
                (self.failures, self.complained) = (0, None);
                self.pause(verdict, now)
            }
            Err(failure) => self.failed(&failure),
        };
        self.settle(now);
        let wake = self.lead_until().map_or(now + pause, |end| end.min(now + pause));
        sleep_until(wake.into()).await;
        self.settle(Instant::now());
    }

    /// Looks, and takes or renews where that is ours to do. A renewal writes without looking: when somebody wrote in
    /// between it is refused and read again.
    async fn attempt(&mut self, sent: Instant) -> Result<Verdict, kube::Error> {
        if self.renewed.is_none() || self.observed.is_none() {
            self.look().await?;
        }
        let Some(observed) = &self.observed else {
            let (name, identity) = (&self.settings.name, &self.settings.identity);
            let first = record::created(name, identity, self.settings.duration, Timestamp::now());
            let written = self.api.create(&PostParams::default(), &first).await;
            return self.wrote(written, sent);
        };
        match observed.judge(&self.settings.identity, Instant::now()) {
            Verdict::Held(until) => {
                self.renewed = None;
                Ok(Verdict::Held(until))
            }
            Verdict::Renew | Verdict::Take => {
                let claim = observed.claimed(&self.settings.identity, self.settings.duration, Timestamp::now());
                let written = self.api.replace(&self.settings.name, &PostParams::default(), &claim).await;
                self.wrote(written, sent)
            }
        }
    }

    async fn look(&mut self) -> Result<(), kube::Error> {
        let found = self.api.get_opt(&self.settings.name).await?;
        let before = self.observed.take();
        self.observed = found.map(|lease| Observed::update(before, lease, Instant::now()));
        Ok(())
    }

    fn wrote(&mut self, written: Result<Object, kube::Error>, sent: Instant) -> Result<Verdict, kube::Error> {
        match written {
            Ok(lease) => {
                self.observed = Some(Observed::update(None, lease, Instant::now()));
                self.renewed = Some(sent);
                Ok(Verdict::Renew)
            }
            // Somebody was faster, or the object went away: look again. Until then the last renewal stands.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                self.observed = None;
                Ok(Verdict::Take)
            }
            Err(error) => Err(error),
        }
    }

    fn lead_until(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + self.settings.renew)
    }

    /// Says whether we lead, as of `now`.
    fn settle(&mut self, now: Instant) {
        let leads = self.lead_until().is_some_and(|end| now < end);
        if !leads {
            self.renewed = None;
        }
        let changed = self.leading.send_if_modified(|leading| std::mem::replace(leading, leads) != leads);
        if changed {
            self.numbers.leading(leads);
            let (lease, identity) = (&self.settings.name, &self.settings.identity);
            let holder = self.observed.as_ref().and_then(Observed::holder).unwrap_or_default();
            if leads {
                tracing::info!(%lease, %identity, "leading: this replica writes status and Events");
            } else {
                tracing::info!(%lease, %identity, %holder, "not leading any more");
            }
        }
    }

    fn pause(&self, verdict: Verdict, now: Instant) -> Duration {
        let pause = self.settings.retry.mul_f64(0.8 + 0.2 * fastrand::f64());
        match verdict {
            Verdict::Held(until) => pause.min(until.saturating_duration_since(now)),
            Verdict::Renew => pause,
            // Lost a race: soon, but not in step with the one who won it.
            Verdict::Take => self.settings.retry.mul_f64(0.1 + 0.1 * fastrand::f64()),
        }
    }

    /// Counts and, when it is another than before, tells a failure; gives the pause until the next try.
    fn failed(&mut self, failure: &Failure) -> Duration {
        if let Failure::Away(why) = failure {
            self.gate.lost(why);
        }
        self.numbers.failed();
        self.failures = self.failures.saturating_add(1);
        let reason = self.explain(failure);
        if self.complained.as_ref() != Some(&reason) {
            tracing::warn!(lease = %self.settings.name, "cannot hold or read the Lease: {reason}");
            self.complained = Some(reason);
        }
        // Once we cannot lead any more there is no hurry.
        let longest = if self.renewed.is_some() { self.settings.retry } else { self.settings.retry * 5 };
        let pause = self.settings.retry.mul_f64(0.5) * 2_u32.saturating_pow(self.failures.min(6) - 1);
        pause.max(failure.retry_after().unwrap_or_default()).min(longest).mul_f64(0.8 + 0.2 * fastrand::f64())
    }

    fn explain(&self, failure: &Failure) -> String {
        let namespace = &self.settings.namespace;
        match failure {
            Failure::Refused(Refusal { code: 403, .. }) => {
                format!("{failure}; grant get, create and update of leases in namespace {namespace}")
            }
            other => other.to_string(),
        }
    }

    async fn release(mut self) {
        let ours = self.lead_until().is_some_and(|end| Instant::now() < end);
        // First say so, then let go: nobody acts on a Lease that may be another's already.
        self.renewed = None;
        self.settle(Instant::now());
        if !ours {
            return;
        }
        match timeout(RELEASE, self.let_go()).await {
            Ok(Ok(())) => tracing::info!(lease = %self.settings.name, "let the Lease go"),
            Ok(Err(error)) => {
                let reason = self.explain(&Failure::of(&error));
                tracing::warn!(lease = %self.settings.name, "could not let the Lease go: {reason}")
            }
            Err(_) => tracing::warn!(lease = %self.settings.name, "could not let the Lease go in time"),
        }
    }

    /// Lets go what is ours. A renewal that was cut off may have arrived all the same: then it is read first.
    async fn let_go(&mut self) -> Result<(), kube::Error> {
        for again in [true, false] {
            if self.observed.is_none() {
                self.look().await?;
            }
            let ours = self.observed.as_ref().filter(|it| it.holder() == Some(&self.settings.identity));
            let Some(observed) = ours else { return Ok(()) };
            let released = observed.released(Timestamp::now());
            match self.api.replace(&self.settings.name, &PostParams::default(), &released).await {
                Err(kube::Error::Api(status)) if again && status.code == 409 => self.observed = None,
                other => return other.map(drop),
            }
        }
        Ok(())
    }
}

/// How long letting go may take.
const RELEASE: Duration = Duration::from_secs(2);
