//! When a driver asks next, and what it tells in the end.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::figures::Outcome;

/// How many ask, for how long, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paced {
    connections: u32,
    end: Instant,
    begin: Instant,
    /// Requests a second of all connections; 0 is as fast as it goes.
    rate: f64,
}

impl Paced {
    /// From words of a command line; time runs from now.
    pub(crate) fn parse(connections: &str, seconds: &str, rate: &str) -> Result<Self> {
        let begin = Instant::now();
        let seconds = Duration::from_secs(seconds.parse().context("seconds")?);
        let connections = connections.parse().context("connections")?;
        Ok(Self { connections, begin, end: begin + seconds, rate: rate.parse().context("rate")? })
    }

    /// Runs `one` for every connection and prints what all of them found.
    pub(crate) async fn drive<F>(self, one: impl Fn(u32, Turns) -> F) -> Result<()>
    where
        F: Future<Output = Turns> + 'static,
    {
        let local = LocalSet::new();
        let tasks: Vec<_> = (0..self.connections)
            .map(|number| local.spawn_local(one(number, Turns { paced: self, number, done: Rc::default() })))
            .collect();
        local.await;
        let (mut latencies, mut errors, mut first) = (Vec::new(), 0, None);
        for task in tasks {
            let turns = task.await?.done;
            let mut done = turns.borrow_mut();
            latencies.append(&mut done.latencies);
            errors += done.errors;
            first = first.or_else(|| done.first_error.take());
        }
        let outcome = Outcome::from_latencies(latencies, errors);
        let line = json!({
            "requests": outcome.requests, "errors": errors, "latency": outcome.latency, "first_error": first,
        });
        println!("{line}");
        Ok(())
    }
}

/// What [`Paced::drive`] printed in a process of its own.
pub(crate) fn outcome(text: &str) -> Result<Outcome> {
    let value: serde_json::Value = serde_json::from_str(text).with_context(|| format!("the driver printed: {text}"))?;
    let errors = value["errors"].as_u64().context("errors")?;
    if errors > 0 {
        eprintln!("  {errors} errors, the first: {}", value["first_error"]);
    }
    let at = |index: usize| value["latency"][index].as_f64().unwrap_or(f64::NAN);
    let requests = value["requests"].as_u64().filter(|requests| *requests > 0);
    let requests = requests.with_context(|| format!("not one request was answered: {text}"))?;
    Ok(Outcome { requests, errors, latency: Some([at(0), at(1), at(2)]) })
}

#[derive(Debug, Default)]
struct Done {
    latencies: Vec<u64>,
    errors: u64,
    first_error: Option<String>,
}

/// The turns of one connection.
#[derive(Debug)]
pub(crate) struct Turns {
    paced: Paced,
    number: u32,
    done: Rc<std::cell::RefCell<Done>>,
}

impl Turns {
    /// Waits until it is this connection's turn; gives the time that the request's latency counts from, or nothing when
    /// the time is over. A request that is late because the one before took long counts from when it was due.
    pub(crate) async fn next(&self, turn: u64) -> Option<Instant> {
        let now = Instant::now();
        if now >= self.paced.end {
            return None;
        }
        if self.paced.rate == 0.0 {
            return Some(now);
        }
        let turn = u32::try_from(turn).ok()?;
        let share = Duration::from_secs_f64(1.0 / self.paced.rate);
        let due = self.paced.begin + share * self.number + share * self.paced.connections * turn;
        if due >= self.paced.end {
            return None;
        }
        if due <= now {
            return Some(due);
        }
        tokio::time::sleep_until(due).await;
        Some(Instant::now())
    }

    /// Counts one request.
    pub(crate) fn count(&self, begin: Instant, result: &Result<()>) {
        let mut done = self.done.borrow_mut();
        match result {
            Ok(()) => done.latencies.push(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX)),
            Err(error) => {
                done.errors += 1;
                done.first_error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
}
