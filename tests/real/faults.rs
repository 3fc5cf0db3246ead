//! Faults that only a tracer, a namespace or another program can bring about. The numbers are those of
//! the project's list of faults.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::io::ioctl_fionread;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd, pidfd_open,
};

use crate::parts::{Call, Under, calls};
use crate::server::{Server, connect_unix, eventually};
use crate::wire::{echo_of, expect_echo, expect_end, pattern};

#[test]
fn row_3_system_calls_that_signals_interrupt_are_made_again() {
    const INTERRUPTED: [&str; 4] = ["epoll_wait", "recvfrom", "sendto", "accept4"];
    let inject = format!("inject={}:error=EINTR:when=3+7", INTERRUPTED.join(","));
    // Small reads, for more of them to be interrupted.
    let server = Under::strace(&["-ttt", "-e", &inject], &["--buffer", "8k"]);
    let streams: Vec<_> = (0..6).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        for (number, stream) in streams.into_iter().enumerate() {
            scope.spawn(move || {
                let bytes = pattern(number, 3 << 20);
                assert!(echo_of(stream, bytes.clone()) == bytes, "connection {number}");
            });
        }
    });
    let idle = server.connect();
    expect_echo(&idle, b"still there");
    let (trace, log) = server.stop();
    expect_end(&idle);
    for name in INTERRUPTED {
        let is_interrupted = |call: &Call<'_>| call.name == name && call.is_injected;
        assert!(calls(&trace).iter().any(is_interrupted), "no {name} was interrupted");
    }
    let all = "7 connections, 18874379 bytes in, 18874379 bytes out, 0 refused, 0 reset";
    assert!(log.last().unwrap().contains(all), "{log:#?}");
}

/// A read of a Unix socket stops short where a descriptor was passed, with more bytes behind it that no
/// edge announces.
#[test]
fn row_9_passed_descriptors_stall_nothing_and_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let server = Server::start_at(&[&format!("unix:{}", path.display())], &[]);
    let stream = connect_unix(&path);
    expect_echo(&stream, b"established");
    let descriptors = server.descriptors();
    for _ in 0..20 {
        let (mut reader, writer) = io::pipe().unwrap();
        server.signal(Signal::STOP);
        (&stream).write_all(b"before").unwrap();
        pass(&stream, b"with", writer.into());
        (&stream).write_all(b"behind").unwrap();
        server.signal(Signal::CONT);
        // All of it comes without any of it being read: that would be an event, and hide a stall.
        eventually(|| (ioctl_fionread(&stream).unwrap() >= 16).then_some(()));
        let mut echo = [0; 16];
        (&stream).read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"beforewithbehind");
        // The pipe ends where nobody has its other end any more.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
    assert_eq!(server.descriptors(), descriptors);
    stream.shutdown(Shutdown::Write).unwrap();
    expect_end(&stream);
    server.stop();
}

/// Sends bytes with a descriptor, and lets go of it.
fn pass(stream: &UnixStream, bytes: &[u8], descriptor: OwnedFd) {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let sent = sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty());
    assert_eq!(sent.unwrap(), bytes.len());
}

/// While somebody else holds a connection that the server has closed, the kernel would go on telling the
/// server of it.
#[test]
fn row_13_a_duplicated_descriptor_makes_no_ghost_events() {
    let mut server = Server::start(&["-v", "--idle-timeout", "200ms"]);
    let before = descriptors(&server);
    let stream = server.connect();
    expect_echo(&stream, b"established");
    let held = duplicate_newest(&server, &before);
    server.expect_line("closed: idle");
    assert_eq!(descriptors(&server), before);
    assert!(watched(&server).is_subset(&before), "what is closed is watched still");
    // The connection is open, since the duplicate is, and what comes on it would wake the server.
    let sleeps = server.status_kib("voluntary_ctxt_switches");
    for byte in 0..20 {
        (&stream).write_all(&[byte]).unwrap();
        thread::sleep(Duration::from_millis(10)); // The time over which the server is watched.
    }
    assert_eq!(ioctl_fionread(&held).unwrap(), 20);
    let woken = server.status_kib("voluntary_ctxt_switches") - sleeps;
    assert!(woken < 10, "20 bytes to nobody have woken the server {woken} times");
    expect_echo(server.connect(), b"and others are served");
}

fn descriptors(server: &Server) -> BTreeSet<i32> {
    let names = fs::read_dir(proc(server).join("fd")).unwrap().map(|fd| fd.unwrap().file_name());
    names.map(|name| name.to_str().unwrap().parse().unwrap()).collect()
}

/// A duplicate of the one descriptor of the server's that it did not have before.
fn duplicate_newest(server: &Server, before: &BTreeSet<i32>) -> TcpStream {
    let now = descriptors(server);
    let newest: Vec<_> = now.difference(before).collect();
    let process = pidfd_open(server.pid(), PidfdFlags::empty()).unwrap();
    let flags = PidfdGetfdFlags::empty();
    let stream = TcpStream::from(pidfd_getfd(process, *newest[0], flags).unwrap());
    assert_eq!((newest.len(), stream.local_addr().unwrap().to_string()), (1, server.addr().into()));
    stream
}

