//! Calls that start and end threads and processes, and which program runs.

use super::line::Call;
use super::program::Program;
use super::recorder::{Who, data};

use crate::trace::record::name;

/// Translates a call that starts a thread or a program. Returns whether it was one.
pub(super) fn translate(program: &mut Program, who: Who, call: &Call<'_>) -> bool {
    match call.name {
        _ if starts_thread(call.name) => {
            if let Some(child) = call.value().and_then(|child| u64::try_from(child).ok()) {
                program.descriptors.start(who.thread, child, shares_descriptors(call));
            }
        }
        "execve" if call.value() == Some(0) && program.name.is_none() => {
            let path = call.arg(0).trim_matches('"');
            program.name = path.rsplit('/').next().map(Into::into);
        }
        "io_uring_enter" => program.seen.io_uring += 1,
        _ => return false,
    }
    true
}

pub(super) fn starts_thread(name: &str) -> bool {
    ["clone", "clone3", "fork", "vfork"].contains(&name)
}

pub(super) fn shares_descriptors(call: &Call<'_>) -> bool {
    (0..3).any(|at| call.arg(at).contains("CLONE_FILES"))
}

/// A thread has ended, as `how` says: "exited with 1" or "killed by SIGKILL".
pub(super) fn ended(program: &mut Program, who: Who, how: &str) {
    let Some(gone) = program.descriptors.end(who.thread) else { return };
    for object in gone {
        program.gone(who, object, "the process ended");
    }
    if is_failure(how) && !program.is_stopped {
        program.recorder.record(who, name::SERVER_FAILED, None, data! {"error": how});
    }
}

/// Signals that ask a program to end. What follows is no failure of it.
const STOPS: [&str; 6] = ["SIGINT", "SIGTERM", "SIGKILL", "SIGHUP", "SIGQUIT", "SIGPIPE"];

/// A signal has arrived.
pub(super) fn signal(program: &mut Program, name: &str) {
    program.is_stopped |= STOPS[..5].contains(&name);
}

/// Whether a program ended with an error, and not because a signal asked it to.
fn is_failure(how: &str) -> bool {
    match how.strip_prefix("exited with ") {
        Some(code) => code != "0",
        None => !STOPS.iter().any(|signal| how.contains(signal)),
    }
}
