//! The command line of this program.

use std::time::Duration;

/// What to run and how hard.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    /// `edits`, `drain` or `bodies`.
    pub(crate) run: String,
    /// The binary under test.
    pub(crate) portico: String,
    /// Worker threads of the process under test.
    pub(crate) workers: usize,
    /// Length of the load.
    pub(crate) seconds: u64,
    /// Edits within that time.
    pub(crate) edits: u32,
    /// Connections that are kept, half of them over TLS.
    pub(crate) connections: usize,
    /// Pause of each driver between two requests.
    pub(crate) pace: Duration,
    /// Size of a body in MiB.
    pub(crate) mebibytes: u64,
    /// Seed of what is random.
    pub(crate) seed: u64,
}

impl Arguments {
    /// Reads words.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self {
            run: words.next().unwrap_or_default(),
            portico: "target/release/portico".to_owned(),
            workers: 2,
            seconds: 60,
            edits: 200,
            connections: 64,
            pace: Duration::from_millis(10),
            mebibytes: 5 * 1024,
            seed: 1,
        };
        if !matches!(arguments.run.as_str(), "edits" | "drain" | "bodies") {
            return Err("say edits, drain or bodies".to_owned());
        }
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{flag}: {value:?} is not a number"));
            let size = || number().and_then(|number| usize::try_from(number).map_err(|error| error.to_string()));
            match flag.as_str() {
                "--portico" => arguments.portico = value,
                "--workers" => arguments.workers = size()?,
                "--seconds" => arguments.seconds = number()?,
                "--edits" => arguments.edits = u32::try_from(number()?).map_err(|error| error.to_string())?,
                "--connections" => arguments.connections = size()?,
                "--pace-ms" => arguments.pace = Duration::from_millis(number()?),
                "--mebibytes" => arguments.mebibytes = number()?,
                "--seed" => arguments.seed = number()?,
                _ => return Err(format!("{flag} is not known")),
            }
        }
        Ok(arguments)
    }
}
