//! Other programs, servers that run under them, network namespaces, and what a trace of strace says.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::command::{output, run_by};
use crate::server::{Server, command};

/// A program that must be installed. A test without its program fails; it is not skipped.
#[track_caller]
pub fn program(name: &str) -> Command {
    let path = env::var_os("PATH").unwrap();
    let is_installed = env::split_paths(&path).any(|dir| dir.join(name).is_file());
    assert!(is_installed, "{name} is not installed: ci/real installs it");
    Command::new(name)
}

/// Runs a command to its end, and returns its standard output. It must succeed.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {output:#?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A file below the root of the repository, which ci/real or one of its scripts makes.
#[track_caller]
pub fn made(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(path.exists(), "{} is missing: ci/real makes it", path.display());
    path
}

/// Python in the environment that ci/real makes, with the packages that ci/real installs.
#[track_caller]
pub fn python() -> Command {
    Command::new(made("target/real-python/bin/python"))
}

/// A server that runs under another program, such as strace.
pub struct Under {
    pub server: Server,
    /// The file to which the other program writes what it finds.
    findings: PathBuf,
    _dir: TempDir,
}

impl Under {
    /// Starts `NAME WORDS resound serve ARGS`. `{findings}` in a word stands for the path of a file.
    #[track_caller]
    pub fn start(name: &str, words: &[&str], args: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", name, words, args)
    }

    #[track_caller]
    pub fn start_at(addr: &str, name: &str, words: &[&str], args: &[&str]) -> Self {
        Self::start_command(name, words, &command(&[addr], args))
    }

    /// Starts `NAME WORDS`, and behind that a command that starts a server.
    #[track_caller]
    pub fn start_command(name: &str, words: &[&str], serve: &Command) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let findings = dir.path().join("findings");
        let mut outer = program(name);
        outer.args(words.iter().map(|word| word.replace("{findings}", findings.to_str().unwrap())));
        let mut command = run_by(outer, serve);
        Self { server: Server::start_command(&mut command, 1), findings, _dir: dir }
    }

    /// Starts a server under strace. With `-D`, the server is the child of this process, and not strace.
    #[track_caller]
    pub fn strace(options: &[&str], args: &[&str]) -> Self {
        Self::start("strace", &[&["-D", "-f", "-o", "{findings}"], options].concat(), args)
    }

    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        self.server.connect()
    }

    /// Sends SIGTERM and expects a clean exit. Returns what the other program has found, and the server's log.
    #[track_caller]
    pub fn stop(mut self) -> (String, Vec<String>) {
        self.server.signal(Signal::TERM);
        let status = self.server.wait();
        let log = self.server.log().to_vec();
        assert_eq!(status.code(), Some(0), "{log:#?}");
        (fs::read_to_string(&self.findings).unwrap(), log)
    }
}

/// Acts in the network namespace of a process. This takes a thread of its own, because a thread that enters a
/// namespace does not come back.
pub fn within<T: Send>(process: &Server, act: impl FnOnce() -> T + Send) -> T {
    within_process(process.pid(), act)
}

/// Acts in the network namespace of a process that no test started itself.
pub fn within_process<T: Send>(process: Pid, act: impl FnOnce() -> T + Send) -> T {
    let net = format!("/proc/{}/ns/net", process.as_raw_nonzero());
    let net = fs::File::open(net).unwrap();
    thread::scope(|scope| {
        let act = || {
            move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            act()
        };
        scope.spawn(act).join().unwrap()
    })
}

/// A system call in a trace that `strace -ttt` wrote.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub at: Duration,
    pub name: &'a str,
    /// Its first argument, if that is a number.
    pub descriptor: Option<i32>,
    /// Whether strace made it fail.
    pub is_injected: bool,
}

/// All calls of a trace.
pub fn calls(trace: &str) -> Vec<Call<'_>> {
    trace.lines().filter_map(call).collect()
}

/// Parses `1234 1700000000.123456 accept4(4, …) = -1 ENFILE (Too many open files in system) (INJECTED)`.
fn call(line: &str) -> Option<Call<'_>> {
    let (_pid, rest) = line.split_once(' ')?;
    let (at, rest) = rest.trim_start().split_once(' ')?;
    let (name, arguments) = rest.split_once('(')?;
    let descriptor = arguments.split([',', ')']).next()?.parse().ok();
    let at = Duration::try_from_secs_f64(at.parse().ok()?).ok()?;
    Some(Call { at, name, descriptor, is_injected: line.ends_with("(INJECTED)") })
}
