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

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::SockRef;

use crate::parts::{Call, Under, calls, connect, part};
use crate::server::{Server, connect_unix, eventually};
use crate::wire::{echo_of, expect_echo, expect_end, pattern, stuff};

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

/// FAULTS 4. When the server looks, what woke it is gone: the test has taken it, by a duplicate. Failed when
/// a connection on which nothing was found, and something had been before, was closed.
#[test]
fn row_4_being_woken_for_nothing_changes_nothing() {
    let server = Server::start(&[]);
    let before = descriptors(&server);
    let stream = server.connect();
    expect_echo(&stream, b"established");
    let taker = duplicate_newest(&server, &before);
    for _ in 0..20 {
        hold(&server);
        (&stream).write_all(b"taken").unwrap();
        (&taker).read_exact(&mut [0; 5]).unwrap();
        server.signal(Signal::CONT);
        // Before it is woken for something.
        eventually(|| has_slept(&server).then_some(()));
        expect_echo(&stream, b"echoed");
    }
    let used = server.cpu_time();
    thread::sleep(Duration::from_millis(200)); // The time over which the processor is watched.
    assert!(server.cpu_time() - used < Duration::from_millis(20));
    drop((stream, taker));
    assert!(server.stop().contains("1 connections, 131 bytes in, 131 bytes out"));
}

/// Stops it, and waits until it has.
fn hold(server: &Server) {
    server.signal(Signal::STOP);
    eventually(|| state(server).starts_with(['T', 't']).then_some(()));
}

fn has_slept(server: &Server) -> bool {
    state(server).starts_with('S')
}

