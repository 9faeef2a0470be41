//! Attacks that are code: masses, long times, TLS by hand, what the cluster's objects say.

mod floods;
mod handshakes;
mod masses;
mod objects;
mod observed;
mod slow;
mod tenants;
mod tls;
mod upstreams;

use std::future::Future;

use libtest_mimic::Trial;

use crate::trial;

/// Every coded attack as a test.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    floods::add(&mut trials);
    slow::add(&mut trials);
    masses::add(&mut trials);
    handshakes::add(&mut trials);
    tls::add(&mut trials);
    observed::add(&mut trials);
    objects::add(&mut trials);
    tenants::add(&mut trials);
    upstreams::add(&mut trials);
    trials
}

/// A test that panics where it fails.
fn test<F, R>(trials: &mut Vec<Trial>, name: &str, test: F)
where
    F: FnOnce() -> R + Send + 'static,
    R: Future<Output = ()>,
{
    let run = || async move {
        test().await;
        Ok(())
    };
    trials.push(trial(name.to_owned(), run));
}
