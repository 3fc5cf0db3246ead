//! Command lines of `resound`, and other programs that run one.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use crate::deadline::end_in_time;

/// `resound ARGS`, with nothing to read, and with its output in pipes.
pub fn command<A: AsRef<OsStr>>(args: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `resound ARGS` to its end.
#[track_caller]
pub fn resound<A: AsRef<OsStr>>(args: &[A]) -> Output {
    finish(&mut command(args))
}

/// Runs a command to its end, with its output in pipes.
#[track_caller]
pub fn output(command: &mut Command) -> Output {
    finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
}

/// Runs a command to its end and returns what it writes into pipes. A command that does not end is killed, and has no
/// exit code: a server whose arguments are wrongly accepted would not end.
#[track_caller]
pub fn finish(command: &mut Command) -> Output {
    let child = command.spawn().unwrap();
    end_in_time(&child);
    child.wait_with_output().unwrap()
}

/// A shell that runs `script` and then becomes `inner`.
pub fn after_script(script: &str, inner: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{script}; exec \"$@\""), "sh"]);
    run_by(shell, inner)
}

/// Completes the command `outer`, which runs the program that follows its own arguments, with `inner`.
pub fn run_by(mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args());
    outer
}
