//! The log: whatever standard error is, it stops nothing.

use std::fs::{File, OpenOptions};
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process};

use crate::deadline::end_in_time;
use crate::pty;
use crate::server::{PATIENCE, command, connect_unix, eventually};
use crate::wire::{expect_echo, expect_end, pattern};

/// A server on a Unix socket whose log goes wherever a test wants. It does not outlive its test.
struct Logging {
    child: Child,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Logging {
    fn start(stderr: impl Into<Stdio>, args: &[&str]) -> Self {
        Self::start_under(&[], stderr, args)
    }

    /// Under a program that runs it, and takes its first arguments.
    fn start_under(words: &[&str], stderr: impl Into<Stdio>, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("echo");
        let serve = command(&[&format!("unix:{}", path.display())], args);
        let all = words.iter().map(|word| (*word).into());
        let all: Vec<_> = all
            .chain([serve.get_program().to_os_string()])
            .chain(serve.get_args().map(|arg| arg.to_os_string()))
            .collect();
        let child = Command::new(&all[0]).args(&all[1..]).stderr(stderr).spawn().unwrap();
        Self { child, path, _dir: dir }
    }

    fn connect(&self) -> UnixStream {
        connect_unix(&self.path)
    }

    /// Makes it log far more than a pipe or a terminal holds, while it must echo.
    #[track_caller]
    fn make_it_talk(&self) {
        let stream = self.connect();
        (0..2000).for_each(|i| expect_echo(&stream, &pattern(i, 10)));
    }

    /// It must end in order, though nothing reads its log.
    #[track_caller]
    fn stop(mut self) {
        let status = self.signal_and_wait();
        assert_eq!(status.code(), Some(0), "{status}");
    }

    fn signal_and_wait(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        end_in_time(&self.child);
        self.child.wait().unwrap()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// FAULTS 38. Failed when lines were waited for, and when the panic of one that could not be written was not
/// caught.
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
        server.make_it_talk();
        server.stop();
    }
}

/// FAULTS 47. The other end is held, and not read. Failed when room for some byte passed for room for a line.
#[test]
fn an_unread_terminal_stops_neither_echoes_nor_signals() {
    let (unread, terminal) = pty::open();
    let server = Logging::start(terminal.try_clone().unwrap(), &["-vv"]);
    server.make_it_talk();
    assert!(!fcntl_getfl(&terminal).unwrap().contains(OFlags::NONBLOCK), "others share it");
    server.stop();
    drop(unread);
}

/// FAULTS 47. Failed when the log was silent on what it had dropped, and when a line that the terminal had taken
/// in part was never completed.
#[test]
fn the_log_reports_how_many_lines_it_dropped() {
    let (screen, terminal) = pty::open();
    let server = Logging::start(terminal.try_clone().unwrap(), &["-vv"]);
    server.make_it_talk();
    // The test does not wait for the terminal any more than the server does.
    set_nonblocking(&screen);
    check_dropped(&server, screen);

    let (pipe, stderr) = std::io::pipe().unwrap();
    let server = Logging::start(stderr, &["-vv"]);
    server.make_it_talk();
    set_nonblocking(&pipe);
    check_dropped(&server, pipe);
}

/// Reads what there is, has the server log some more, and finds that every line is whole and all are accounted
/// for.
#[track_caller]
fn check_dropped(server: &Logging, mut from: impl Read + AsFd) {
    let mut log = Vec::new();
    let before = read_all(&mut from, &mut log);
    assert!(before > 0);
    let deadline = Instant::now() + PATIENCE;
    while !String::from_utf8_lossy(&log).contains("of this log: standard error took no more") {
        assert!(Instant::now() < deadline, "it did not say so");
        expect_echo(&server.connect(), b"once more");
        read_all(&mut from, &mut log);
    }
    // The end of the last line may be on its way.
    while log.last() != Some(&b'\n') {
        poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&TIMEOUT)).unwrap();
        read_all(&mut from, &mut log);
    }
    let log = String::from_utf8(log).unwrap();
    check_lines(&log);
    let dropped = log
        .lines()
        .filter_map(|line| line.split_once("] dropped "))
        .map(|(_, rest)| rest.split_once(' ').unwrap().0.parse::<usize>().unwrap());
    let dropped: usize = dropped.sum();
    // 2000 echoes are 4000 lines, less than 200 of which fit into a pipe.
    let written = log.lines().filter(|line| line.contains(" 10 bytes")).count();
    assert!(
        (4000 - written - 10..=4000 - written + 10).contains(&dropped),
        "{dropped} of {written}"
    );
}

