//! Figures: what was measured, what was promised, whether the one keeps the other.

use std::fmt;
use std::time::Duration;

/// The figures of one row.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

#[derive(Debug)]
struct Figure {
    text: String,
    met: bool,
}

impl Figures {
    /// A row that ended before it had measured.
    pub(crate) fn broken(why: &dyn fmt::Display) -> Self {
        Self(vec![Figure { text: format!("BROKEN: {why}"), met: false }])
    }

    /// A number that may be this large at most.
    pub(crate) fn at_most(mut self, what: &str, value: f64, most: f64, unit: &str) -> Self {
        let text = format!("{what} {}{unit} (<= {}{unit})", short(value), short(most));
        self.0.push(Figure { text, met: value <= most });
        self
    }

    /// A number that must be this large at least.
    pub(crate) fn at_least(mut self, what: &str, value: f64, least: f64, unit: &str) -> Self {
        let text = format!("{what} {}{unit} (>= {}{unit})", short(value), short(least));
        self.0.push(Figure { text, met: value >= least });
        self
    }

    /// A time in milliseconds.
    pub(crate) fn within(self, what: &str, value: Duration, most: Duration) -> Self {
        self.at_most(what, millis(value), millis(most), " ms")
    }

    /// Something that must not happen.
    pub(crate) fn none(self, what: &str, count: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts are small")]
        self.at_most(what, count as f64, 0.0, "")
    }

    /// Something that must be so.
    pub(crate) fn holds(mut self, what: &str, met: bool) -> Self {
        self.0.push(Figure { text: format!("{what}: {}", if met { "yes" } else { "NO" }), met });
        self
    }

    /// Something to know that promises nothing.
    pub(crate) fn note(mut self, text: String) -> Self {
        self.0.push(Figure { text, met: true });
        self
    }

    /// Whether all promises were kept.
    pub(crate) fn met(&self) -> bool {
        self.0.iter().all(|figure| figure.met)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(|figure| figure.text.as_str()).collect();
        f.write_str(&texts.join("; "))
    }
}

/// Milliseconds as a number.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Without more places than say something.
fn short(value: f64) -> String {
    if value == value.trunc() { format!("{value:.0}") } else { format!("{value:.1}") }
}
