//! Token buckets: so many at once, so many a second after that.

use std::time::{Duration, Instant};

/// A token bucket, full at first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    tokens: f64,
    at: Instant,
    burst: f64,
    per_second: f64,
}

impl Bucket {
    pub(super) fn new(burst: u32, per_second: f64, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { tokens: burst, at: now, burst, per_second }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }

    /// When there is a token; `now` when there is one now.
    pub(super) fn ready(&mut self, now: Instant) -> Instant {
        self.fill(now);
        let missing = (1.0 - self.tokens).max(0.0);
        now + Duration::from_secs_f64(missing / self.per_second)
    }

    /// Whether nothing was taken for long: it is like a new one.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= self.burst
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_so_many_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, 2.0, start);
        let taken = (0..5).filter(|_| bucket.take(start)).count();
        assert_eq!((taken, bucket.is_full(start)), (3, false));
        assert_eq!(bucket.ready(start), start + Duration::from_millis(500));
        let later = start + Duration::from_millis(500);
        assert_eq!((bucket.ready(later), bucket.take(later), bucket.take(later)), (later, true, false));
        assert!(bucket.is_full(start + Duration::from_secs(9)));
    }
}
