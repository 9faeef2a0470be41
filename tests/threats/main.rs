//! The threat table, executed: every entry of the corpus and every coded attack is a test of the real binary, named after
//! the row that it proves (`A01::length_then_coding`).
//!
//! The corpus (`corpus/*.yaml`) says what is sent and what must come of it; [`corpus`] reads it, [`vary`] makes its
//! variants, [`http1`] and [`http2`] run them on a [`stage`]. What needs masses, long times or TLS by hand is code in
//! [`attacks`]. Which row is proven where is told by `rows.yaml`, which the report (`tests/run threats`) reads.
//! Invariant: after each variant an ordinary request must be answered rightly, so that no attack harms anybody else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands, in helpers, too")]

mod attacks;
mod corpus;
mod differential;
mod expect;
mod http1;
mod http2;
mod stage;
mod vary;

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use libtest_mimic::{Arguments, Failed, Trial};

/// Tests at a time: most of the time each waits.
const AT_A_TIME: usize = 4;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let entries = corpus::entries();
    let mut trials = corpus::trials(&entries);
    trials.extend(attacks::trials());
    trials.extend(differential::trials(&entries));
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test with a runtime of its own.
fn trial<F, R>(name: String, test: F) -> Trial
where
    F: FnOnce() -> R + Send + 'static,
    R: Future<Output = Result<(), Failed>>,
{
    Trial::test(name, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(tokio::task::LocalSet::new().run_until(test()))
    })
}

/// Runs part of a test; a panic becomes what went wrong.
async fn caught(part: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    AssertUnwindSafe(part).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned())
    })
}
