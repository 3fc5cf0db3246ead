//! The log on standard error. No kind of standard error may stop or delay the server: not a full pipe, a terminal
//! that is not read, or a file at its size limit.

use std::fs::{File, OpenOptions};
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process};

use crate::command::after_script;
use crate::deadline::end_in_time;
use crate::pty;
use crate::server::{TIMEOUT, command, eventually};
use crate::unix::{SocketPath, connect_unix};
use crate::wire::{expect_echo, expect_end, pattern};

/// A server on a Unix socket whose standard error a test provides. It is killed at the end of its test.
struct Logging {
    child: Child,
    socket: SocketPath,
}

impl Logging {
    fn start(stderr: impl Into<Stdio>, args: &[&str]) -> Self {
        let socket = SocketPath::new();
        let serve = command(&[&socket.addr], args);
        Self::spawn(socket, serve, stderr)
    }

    /// Starts a server after a shell has run a script.
    fn start_after(script: &str, stderr: impl Into<Stdio>, args: &[&str]) -> Self {
        let socket = SocketPath::new();
        let shell = after_script(script, &command(&[&socket.addr], args));
        Self::spawn(socket, shell, stderr)
    }

    fn spawn(socket: SocketPath, mut command: Command, stderr: impl Into<Stdio>) -> Self {
        Self { child: command.stderr(stderr).spawn().unwrap(), socket }
    }

    fn connect(&self) -> UnixStream {
        connect_unix(&self.socket.path)
    }

    /// Makes the server log far more than a pipe or a terminal holds. It must echo meanwhile.
    #[track_caller]
    fn log_much(&self) {
        let stream = self.connect();
        (0..2000).for_each(|i| expect_echo(&stream, &pattern(i, 10)));
    }

    /// Sends SIGTERM and expects a clean exit.
    #[track_caller]
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        end_in_time(&self.child);
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Failed when the server waited for room for a line, and when it did not catch the panic of a failed write.
#[test]
fn a_log_that_takes_nothing_delays_no_echo() {
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (_unread, pipe) = std::io::pipe().unwrap();
    let (closed, broken) = std::io::pipe().unwrap();
    drop(closed);
    let (_unread, socket) = UnixStream::pair().unwrap();
    let socket = OwnedFd::from(socket);
    for stderr in [Stdio::from(full()), pipe.into(), broken.into(), socket.into()] {
        let server = Logging::start(stderr, &["-vv"]);
        server.log_much();
        server.stop();
    }
}

/// The test holds the other end of the terminal and does not read it. Failed when the server took room for one byte
/// as room for a whole line.
#[test]
fn an_unread_terminal_stops_neither_echoes_nor_signals() {
    let (unread, terminal) = pty::open();
    let server = Logging::start(terminal.try_clone().unwrap(), &["-vv"]);
    server.log_much();
    assert!(!fcntl_getfl(&terminal).unwrap().contains(OFlags::NONBLOCK), "others share it");
    server.stop();
    drop(unread);
}

/// Failed when the log did not report dropped lines, and when it never completed a line of which the terminal had
/// taken a part.
#[test]
fn the_log_reports_how_many_lines_it_dropped() {
    let (screen, terminal) = pty::open();
    let server = Logging::start(terminal.try_clone().unwrap(), &["-vv"]);
    server.log_much();
    // The test reads what there is, and does not wait for more.
    set_nonblocking(&screen);
    check_dropped(&server, screen);

    let (pipe, stderr) = std::io::pipe().unwrap();
    let server = Logging::start(stderr, &["-vv"]);
    server.log_much();
    set_nonblocking(&pipe);
    check_dropped(&server, pipe);
}

/// Reads the log, and makes the server log more. Every line must be whole, and lines written and lines reported as
/// dropped must add up.
#[track_caller]
fn check_dropped(server: &Logging, mut from: impl Read) {
    let mut log = Vec::new();
    let before = read_all(&mut from, &mut log);
    assert!(before > 0);
    let deadline = Instant::now() + TIMEOUT;
    // The server completes a line of which the terminal took a part when it logs the next one.
    while !is_complete(&log) {
        assert!(Instant::now() < deadline, "the log reports no dropped lines");
        expect_echo(&server.connect(), b"once more");
        read_all(&mut from, &mut log);
    }
    let log = String::from_utf8(log).unwrap();
    check_lines(&log);
    let dropped = log
        .lines()
        .filter_map(|line| line.split_once(" WARN  dropped "))
        .map(|(_, rest)| rest.split_once(' ').unwrap().0.parse::<usize>().unwrap());
    let dropped: usize = dropped.sum();
    // 2000 echoes make 4000 lines. A pipe holds fewer than 200 of them.
    let written = log.lines().filter(|line| line.contains(" 10 bytes")).count();
    assert!(
        (4000 - written - 10..=4000 - written + 10).contains(&dropped),
        "{dropped} dropped, {written} written"
    );
}

/// Whether the log reports dropped lines and its last line is whole.
fn is_complete(log: &[u8]) -> bool {
    let reports = String::from_utf8_lossy(log).contains("of this log: standard error took no more");
    reports && log.last() == Some(&b'\n')
}

/// Reads what is there now.
fn read_all(from: &mut impl Read, log: &mut Vec<u8>) -> usize {
    let before = log.len();
    let _ = from.read_to_end(log);
    // A terminal writes a carriage return before each line feed.
    log.retain(|byte| *byte != b'\r');
    log.len() - before
}

fn set_nonblocking(file: impl AsFd) {
    let flags = fcntl_getfl(&file).unwrap();
    fcntl_setfl(&file, flags | OFlags::NONBLOCK).unwrap();
}

/// Expects that each line is whole: it starts with a time and a level, and contains the start of no other line.
#[track_caller]
fn check_lines(log: &str) {
    for line in log.lines() {
        let (time, rest) = line.split_at_checked(24).unwrap_or_else(|| panic!("{line:?}"));
        assert!(time.starts_with("20") && time.ends_with('Z'), "{line:?}");
        assert!(
            ["ERROR", "WARN ", "INFO ", "DEBUG", "TRACE"]
                .iter()
                .any(|level| rest[1..].starts_with(level)),
            "{line:?}"
        );
        let date = &line[.."2026-11-28T".len()];
        assert_eq!(line.matches(date).count(), 1, "{line:?}");
    }
}

/// Failed when SIGXFSZ ended the server.
#[test]
fn a_log_file_at_its_size_limit_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = File::create(dir.path().join("log")).unwrap();
    let server = Logging::start_after("ulimit -f 1", log.try_clone().unwrap(), &["-vv"]);
    server.log_much();
    // The unit of `ulimit -f` is 512 or 1024 bytes, depending on the shell.
    eventually(|| (log.metadata().unwrap().len() >= 512).then_some(()));
    // With the file truncated, the server can write again.
    log.set_len(0).unwrap();
    server.stop();
}

