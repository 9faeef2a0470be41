//! The command line of this program.

use std::time::Duration;

/// What to measure and how often.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    /// The binary under test.
    pub(crate) portico: String,
    /// Numbers of Ingresses.
    pub(crate) ingresses: Vec<usize>,
    /// Changes of each kind.
    pub(crate) samples: usize,
    /// Length of each piece of traffic.
    pub(crate) seconds: u64,
    /// Pieces of traffic in quiet, and as many with changes.
    pub(crate) turns: usize,
    /// Time in which what was begun comes to rest.
    pub(crate) rest: Duration,
    /// Whether nginx and HAProxy are measured beside it.
    pub(crate) peers: bool,
    /// Whether figures are kept.
    pub(crate) kept: bool,
}

impl Arguments {
    /// Reads words.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self {
            portico: "target/release/portico".to_owned(),
            ingresses: vec![1, 1000, 10_000, 50_000],
            samples: 100,
            seconds: 5,
            turns: 3,
            rest: Duration::from_secs(3),
            peers: true,
            kept: true,
        };
        while let Some(flag) = words.next() {
            if flag == "--smoke" {
                (arguments.ingresses, arguments.samples, arguments.seconds) = (vec![1, 200], 5, 1);
                (arguments.turns, arguments.rest) = (1, Duration::from_millis(100));
                (arguments.peers, arguments.kept) = (false, false);
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{flag} needs a value, or is not known"))?;
            let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{flag}: {text:?} is not a number"));
            match flag.as_str() {
                "--portico" => arguments.portico = value,
                "--ingresses" => arguments.ingresses = value.split(',').map(number).collect::<Result<_, _>>()?,
                "--samples" => arguments.samples = number(&value)?.max(1),
                _ => return Err(format!("{flag} is not known")),
            }
        }
        if arguments.ingresses.iter().any(|count| !(1..=100_000).contains(count)) {
            return Err("--ingresses takes numbers from 1 to 100000".to_owned());
        }
        Ok(arguments)
    }
}
