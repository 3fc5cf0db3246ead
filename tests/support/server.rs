//! A `resound serve` of a test's own, in a process of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

/// How long something that must come may take on a busy machine before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    /// What it logs, line by line.
    lines: Receiver<String>,
    log: Vec<String>,
    /// Where it listens, in the order of the arguments.
    addrs: Vec<String>,
}

impl Server {
    /// Starts one on a free port, with these further arguments.
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        Self::start_at(&["127.0.0.1:0"], args)
    }

    #[track_caller]
    pub fn start_at(addrs: &[&str], args: &[&str]) -> Self {
        let mut server = Self::spawn(&mut command(addrs, args));
        for _ in addrs {
            let line = server.expect_line("listening on ");
            let at = line.find("listening on ").unwrap() + "listening on ".len();
            server.addrs.push(line[at..].to_string());
        }
        server
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines, log: Vec::new(), addrs: Vec::new() }
    }

    pub fn addr(&self) -> &str {
        &self.addrs[0]
    }

    pub fn addrs(&self) -> &[String] {
        &self.addrs
    }

    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// The next line of the log with this text in it.
    #[track_caller]
    pub fn expect_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(e) => panic!("no line with {text:?} ({e}) in the log: {:#?}", self.log),
            }
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Stops it where it is, and waits until it stands still. What comes then is there before it looks.
    #[track_caller]
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        // Which a tracer calls `t`.
        eventually(|| self.state().starts_with(['T', 't']).then_some(()));
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Such as `S (sleeping)`: proc_pid_status(5).
    pub fn state(&self) -> String {
        self.status("State:").trim_start_matches("State:").trim().to_string()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        // Its end closes the pipe of its log, which ends the thread that reads it.
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.log),
            }
        }
    }

    /// Asks it to stop, expects that it does so in order, and gives its last word.
    #[track_caller]
    pub fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", self.log);
        self.log.last().unwrap().clone()
    }

    pub fn log(&self) -> &[String] {
        &self.log
    }

    /// A figure of /proc/PID/status, in KiB.
    #[track_caller]
    pub fn status_kib(&self, name: &str) -> usize {
        self.status(name).split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[track_caller]
    fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        status.lines().find(|line| line.starts_with(name)).unwrap().to_string()
    }

    /// Processor time used so far.
    pub fn cpu_time(&self) -> Duration {
        let pid = self.child.id();
        // "/proc/PID/schedstat" counts in nanoseconds; "/proc/PID/stat" in ticks, which are too coarse.
        let stat = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
        Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Sets its limit of descriptors, while it runs: the soft one, which can be raised again.
    pub fn limit_descriptors(&self, limit: usize) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: Some(limit as u64), maximum };
        prlimit(Some(self.pid()), Resource::Nofile, limit).unwrap();
    }
}

impl Server {
    /// Sets the limit of its address space, while it runs.
    pub fn limit_memory(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        prlimit(Some(self.pid()), Resource::As, limit).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `resound serve` with these addresses and arguments.
pub fn command(addrs: &[&str], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    command.arg("serve").args(addrs.iter().flat_map(|addr| ["--listen", addr])).args(args);
    command
}

/// Connects to a Unix socket as soon as somebody listens there.
#[track_caller]
pub fn connect_unix(path: &Path) -> UnixStream {
    let stream = eventually(|| UnixStream::connect(path).ok());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What `attempt` gives, as soon as it gives anything.
#[track_caller]
pub fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < deadline, "it did not come about within {PATIENCE:?}");
        thread::yield_now();
    }
}