/// Several servers can share a pipe only if each line is one write. A datagram holds exactly one write. Failed when
/// the end of a line was a write of its own.
#[test]
fn a_line_is_one_write() {
    let (reader, stderr) = UnixDatagram::pair().unwrap();
    let server = Logging::start(OwnedFd::from(stderr), &["-vv"]);
    expect_echo(&server.connect(), b"hello");
    reader.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut all = String::new();
    while !all.contains("closed: ") {
        let mut line = [0; 5000];
        let n = reader.recv(&mut line).unwrap();
        let line = std::str::from_utf8(&line[..n]).unwrap();
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
        all.push_str(line);
    }
    check_lines(&all);
}

#[test]
fn servers_that_share_a_pipe_do_not_mix_their_lines() {
    let (mut pipe, stderr) = std::io::pipe().unwrap();
    let servers = [(); 2].map(|()| Logging::start(stderr.try_clone().unwrap(), &["-vv"]));
    drop(stderr);
    let reader = std::thread::spawn(move || {
        let mut log = String::new();
        pipe.read_to_string(&mut log).unwrap();
        log
    });
    std::thread::scope(|scope| {
        for server in &servers {
            scope.spawn(|| server.log_much());
        }
    });
    servers.into_iter().for_each(Logging::stop);
    let log = reader.join().unwrap();
    check_lines(&log);
    assert!(log.lines().count() > 100);
}

/// The program that starts the server, or one that shares its standard error, may have set O_NONBLOCK.
#[test]
fn a_log_that_is_already_non_blocking_works_alike() {
    let (pipe, stderr) = std::io::pipe().unwrap();
    set_nonblocking(&stderr);
    let server = Logging::start(stderr, &["-vv"]);
    server.log_much();
    set_nonblocking(&pipe);
    check_dropped(&server, pipe);
    server.stop();
}

/// Failed when the program waited forever, and signals did not end it.
#[test]
fn an_error_at_startup_does_not_wait_for_a_full_pipe() {
    let (_unread, stderr) = full_pipe();
    let mut child = command(&["192.0.2.1:7"], &[]).stderr(stderr).spawn().unwrap();
    end_in_time(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// A pipe without room for another byte.
fn full_pipe() -> (PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let size = fcntl_setpipe_size(&writer, 4096).unwrap();
    rustix::io::write(&writer, &vec![b'x'; size]).unwrap();
    (reader, writer)
}

/// What a server with these arguments logs of one echo, into the file `path`.
fn log_of_an_echo(path: &Path, args: &[&str]) -> String {
    let server = Logging::start(File::create(path).unwrap(), args);
    let stream = server.connect();
    expect_echo(&stream, b"hello");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    expect_end(&stream);
    server.stop();
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_log_ends_with_the_summary() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of_an_echo(&dir.path().join("log"), &["-v"]);
    check_lines(&log);
    assert!(log.lines().last().unwrap().contains("stopped: 1 connection"), "{log}");
}

/// The lines of the log as objects, and the line that the program leaves behind when it fails.
#[test]
fn each_line_of_a_json_log_is_an_object() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = log_of_an_echo(&path, &["-vv", "--log-format", "json"]);
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let read = lines.iter().find(|line| line["message"].as_str().unwrap().contains("read 5 bytes"));
    assert_eq!(read.unwrap()["level"], "trace", "{log}");
    assert!(lines[0]["time"].as_str().is_some_and(|time| time.len() == 27 && time.ends_with('Z')));

    let stderr = File::create(&path).unwrap();
    let args = ["--log-format", "json", "--log-level", "off"];
    let mut child = command(&["192.0.2.1:7"], &args).stderr(stderr).spawn().unwrap();
    end_in_time(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let line: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(
        line["message"].as_str().unwrap().starts_with("cannot listen on 192.0.2.1:7: "),
        "{line}"
    );
}
