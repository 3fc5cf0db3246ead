//! How long to soak.

use std::env;
use std::time::Duration;

/// What `RESOUND_SOAK` asks for, if anything.
pub fn asked_for() -> Option<Duration> {
    let time = env::var("RESOUND_SOAK").ok()?;
    let unit = if time.ends_with('m') { 60 } else { 1 };
    let number = time.trim_end_matches(['s', 'm']).parse::<u64>();
    Some(Duration::from_secs(unit * number.expect("RESOUND_SOAK is a time such as 60s or 5m")))
}
