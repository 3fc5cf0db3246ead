//! Runs `resound ping`, and reads what it prints.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::command;
use super::piped::{Client, Ended, spawn, wait_until_asleep};

/// `resound ping ARGS`, with pipes for its output.
pub fn command(args: &[&str]) -> Command {
    command::command(&[&["ping"], args].concat())
}

/// Runs `resound ping ARGS` to its end.
pub fn ping(args: &[&str]) -> Ended {
    Client::start(&mut command(args)).end()
}

/// What the program printed on standard output.
pub fn text(ended: &Ended) -> &str {
    std::str::from_utf8(&ended.stdout).unwrap()
}

/// The JSON object that the program printed.
#[track_caller]
pub fn json(ended: &Ended) -> Value {
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

/// A ping under way, read line by line.
pub struct Pinger {
    child: Child,
    lines: BufReader<ChildStdout>,
    transcript: String,
    errors: BufReader<ChildStderr>,
}

impl Pinger {
    pub fn start(args: &[&str]) -> Self {
        let mut child = spawn(&mut command(args));
        let lines = BufReader::new(child.stdout.take().unwrap());
        let errors = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, transcript: String::new(), errors }
    }

    /// Reads lines until one contains `part`. If none does, the program is killed in the end, and this fails.
    #[track_caller]
    pub fn expect(&mut self, part: &str) -> String {
        loop {
            let begin = self.transcript.len();
            let n = self.lines.read_line(&mut self.transcript).unwrap();
            let line = &self.transcript[begin..];
            assert!(n > 0, "no line with {part:?} in\n{}", self.transcript);
            if line.contains(part) {
                return line.trim_end().into();
            }
        }
    }

    /// Presses Ctrl-\, and returns the next line of standard error.
    pub fn status(&mut self) -> String {
        self.signal(Signal::QUIT);
        let mut line = String::new();
        self.errors.read_line(&mut line).unwrap();
        line
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    #[track_caller]
    pub fn wait_until_asleep(&self) {
        wait_until_asleep(&self.child);
    }

    /// Interrupts the program as Ctrl-C does, and returns its output and exit code.
    pub fn interrupt(self) -> Ended {
        self.signal(Signal::INT);
        self.end()
    }

    /// Waits for the end of the program. The result has what [`status`](Self::status) left of standard error.
    pub fn end(mut self) -> Ended {
        self.lines.read_to_string(&mut self.transcript).unwrap();
        let mut stderr = String::new();
        self.errors.read_to_string(&mut stderr).unwrap();
        let ended = Client::collect(self.child).end();
        Ended { stdout: self.transcript.into(), stderr, ..ended }
    }
}
