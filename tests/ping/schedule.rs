//! Messages are due to the millisecond. `src/client/ping/session/tests/schedule.rs` tests the schedule itself.

use super::peers::{self, serve};
use super::pinger::{json, ping};

/// Failed when each wait was rounded up to a whole millisecond: a tenth of the due times was skipped. A busy
/// machine can delay a run, but not every run.
#[test]
fn an_interval_of_a_millisecond_skips_no_due_time() {
    let skipped = || {
        let ended = ping(&["--json", "-c", "200", "-i", "1ms", &serve(peers::faithful)]);
        json(&ended)["skipped_due_times"].as_u64().unwrap()
    };
    let runs: Vec<_> = std::iter::repeat_with(skipped).take(5).collect();
    assert!(runs.iter().any(|skipped| *skipped <= 2), "{runs:?}");
}
