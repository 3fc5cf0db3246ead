//! The last line of the log of a server.

use log::{Level, log};

use crate::observe::Counters;

/// Logs the sums of all connections and datagrams.
pub(super) fn log_summary(counters: &Counters) {
    let (level, how) = match counters.cut {
        0 => (Level::Info, "stopped"),
        _ => (Level::Warn, "stopped before all was echoed"),
    };
    log!(
        level, event = "stopped", accepted = counters.accepted, refused = counters.refused.total(),
        bytes_in = counters.bytes_in, bytes_out = counters.bytes_out, reset = counters.reset(),
        timed_out = counters.timed_out(), cut = counters.cut, datagrams = counters.datagrams,
        datagrams_dropped = counters.datagrams_dropped.total(), kernel_dropped = counters.kernel_drops;
        "{how}: {counters}"
    );
}
