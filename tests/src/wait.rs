//! Waiting for conditions, with a deadline and never for a mere length of time.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long a test waits for something that must happen soon; generous, since a loaded machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks `condition` again and again until it gives a value.
///
/// # Panics
/// When [`PATIENCE`] runs out; the message says what was waited for and why it was last refused.
pub async fn wait_until<T, E: Display>(what: &str, mut condition: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(reason) if Instant::now() >= deadline => panic!("waited {PATIENCE:?} for {what}: {reason}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