const TIMEOUT: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// Reads what there is now.
fn read_all(from: &mut impl Read, log: &mut Vec<u8>) -> usize {
    let before = log.len();
    let _ = from.read_to_end(log);
    // As a terminal writes it.
    log.retain(|byte| *byte != b'\r');
    log.len() - before
}

fn set_nonblocking(file: impl AsFd) {
    let flags = fcntl_getfl(&file).unwrap();
    fcntl_setfl(&file, flags | OFlags::NONBLOCK).unwrap();
}

/// Each line is whole: it begins with a time and a level, and has but one of them.
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
        assert_eq!(line.matches(" [resound").count(), 1, "{line:?}");
    }
}

/// FAULTS 47. Failed when SIGXFSZ ended the server.
#[test]
fn a_log_file_at_its_size_limit_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = File::create(dir.path().join("log")).unwrap();
    let words = ["sh", "-c", "ulimit -f 1; exec \"$@\"", "sh"];
    let server = Logging::start_under(&words, log.try_clone().unwrap(), &["-vv"]);
    server.make_it_talk();
    // 512 or 1024 bytes, as shells have it.
    eventually(|| (log.metadata().unwrap().len() >= 512).then_some(()));
    // Once it is emptied, it goes on.
    log.set_len(0).unwrap();
    server.stop();
}

/// Several servers can share a pipe only then. A datagram is what one write gave. Failed when the end of a line was a
/// write of its own.
#[test]
fn a_line_is_one_write() {
    let (reader, stderr) = UnixDatagram::pair().unwrap();
    let server = Logging::start(OwnedFd::from(stderr), &["-vv"]);
    expect_echo(&server.connect(), b"hello");
    reader.set_read_timeout(Some(PATIENCE)).unwrap();
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
            scope.spawn(|| server.make_it_talk());
        }
    });
    servers.into_iter().for_each(Logging::stop);
    let log = reader.join().unwrap();
    check_lines(&log);
    assert!(log.lines().count() > 100);
}

/// Whoever starts it may have made it so, or share it with a program that has.
#[test]
fn a_log_that_is_already_non_blocking_works_alike() {
    let (pipe, stderr) = std::io::pipe().unwrap();
    set_nonblocking(&stderr);
    let server = Logging::start(stderr, &["-vv"]);
    server.make_it_talk();
    set_nonblocking(&pipe);
    check_dropped(&server, pipe);
    server.stop();
}

/// Failed when it waited for ever, deaf to signals.
#[test]
fn an_error_at_startup_does_not_wait_for_a_full_pipe() {
    let (_unread, stderr) = full_pipe();
    let mut child = command(&["192.0.2.1:7"], &[]).stderr(stderr).spawn().unwrap();
    end_in_time(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

/// With no room for another byte.
fn full_pipe() -> (PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let size = fcntl_setpipe_size(&writer, 4096).unwrap();
    rustix::io::write(&writer, &vec![b'x'; size]).unwrap();
    (reader, writer)
}

/// The last word is in the log, if there is room for it.
#[test]
fn the_log_ends_with_the_summary() {
    let dir = tempfile::tempdir().unwrap();
    let path: &Path = dir.path();
    let log = File::create(path.join("log")).unwrap();
    let server = Logging::start(log, &["-v"]);
    let stream = server.connect();
    expect_echo(&stream, b"hello");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    expect_end(&stream);
    server.stop();
    let log = std::fs::read_to_string(path.join("log")).unwrap();
    check_lines(&log);
    assert!(log.lines().last().unwrap().contains("stopped: 1 connection"), "{log}");
}
