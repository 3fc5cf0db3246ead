//! Command lines of `resound`, and other programs that run one.

use std::process::{Command, Output, Stdio};

use crate::deadline::end_in_time;

/// Runs `resound ARGS` to its end.
#[track_caller]
pub fn resound(args: &[&str]) -> Output {
    output(Command::new(env!("CARGO_BIN_EXE_resound")).args(args))
}

/// Runs a command to its end and returns its output. A command that does not end is killed, and has no exit code.
#[track_caller]
pub fn output(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
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
