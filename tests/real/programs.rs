//! Programs from outside, and servers under them.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::server::{PATIENCE, Server, command};

/// A program that must be there: nothing is skipped for want of it.
#[track_caller]
pub fn part(name: &str) -> Command {
    let path = env::var_os("PATH").unwrap();
    let is_there = env::split_paths(&path).any(|dir| dir.join(name).is_file());
    assert!(is_there, "there is no {name} on this machine: ci/real installs it");
    Command::new(name)
}

/// The Python of the environment that ci/real makes, which has the packages that it names.
#[track_caller]
pub fn python() -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real-python/bin/python");
    assert!(path.is_file(), "there is no {}: ci/real makes it", path.display());
    Command::new(path)
}

/// A server that another program runs.
pub struct Under {
    pub server: Server,
    /// Where it listens.
    pub addr: String,
    /// Where the other program writes what it finds.
    findings: PathBuf,
    _dir: TempDir,
}

impl Under {
    /// Starts `program WORDS resound serve ARGS`, where `{findings}` in a word stands for a path.
    #[track_caller]
    pub fn start(program: &str, words: &[&str], args: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", program, words, args)
    }

    #[track_caller]
    pub fn start_at(addr: &str, program: &str, words: &[&str], args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let findings = dir.path().join("findings");
        let resound = command(&[addr], args);
        let mut outer = part(program);
        outer.args(words.iter().map(|word| word.replace("{findings}", findings.to_str().unwrap())));
        outer.arg(resound.get_program()).args(resound.get_args());
        let mut server = Server::spawn(&mut outer);
        let line = server.expect_line("listening on ");
        let (_, addr) = line.split_once("listening on ").unwrap();
        Self { server, addr: addr.to_string(), findings, _dir: dir }
    }

    /// Starts one under strace, which leaves it the child of this process: `-D`.
    #[track_caller]
    pub fn strace(options: &[&str], args: &[&str]) -> Self {
        Self::start("strace", &[&["-D", "-f", "-o", "{findings}"], options].concat(), args)
    }

    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        connect(&self.addr)
    }

    /// Stops the server in order, and gives what the other program has found, and the server's log.
    #[track_caller]
    pub fn stop(mut self) -> (String, Vec<String>) {
        self.server.signal(rustix::process::Signal::TERM);
        let status = self.server.wait();
        let log = self.server.log().to_vec();
        assert_eq!(status.code(), Some(0), "{log:#?}");
        (fs::read_to_string(&self.findings).unwrap(), log)
    }
}

#[track_caller]
pub fn connect(addr: &str) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A system call in what `strace -ttt` writes.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub at: Duration,
    pub name: &'a str,
    /// Its first argument, where that is a number.
    pub descriptor: Option<i32>,
    /// Whether strace made it fail.
    pub is_injected: bool,
}

/// All of the calls of a trace.
pub fn calls(trace: &str) -> Vec<Call<'_>> {
    trace.lines().filter_map(call).collect()
}

/// Reads `1234 1700000000.123456 accept4(4, …) = -1 ENFILE (Too many open files in system) (INJECTED)`.
fn call(line: &str) -> Option<Call<'_>> {
    let (_pid, rest) = line.split_once(' ')?;
    let (at, rest) = rest.trim_start().split_once(' ')?;
    let (name, arguments) = rest.split_once('(')?;
    let descriptor = arguments.split([',', ')']).next()?.parse().ok();
    let at = Duration::try_from_secs_f64(at.parse().ok()?).ok()?;
    Some(Call { at, name, descriptor, is_injected: line.ends_with("(INJECTED)") })
}