/// What the server's poll watches: proc_pid_fdinfo(5).
fn watched(server: &Server) -> BTreeSet<i32> {
    let infos = fs::read_dir(proc(server).join("fdinfo")).unwrap();
    let infos = infos.map(|info| fs::read_to_string(info.unwrap().path()).unwrap());
    let lines: Vec<_> =
        infos.flat_map(|i| i.lines().map(str::to_string).collect::<Vec<_>>()).collect();
    let targets = lines.iter().filter_map(|line| line.strip_prefix("tfd:"));
    let watched: BTreeSet<_> =
        targets.map(|t| t.split_whitespace().next().unwrap().parse().unwrap()).collect();
    assert!(!watched.is_empty(), "at least the listener is watched");
    watched
}

fn proc(server: &Server) -> PathBuf {
    format!("/proc/{}", server.pid().as_raw_nonzero()).into()
}

#[test]
fn row_15_a_want_of_the_machine_is_waited_out() {
    for error in ["ENFILE", "ENOMEM", "ENOBUFS"] {
        // The bystander takes the first two: itself, and then nobody.
        let inject = format!("inject=accept4:error={error}:when=3..5");
        let mut server = Under::strace(&["-ttt", "-e", &inject], &[]);
        let bystander = server.connect();
        expect_echo(&bystander, b"before");
        let waiting = server.connect();
        server.server.expect_line("cannot accept on ");
        expect_echo(&bystander, b"meanwhile");
        expect_echo(&waiting, b"served after all");
        let (trace, log) = server.stop();
        assert_eq!(complaints(&log), 1, "{error}: {log:#?}");
        expect_rests(&trace, 3);
    }
}

/// A want that comes and goes is no reason to fill the log either.
#[test]
fn row_15_wants_in_quick_succession_are_told_once() {
    let inject = "inject=accept4:error=ENFILE:when=3+3";
    let server = Under::strace(&["-ttt", "-e", inject], &[]);
    for _ in 0..4 {
        expect_echo(server.connect(), b"served, sooner or later");
    }
    let (trace, log) = server.stop();
    assert_eq!(complaints(&log), 1, "{log:#?}");
    assert!(accepts(&trace).iter().filter(|call| call.is_injected).count() >= 3, "{trace}");
}

#[test]
fn row_16_a_connection_that_is_gone_already_is_passed_over() {
    for error in ["ECONNABORTED", "EPROTO"] {
        let inject = format!("inject=accept4:error={error}:when=1..4");
        let server = Under::strace(&["-ttt", "-e", &inject], &[]);
        let stream = server.connect();
        expect_echo(&stream, b"the next");
        let (trace, log) = server.stop();
        assert_eq!(accepts(&trace).iter().filter(|call| call.is_injected).count(), 4, "{trace}");
        assert_eq!(complaints(&log), 0, "{error}: {log:#?}");
    }
}

/// The first process of a namespace gets no signal that it has not asked for.
#[test]
fn row_28_the_first_process_obeys_too() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Under::start("unshare", &["-pf", "--mount-proc", "--kill-child"], &[]);
        let stream = server.connect();
        expect_echo(&stream, b"hello");
        kill_process(first_of_namespace(&server.server), signal).unwrap();
        expect_end(&stream);
        // unshare ends as its child does.
        assert_eq!(server.server.wait().code(), Some(0), "{:#?}", server.server.log());
    }
}

/// The child of `unshare`, which is the first process of the namespace that it made.
fn first_of_namespace(unshare: &Server) -> Pid {
    let parent = unshare.pid().as_raw_nonzero().to_string();
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|process| {
        let status = fs::read_to_string(process.unwrap().path().join("status")).ok()?;
        let words = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().split_whitespace().map(str::to_string).collect::<Vec<_>>()
        };
        (words("PPid:") == [&*parent]).then(|| words("NSpid:"))
    });
    let numbers = numbers.last().expect("unshare has a child");
    assert_eq!(numbers.last().unwrap(), "1", "it is not the first process");
    Pid::from_raw(numbers[0].parse().unwrap()).unwrap()
}

fn complaints(log: &[String]) -> usize {
    log.iter().filter(|line| line.contains("cannot accept")).count()
}

fn accepts(trace: &str) -> Vec<Call<'_>> {
    calls(trace).into_iter().filter(|call| call.name == "accept4").collect()
}

/// Expects that so many accepts were made to fail, and that after each the server rested, but not for long.
#[track_caller]
fn expect_rests(trace: &str, failures: usize) {
    let accepts = accepts(trace);
    let rests = accepts.windows(2).filter(|pair| pair[0].is_injected).map(|p| p[1].at - p[0].at);
    let rests: Vec<_> = rests.collect();
    assert_eq!(rests.len(), failures, "{trace}");
    let tolerable = Duration::from_millis(200)..Duration::from_secs(1);
    assert!(rests.iter().all(|rest| tolerable.contains(rest)), "{rests:?}");
}
