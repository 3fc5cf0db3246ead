//! How long the soak tests run.

use std::env;
use std::time::Duration;

/// The time that `RESOUND_SOAK` asks for, if it is set.
pub fn asked_for() -> Option<Duration> {
    let time = env::var("RESOUND_SOAK").ok()?;
    let unit = if time.ends_with('m') { 60 } else { 1 };
    let number = time.trim_end_matches(['s', 'm']).parse::<u64>();
    Some(Duration::from_secs(unit * number.expect("RESOUND_SOAK is a time such as 60s or 5m")))
}
