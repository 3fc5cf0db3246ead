//! Faults that take hold of the server's own descriptors, or take place in a namespace. The numbers are those
//! of the project's list of faults.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::io::ioctl_fionread;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd, pidfd_open,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::SockRef;

use crate::programs::{Under, connect, part};
use crate::server::{Server, eventually};
use crate::wire::{expect_echo, expect_end};

/// FAULTS 4. When the server looks, what woke it is gone: the test has taken it, by a duplicate. Failed when
/// a connection on which nothing was found, and something had been before, was closed.
#[test]
fn spurious_wakeups_change_nothing() {
    let server = Server::start(&[]);
    let before = descriptors(&server);
    let stream = server.connect();
    expect_echo(&stream, b"established");
    let taker = duplicate_newest(&server, &before);
    for _ in 0..20 {
        server.pause();
        (&stream).write_all(b"taken").unwrap();
        (&taker).read_exact(&mut [0; 5]).unwrap();
        server.resume();
        // Before it is woken for something.
        eventually(|| server.state().starts_with('S').then_some(()));
        expect_echo(&stream, b"echoed");
    }
    let used = server.cpu_time();
    thread::sleep(Duration::from_millis(200)); // The time over which the processor is watched.
    assert!(server.cpu_time() - used < Duration::from_millis(20));
    drop((stream, taker));
    assert!(server.stop().contains("1 connection, 131 bytes in, 131 bytes out"));
}

/// FAULTS 13. While somebody else holds a connection that the server has closed, the kernel would go on telling the
/// server of it. Failed when what was closed was not deregistered.
#[test]
fn a_duplicated_descriptor_makes_no_ghost_events() {
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

/// FAULTS 24. What becomes of a peer's packets, nobody says: it has lost its address. The server's sockets
/// ask whether it is there, after times that are looked at and then shortened. Failed without
/// `SO_KEEPALIVE` for those that are idle, and without `TCP_USER_TIMEOUT` for those with an echo under way.
#[test]
fn a_peer_that_vanishes_is_closed() {
    let mut gone = Gone::start(&[]);
    gone.connect(Probes::Keepalive);
    gone.connect(Probes::Retransmissions);
    gone.vanish();
    gone.expect_given_up(2);
}

/// A stalled peer may stay for an hour then, but not one that has vanished. Failed when `TCP_USER_TIMEOUT` was an hour
/// too: Linux goes by it instead of the number of probes.
#[test]
fn a_long_stall_timeout_does_not_keep_a_vanished_peer() {
    let mut gone = Gone::start(&["--stall-timeout", "1h"]);
    gone.connect(Probes::Keepalive);
    gone.vanish();
    gone.expect_given_up(1);
}

/// What finds that a peer has vanished.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probes {
    Keepalive,
    Retransmissions,
}

/// A server and its peers, in two namespaces, of which that of the peers loses its address.
struct Gone {
    under: Under,
    peer: Server,
    connections: Vec<(TcpStream, Probes)>,
}

impl Gone {
    fn start(args: &[&str]) -> Self {
        const LINK: &str = "ip link add here type veth peer name there && \
                            ip addr add 10.255.0.1/24 dev here && ip link set here up && exec \"$@\"";
        let words = ["-n", "sh", "-c", LINK, "sh"];
        let under =
            Under::start_at("10.255.0.1:7007", "unshare", &words, &[&["-v"], args].concat());
        let peer = Server::spawn(part("unshare").args(["-n", "sleep", "60"]));
        let net = |server: &Server| fs::read_link(proc(server).join("ns/net")).unwrap();
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        eventually(|| (net(&peer) != own).then_some(()));
        let number = peer.pid().as_raw_nonzero();
        run_in(&under.server, &format!("ip link set there netns {number}"));
        run_in(&peer, "ip addr add 10.255.0.2/24 dev there && ip link set there up");
        Self { under, peer, connections: Vec::new() }
    }

    fn connect(&mut self, probes: Probes) {
        let before = descriptors(&self.under.server);
        let stream = connect_in(&self.peer, &self.under.addr);
        expect_echo(&stream, b"established");
        shorten_timeouts(&duplicate_newest(&self.under.server, &before), probes);
        self.connections.push((stream, probes));
    }

    fn vanish(&self) {
        self.under.server.pause();
        for (mut stream, probes) in
            self.connections.iter().map(|(stream, probes)| (stream, *probes))
        {
            if probes == Probes::Retransmissions {
                stream.write_all(b"echo this").unwrap();
            }
        }
        run_in(&self.peer, "ip addr flush dev there");
        self.under.server.resume();
    }

    #[track_caller]
    fn expect_given_up(mut self, peers: usize) {
        let server = &mut self.under.server;
        (0..peers).for_each(|_| drop(server.expect_line("closed: ")));
        server.signal(Signal::TERM);
        assert!(server.wait().success());
        let last = server.log().last().unwrap();
        assert!(last.contains(&format!("{peers} timed out")), "{:#?}", server.log());
    }
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

/// Looks at how long the kernel waits for a peer, and makes that seconds instead of two minutes.
fn shorten_timeouts(stream: &TcpStream, probes: Probes) {
    let socket = SockRef::from(stream);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 6);
    if probes == Probes::Keepalive {
        rustix::net::sockopt::set_tcp_keepidle(stream, Duration::from_secs(1)).unwrap();
        rustix::net::sockopt::set_tcp_keepintvl(stream, Duration::from_secs(1)).unwrap();
        rustix::net::sockopt::set_tcp_keepcnt(stream, 2).unwrap();
    }
    // If there is one, it counts instead of the number of probes. A longer one stays as it is.
    if socket.tcp_user_timeout().unwrap() == Some(Duration::from_secs(120)) {
        socket.set_tcp_user_timeout(Some(Duration::from_secs(2))).unwrap();
    }
}

/// FAULTS 28. The first process of a namespace gets no signal that it has not asked for. Failed when the
/// server asked for none.
#[test]
fn the_first_process_of_a_namespace_stops_on_signals() {
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
