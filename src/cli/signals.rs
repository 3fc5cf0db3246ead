//! Which signals tell a server to stop.

use std::fs;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// A terminal that closes sends SIGHUP. Whoever starts a server by nohup(1) has that ignored, to which a
/// handler would put an end.
pub(super) fn that_stop() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status");
    let mut signals = vec![SIGINT, SIGTERM];
    if status.is_ok_and(|status| is_heeded(SIGHUP, &status)) {
        signals.push(SIGHUP);
    }
    signals
}

/// Whether a signal is certain not to be ignored, going by proc_pid_status(5).
fn is_heeded(signal: i32, status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_signal_that_is_certain_not_to_be_ignored_is_heeded() {
        let status = |mask| format!("Name:\tresound\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n");
        assert!(is_heeded(SIGHUP, &status("0000000000001000")));
        assert!(!is_heeded(SIGHUP, &status("0000000000001001")));
        assert!(!is_heeded(SIGINT, &status("0000000000000002")));
        assert!(!is_heeded(SIGHUP, &status("?")) && !is_heeded(SIGHUP, "Name:\tresound\n"));
    }
}
