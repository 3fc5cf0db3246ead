//! The signals that stop a program, as a source of events.
//!
//! The caller reads [`Signals::pending`] when the source is ready. It counts one batch as one request, however many
//! signals are in it: timeout(1) sends SIGTERM twice, and systemd can send SIGHUP right after SIGTERM
//! (`SendSIGHUP=`).

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use signal_hook_mio::v1_0::Signals;

use crate::net::cannot;

/// Set by the first signal to stop, for code that cannot wait for events.
static STOP_REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Default::default);

/// The signals that ask a program to stop.
const STOP: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// The signals that ask a server how it is doing. SIGQUIT is what Ctrl-\ sends.
const STATUS: [i32; 2] = [SIGUSR1, SIGQUIT];

/// The longest time between signals that were sent together. Their sender may have to wait for a processor in
/// between. No user presses Ctrl-C twice within this time.
pub(crate) const TOGETHER: Duration = Duration::from_millis(10);

/// Whether `signal` asks the program to stop.
pub(crate) fn is_stop(signal: i32) -> bool {
    STOP.contains(&signal)
}

/// Whether `signal` asks a server how it is doing.
pub(crate) fn is_status(signal: i32) -> bool {
    STATUS.contains(&signal)
}

/// Whether a signal to stop has come since the program watches for them.
pub(crate) fn is_stop_requested() -> bool {
    STOP_REQUESTED.load(Ordering::Relaxed)
}

/// Watches for the signals that stop a server, or ask how it is doing.
///
/// SIGINT, SIGQUIT and SIGHUP stay ignored if they were ignored when the program started: by nohup(1), or by a
/// shell that runs it in the background. A terminal sends them, and means other programs. SIGTERM and SIGUSR1 come
/// only from a sender that means this program.
///
/// # Errors
///
/// If the system refuses a handler: sigaction(2), pipe(2).
pub(crate) fn watch_for_server() -> io::Result<Signals> {
    let is_meant = |signal: &i32| matches!(*signal, SIGTERM | SIGUSR1) || !is_ignored(*signal);
    install(STOP.into_iter().chain(STATUS).filter(is_meant))
}

/// Watches for the signals that stop a client, and for `others`.
///
/// A client always ends on SIGINT, as ping(8) does: scripts run clients in the background, with SIGINT
/// ignored, and interrupt them for their summary. SIGHUP stays ignored if it was (nohup(1)).
///
/// # Errors
///
/// If the system refuses a handler: sigaction(2), pipe(2).
pub(crate) fn watch(others: &[i32]) -> io::Result<Signals> {
    let stop = STOP.into_iter().filter(|signal| *signal != SIGHUP || !is_ignored(*signal));
    install(stop.chain(others.iter().copied()))
}

fn install(watched: impl Iterator<Item = i32>) -> io::Result<Signals> {
    try_install(watched.collect()).map_err(|e| cannot_watch(&e))
}

/// Says that signals cannot be watched, because of `error`.
pub(crate) fn cannot_watch(error: &io::Error) -> io::Error {
    cannot("watch for", &"signals", error)
}

fn try_install(watched: Vec<i32>) -> io::Result<Signals> {
    // This comes first: a signal that only sets the flag ends no wait for events.
    let signals = Signals::new(&watched)?;
    for signal in watched.iter().filter(|signal| is_stop(**signal)) {
        flag::register(*signal, Arc::clone(&STOP_REQUESTED))?;
    }
    // This comes last: a signal that the parent blocked can be pending, and must find its handler.
    let known = watched.iter().filter_map(|signal| Signal::try_from(*signal).ok());
    known.collect::<SigSet>().thread_unblock()?;
    Ok(signals)
}

/// Whether `signal` is ignored. Call this before a handler for it is installed.
///
/// sigaction(2) knows, but no crate asks it without unsafe code, which this crate forbids. So procfs answers. Without
/// procfs, a shell that sends the signal to itself answers: exec(2) passes ignored signals on.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").ok();
    status.and_then(|status| ignored_in(&status, signal)).unwrap_or_else(|| survives(signal))
}

/// Whether `signal` is ignored according to a proc_pid_status(5), if that says so.
fn ignored_in(status: &str, signal: i32) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask & (1 << (signal - 1)) != 0)
}

/// Whether a child process survives `signal`. Without a shell, the answer is no: then the program can be stopped.
fn survives(signal: i32) -> bool {
    let script = format!("kill -{signal} $$");
    let mut shell = Command::new("/bin/sh");
    // Some variables are for this program only, such as NOTIFY_SOCKET.
    shell.env_clear();
    shell.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.status().is_ok_and(|status| status.signal().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_of_the_mask_says_whether_a_signal_is_ignored() {
        let status = |mask| format!("Name:\tresound\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n");
        assert_eq!(ignored_in(&status("0000000000001000"), SIGHUP), Some(false));
        assert_eq!(ignored_in(&status("0000000000001001"), SIGHUP), Some(true));
        assert_eq!(ignored_in(&status("0000000000000002"), SIGINT), Some(true));
        assert_eq!(ignored_in(&status("?"), SIGHUP), None);
        assert_eq!(ignored_in("Name:\tresound\n", SIGHUP), None);
    }

    /// SIGURG is ignored by default, and SIGKILL cannot be ignored.
    #[test]
    fn a_child_survives_only_a_signal_that_it_ignores() {
        assert!(survives(signal_hook::consts::SIGURG));
        assert!(!survives(signal_hook::consts::SIGKILL));
    }
}