/// Such as `S (sleeping)`: proc_pid_status(5).
fn state(server: &Server) -> String {
    let status = fs::read_to_string(proc(server).join("status")).unwrap();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.unwrap().trim().to_string()
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
    assert_eq!(newest.len(), 1);
    let process = pidfd_open(server.pid(), PidfdFlags::empty()).unwrap();
    let stream = pidfd_getfd(process, *newest[0], PidfdGetfdFlags::empty()).unwrap().into();
    assert!(TcpStream::peer_addr(&stream).is_ok(), "that is no connection");
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

/// FAULTS 17. A flood of connections holds the established ones up for as long as it takes to accept 64.
/// Failed when all that waited were accepted in one turn.
#[test]
fn row_17_a_flood_of_connections_lets_others_through() {
    const FLOOD: usize = 1000;
    const MOST_IN_A_TURN: usize = 64;
    let server = Under::strace(&["-ttt"], &[]);
    let pinger = server.connect();
    expect_echo(&pinger, b"before");
    hold(&server.server);
    let flood: Vec<_> = (0..FLOOD).map(|_| server.connect()).collect();
    server.server.signal(Signal::CONT);
    expect_echo(&pinger, b"meanwhile");
    // All are accepted in the end.
    flood.iter().rev().for_each(|stream| expect_echo(stream, b"the flood"));
    drop((pinger, flood));
    let (trace, _) = server.stop();
    let calls = calls(&trace);
    let turns = turns(&calls);
    let accepts = turns.map(|turn| turn.iter().filter(|call| call.name == "accept4").count());
    let accepts: Vec<_> = accepts.collect();
    assert!(accepts.iter().all(|n| *n <= MOST_IN_A_TURN), "{accepts:?}");
    assert!(accepts.contains(&MOST_IN_A_TURN), "this shows nothing: {accepts:?}");
}

/// FAULTS 18. Somebody who has sent megabytes is read from once, and then all the others are. Failed when a
/// connection was driven for as long as it had something.
#[test]
fn row_18_a_flooder_takes_turns_with_the_others() {
    const PINGERS: usize = 200;
    let server = Under::strace(&["-ttt"], &[]);
    let flooder = server.connect();
    expect_echo(&flooder, b"I come first");
    let pingers: Vec<_> = (0..PINGERS).map(|_| server.connect()).collect();
    pingers.iter().for_each(|stream| expect_echo(stream, b"before"));
    hold(&server.server);
    let bytes = pattern(1, 64 << 20);
    let sent = stuff(&flooder, &bytes);
    pingers.iter().for_each(|mut stream| stream.write_all(b"ping").unwrap());
    server.server.signal(Signal::CONT);
    pingers.iter().for_each(|mut stream| stream.read_exact(&mut [0; 4]).unwrap());
    let mut echo = vec![0; sent];
    (&flooder).read_exact(&mut echo).unwrap();
    assert!(echo == bytes[..sent]);
    drop((flooder, pingers));
    let (trace, _) = server.stop();
    let calls = calls(&trace);
    // And not those of the signals' descriptor, which is read until it is empty.
    let peers = calls.iter().filter(|call| call.name == "sendto").map(|call| call.descriptor);
    let peers: BTreeSet<_> = peers.collect();
    let mut busiest = 0;
    for turn in turns(&calls) {
        let mut read = BTreeSet::new();
        for call in turn.iter().filter(|call| call.name == "recvfrom") {
            let is_first = read.insert(call.descriptor);
            assert!(is_first || !peers.contains(&call.descriptor), "twice in a turn: {call:?}");
        }
        busiest = busiest.max(read.len());
    }
    assert!(sent > 1 << 20 && busiest > PINGERS, "{sent} bytes and {busiest} reads show nothing");
}

/// What the server does between one wait and the next.
fn turns<'a>(calls: &'a [Call<'a>]) -> impl Iterator<Item = &'a [Call<'a>]> {
    calls.split(|call| call.name == "epoll_wait")
}

/// FAULTS 24. What becomes of a peer's packets, nobody says: it has lost its address. The server's sockets
/// ask whether it is there, after times that are looked at and then shortened. Failed without
/// `SO_KEEPALIVE` for those that are idle, and without `TCP_USER_TIMEOUT` for those with an echo under way.
#[test]
fn row_24_a_peer_that_is_gone_silently_is_given_up() {
    const LINK: &str = "ip link add here type veth peer name there && \
                        ip addr add 10.255.0.1/24 dev here && ip link set here up && exec \"$@\"";
    let words = ["-n", "sh", "-c", LINK, "sh"];
    let mut under = Under::start_at("10.255.0.1:7007", "unshare", &words, &["-v"]);
    let server = &mut under.server;
    let peer = Server::spawn(part("unshare").args(["-n", "sleep", "60"]));
    let net = |server: &Server| fs::read_link(proc(server).join("ns/net")).unwrap();
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    eventually(|| (net(&peer) != own).then_some(()));
    let number = peer.pid().as_raw_nonzero();
    run_in(server, &format!("ip link set there netns {number}"));
    run_in(&peer, "ip addr add 10.255.0.2/24 dev there && ip link set there up");
    let before = descriptors(server);
    let idle = connect_in(&peer, &under.addr);
    expect_echo(&idle, b"established");
    shorten_patience(&duplicate_newest(server, &before), true);
    let before = descriptors(server);
    let waiting = connect_in(&peer, &under.addr);
    expect_echo(&waiting, b"established");
    shorten_patience(&duplicate_newest(server, &before), false);
    hold(server);
    (&waiting).write_all(b"echo this").unwrap();
    run_in(&peer, "ip addr flush dev there");
    server.signal(Signal::CONT);
    server.expect_line("closed: ");
    server.expect_line("closed: ");
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert!(server.log().last().unwrap().contains("2 timed out"), "{:#?}", server.log());
}

/// Runs a script where that process has its network.
fn run_in(process: &Server, script: &str) {
    let number = process.pid().as_raw_nonzero().to_string();
    let status = part("nsenter").args(["-n", "-t", &number, "sh", "-c", script]).status();
    assert!(status.unwrap().success(), "{script}");
}

/// A connection from there. A thread goes, since it does not come back.
fn connect_in(process: &Server, addr: &str) -> TcpStream {
    let net = fs::File::open(proc(process).join("ns/net")).unwrap();
    thread::scope(|scope| {
        let connect = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(net.as_fd(), kind).unwrap();
            connect(addr)
        };
        scope.spawn(connect).join().unwrap()
    })
}

/// Looks at how long the kernel waits for a peer, and makes that seconds instead of minutes.
fn shorten_patience(stream: &TcpStream, keepalive_only: bool) {
    let socket = SockRef::from(stream);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 6);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(120)));
    if keepalive_only {
        rustix::net::sockopt::set_tcp_keepidle(stream, Duration::from_secs(1)).unwrap();
        rustix::net::sockopt::set_tcp_keepintvl(stream, Duration::from_secs(1)).unwrap();
        rustix::net::sockopt::set_tcp_keepcnt(stream, 2).unwrap();
    }
    // Where there is one, it counts instead of the number of probes.
    socket.set_tcp_user_timeout(Some(Duration::from_secs(2))).unwrap();
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
