//! The cells that counting is made of: written by one thread, read by any.
//!
//! Invariant: only the owning worker's thread writes a cell, so a relaxed load and store lose nothing. Reads from other
//! threads see a value that was true a moment ago; a histogram's count is the sum of the buckets as read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// That many more.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// The count now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that rises and falls; never below zero.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// One less.
    pub fn dec(&self) {
        self.sub(1);
    }

    /// That many more.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).saturating_add(more), Relaxed);
    }

    /// That many less.
    pub fn sub(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).saturating_sub(less), Relaxed);
    }

    /// This value from now on.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Durations counted by size.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    microseconds: Counter,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = UPPER_BOUNDS.partition_point(|bound| *bound < microseconds);
        self.buckets[bucket].inc();
        self.microseconds.add(microseconds);
    }

    /// Adds what was counted so far to `totals`.
    pub(super) fn add_to(&self, totals: &mut HistogramTotals) {
        for (total, bucket) in totals.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.get();
        }
        totals.microseconds = totals.microseconds.wrapping_add(self.microseconds.get());
    }
}

/// Histograms of several workers added up.
#[derive(Clone, Debug, Default)]
pub(super) struct HistogramTotals {
    buckets: [u64; BUCKETS],
    microseconds: u64,
}

impl HistogramTotals {
    /// Sum of all durations in seconds.
    pub(super) fn seconds(&self) -> f64 {
        Duration::from_micros(self.microseconds).as_secs_f64()
    }

    /// Number of durations.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Upper bound in seconds and count of each bucket, not cumulated; the last bound is infinite.
    pub(super) fn buckets(&self) -> [(f64, u64); BUCKETS] {
        std::array::from_fn(|at| {
            let bound = UPPER_BOUNDS.get(at).map_or(f64::INFINITY, |bound| Duration::from_micros(*bound).as_secs_f64());
            (bound, self.buckets[at])
        })
    }
}

/// Inclusive upper bounds in microseconds: 0.5 ms to 60 s, the last bucket is open.
const UPPER_BOUNDS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
    60_000_000,
];
const BUCKETS: usize = UPPER_BOUNDS.len() + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_whose_bound_holds_them() {
        let histogram = Histogram::default();
        for microseconds in [0, 500, 501, 60_000_000, 60_000_001] {
            histogram.record(Duration::from_micros(microseconds));
        }
        histogram.record(Duration::MAX);
        let mut totals = HistogramTotals::default();
        histogram.add_to(&mut totals);
        let counts = totals.buckets().map(|(_, count)| count);
        assert_eq!((counts[0], counts[1], counts[13], counts[14]), (2, 1, 1, 2));
        assert_eq!(totals.count(), 6);
        assert_eq!(totals.buckets()[0].0, 0.0005);
        assert_eq!(totals.buckets()[14].0, f64::INFINITY);
    }

    #[test]
    fn a_gauge_stops_at_zero() {
        let gauge = Gauge::default();
        gauge.inc();
        gauge.sub(3);
        assert_eq!(gauge.get(), 0);
    }
}
