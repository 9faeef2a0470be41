//! Counting and summing up.

use std::collections::BTreeMap;
use std::time::Duration;

/// Things that must not happen, by kind, with a few examples of each.
#[derive(Debug, Default)]
pub(crate) struct Failures(BTreeMap<&'static str, (u64, Vec<String>)>);

impl Failures {
    /// Counts one.
    pub(crate) fn add(&mut self, kind: &'static str, example: String) {
        let (count, examples) = self.0.entry(kind).or_default();
        *count += 1;
        if examples.len() < 3 {
            examples.push(example);
        }
    }

    /// Adds those of another driver.
    pub(crate) fn extend(&mut self, other: Self) {
        for (kind, (more, examples)) in other.0 {
            let (count, kept) = self.0.entry(kind).or_default();
            *count += more;
            kept.extend(examples);
            kept.truncate(3);
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Prints all.
    pub(crate) fn print(&self) {
        if self.is_empty() {
            println!("failures: none");
        }
        for (kind, (count, examples)) in &self.0 {
            println!("failures: {count} {kind}");
            for example in examples {
                println!("    {example}");
            }
        }
    }
}

/// Prints count, median, 99th percentile and maximum.
pub(crate) fn print_times(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let Some(last) = times.last() else {
        println!("{name}: none");
        return;
    };
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!("{name}: {} times, p50 {:.1?}, p99 {:.1?}, max {last:.1?}", times.len(), at(50), at(99));
}
