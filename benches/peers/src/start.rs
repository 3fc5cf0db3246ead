//! Starts peers, and ends them.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::find::Found;

/// How long a peer may take until it listens. Interpreters are slow to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Raises the limit of descriptors to the hard limit, for this process and those that it starts from now on. Thousands
/// of connections need more than the usual limit. Returns the new limit.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// A running peer. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    addr: SocketAddr,
    process: Process,
}

impl Found {
    /// Starts the peer on a free port, with further arguments, and waits until it reports where it listens.
    ///
    /// The peer runs on the processors on which the calling thread may run.
    pub fn start(&self, args: &[&str]) -> io::Result<Running> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        let mut command = self.command(free, &args)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process(command.spawn()?);
        let lines = process.0.stderr.take().map(lines).ok_or(io::ErrorKind::BrokenPipe)?;
        let addr = announced(&lines)?;
        Ok(Running { name: self.peer.name, addr, process })
    }
}

impl Running {
    /// The name of the peer.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The address on which it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// All its processes at the moment. socat and ncat start one or two for each connection, and those do the echoing.
    pub fn pids(&self) -> Vec<u32> {
        self.process.family()
    }
}

#[derive(Debug)]
struct Process(Child);

impl Process {
    /// The process, its children, and their children.
    fn family(&self) -> Vec<u32> {
        let mut family = vec![self.0.id()];
        let mut next = 0;
        while let Some(pid) = family.get(next) {
            // The file is missing if that process has ended in the meantime.
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let children = children.unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            next += 1;
        }
        family
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process group would be easier to kill, but Ctrl-C at the terminal would not reach it.
        for pid in self.family() {
            // This fails only if the process has ended by itself, and then its clients have noticed.
            let _ = i32::try_from(pid)
                .ok()
                .and_then(Pid::from_raw)
                .map(|pid| kill_process(pid, Signal::KILL));
        }
        let _ = self.0.wait();
    }
}

/// The lines that the peer logs. A thread reads all of them, so that a full pipe never stops the peer.
fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
    receiver
}

/// Waits until the peer reports where it listens.
fn announced(lines: &Receiver<String>) -> io::Result<SocketAddr> {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut said = String::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => match address_in(&line) {
                Some(addr) => return Ok(addr),
                None => said = format!("{said} {}", line.trim()),
            },
            Err(RecvTimeoutError::Timeout) => {
                return Err(io::Error::other(format!(
                    "it does not report where it listens:{said}"
                )));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other(format!("it ended at once:{said}")));
            }
        }
    }
}

/// The address in `listening on 127.0.0.1:7007`, `Ncat: Listening on 127.0.0.1:7007`, or socat's
/// `2026/01/01 00:00:00 socat[1234] N listening on AF=2 127.0.0.1:7007`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("istening on ")?;
    rest.split_whitespace().last()?.parse().ok()
}
