//! `resound connect` with pipes or files as its standard input and output.

use std::fs;
use std::io::{self, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::deadline::end_in_time;

/// A running client whose output is collected.
pub struct Client {
    pub child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
}

/// The result of a client that has ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` if the client was killed because it did not end by itself.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ended {
    /// Asserts that the client succeeded, with `stdout` on standard output and nothing on standard error.
    #[track_caller]
    pub fn assert_fine(&self, stdout: &[u8]) {
        assert_eq!((self.code, &*self.stderr), (Some(0), ""));
        assert!(self.stdout == stdout, "unexpected output: {}", self.stdout.escape_ascii());
    }

    /// Asserts that the client failed, and that the last line on standard error begins with `line`.
    #[track_caller]
    pub fn assert_failed(&self, line: &str) {
        let last = self.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with(&format!("resound: {line}")), "{self:?}");
        assert_eq!(self.code, Some(1));
    }
}

/// The command `resound connect ARGS`. The caller sets its standard input and output.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    command.arg("connect").args(args).stderr(Stdio::piped());
    command
}

/// Starts a client. A client that hangs is killed.
pub fn spawn(command: &mut Command) -> Child {
    let child = command.spawn().unwrap();
    end_in_time(&child);
    child
}

/// Starts a client, and returns it with the pipes to write to and to read from.
pub fn spawn_piped(args: &[&str]) -> (Child, ChildStdin, ChildStdout) {
    let mut child = spawn(command(args).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    (child, stdin, stdout)
}

/// Waits until a program sleeps, or has ended, as proc_pid_stat(5) shows it: the state comes after the name in brackets.
#[track_caller]
pub fn wait_until_asleep(child: &Child) {
    let path = format!("/proc/{}/stat", child.id());
    let deadline = Instant::now() + Duration::from_secs(30);
    let is_asleep = || {
        let stat = fs::read_to_string(&path).unwrap();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['S', 'Z']))
    };
    while !is_asleep() {
        assert!(Instant::now() < deadline, "it never sleeps");
        thread::yield_now();
    }
}

impl Client {
    pub fn start(command: &mut Command) -> Self {
        Self::collect(spawn(command))
    }

    /// Collects what the client writes to the pipes that the test has not taken.
    pub fn collect(mut child: Child) -> Self {
        let (stdout, stderr) = (collected(child.stdout.take()), collected(child.stderr.take()));
        Self { child, stdout, stderr }
    }

    /// Waits for the client to end.
    pub fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        let code = self.child.wait().unwrap().code();
        let stderr = String::from_utf8(self.stderr.join().unwrap()).unwrap();
        Ended { code, stdout: self.stdout.join().unwrap(), stderr }
    }
}

fn collected(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.map(|mut pipe| pipe.read_to_end(&mut bytes).unwrap());
        bytes
    })
}

/// Runs a client to its end, with `input` on its standard input, a pipe.
pub fn run(args: &[&str], mut input: impl Read + Send + 'static) -> Ended {
    let mut command = command(args);
    let mut client = Client::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdin = client.child.stdin.take().unwrap();
    // The copy fails if the client ends before its input does.
    thread::spawn(move || drop(io::copy(&mut input, &mut stdin)));
    client.end()
}
