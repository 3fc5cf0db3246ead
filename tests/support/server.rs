//! `resound serve` as a process that a test owns.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

/// How long a test waits for something that must happen, even on a busy machine, before it fails.
pub const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    /// Lines of its log that no test has read yet.
    lines: Receiver<String>,
    /// Lines of its log that a test has read.
    log: Vec<String>,
    /// The addresses on which it listens, in the order of the arguments.
    addrs: Vec<String>,
}

impl Server {
    /// Starts a server on a free port, with further arguments.
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        Self::start_at(&["127.0.0.1:0"], args)
    }

    #[track_caller]
    pub fn start_at(addrs: &[&str], args: &[&str]) -> Self {
        Self::start_command(&mut command(addrs, args), addrs.len())
    }

    /// Runs a command that starts a server, and waits until the server listens on as many addresses.
    #[track_caller]
    pub fn start_command(command: &mut Command, listeners: usize) -> Self {
        let mut server = Self::spawn(command);
        for _ in 0..listeners {
            let line = server.expect_line("listening on ");
            let (_, addr) = line.split_once("listening on ").unwrap();
            server.addrs.push(addr.to_string());
        }
        server
    }

    /// Runs a command and does not wait for it to listen.
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
        connect(self.addr())
    }

    /// Waits for a line of the log that contains this text, and returns it.
    #[track_caller]
    pub fn expect_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + TIMEOUT;
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

    /// Stops the process with SIGSTOP, and waits until it has stopped. All that happens before `resume` is
    /// there before the server looks.
    #[track_caller]
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        // `t` is the state of a process that is stopped under a tracer.
        eventually(|| self.state().starts_with(['T', 't']).then_some(()));
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The state of the process, such as `S (sleeping)`: proc_pid_status(5).
    pub fn state(&self) -> String {
        self.status("State:").trim_start_matches("State:").trim().to_string()
    }

    /// How often the process has gone to sleep by itself.
    #[track_caller]
    pub fn sleeps(&self) -> u64 {
        let count = self.status("voluntary_ctxt_switches:");
        count.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Waits for the process to end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TIMEOUT;
        // A process that ends closes the pipe of its log, and that ends the thread that reads the log.
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.log),
            }
        }
    }

    /// Sends SIGTERM, expects a clean exit, and returns the last line of the log: the summary.
    #[track_caller]
    pub fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", self.log);
        self.log.last().unwrap().clone()
    }

    /// The lines of the log that were read so far.
    pub fn log(&self) -> &[String] {
        &self.log
    }

    /// A number from /proc/PID/status, where memory is in KiB.
    #[track_caller]
    pub fn status_kib(&self, name: &str) -> usize {
        self.status_word(name).parse().unwrap()
    }

    /// The first word behind a name in /proc/PID/status.
    #[track_caller]
    pub fn status_word(&self, name: &str) -> String {
        self.status(name).split_whitespace().nth(1).unwrap().into()
    }

    #[track_caller]
    fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        status.lines().find(|line| line.starts_with(name)).unwrap().to_string()
    }

    /// Processor time that the server has used so far.
    pub fn cpu_time(&self) -> Duration {
        let pid = self.child.id();
        // "/proc/PID/schedstat" counts nanoseconds. "/proc/PID/stat" counts ticks, which are too coarse.
        let stat = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
        Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
    }

    /// Processor time that the server uses during the next `time`.
    pub fn cpu_used_in(&self, time: Duration) -> Duration {
        let before = self.cpu_time();
        thread::sleep(time); // The server must stay idle for this time, so there is no event to wait for.
        self.cpu_time() - before
    }

    /// How many descriptors the server has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Sets the limit of descriptors of the running server. It is the soft limit, which can be raised again.
    pub fn limit_descriptors(&self, limit: usize) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: Some(limit as u64), maximum };
        prlimit(Some(self.pid()), Resource::Nofile, limit).unwrap();
    }

    /// Sets the limit of the address space of the running server.
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

/// The command `resound serve` with these addresses and arguments.
pub fn command(addrs: &[&str], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    command.arg("serve").args(addrs.iter().flat_map(|addr| ["--listen", addr])).args(args);
    command
}

/// Connects over TCP. The timeouts fail a test that would otherwise wait forever.
#[track_caller]
pub fn connect(addr: &str) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Repeats `attempt` until it returns something.
#[track_caller]
pub fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < deadline, "it did not happen within {TIMEOUT:?}");
        thread::yield_now();
    }
}
