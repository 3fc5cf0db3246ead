//! Faults that need the server's own descriptors, or a namespace.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::io::ioctl_fionread;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd, pidfd_open,
};
use socket2::SockRef;

use crate::command::{output, run_by};
use crate::programs::{Under, program, within};
use crate::server::{Server, command, connect, eventually};
use crate::unix::SocketPath;
use crate::wire::{expect_echo, expect_end};

/// The test holds a duplicate of the server's descriptor and takes the bytes that wake the server before the server
/// looks. Failed when the server closed a connection because a read after an event found nothing.
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
        // Wait until it sleeps again, before bytes wake it that it can read.
        eventually(|| server.state().starts_with('S').then_some(()));
        expect_echo(&stream, b"echoed");
    }
    assert!(server.cpu_used_in(Duration::from_millis(200)) < Duration::from_millis(20));
    drop((stream, taker));
    assert!(server.stop().contains("1 connection, 131 bytes in, 131 bytes out"));
}

/// While another process holds a duplicate of a connection that the server has closed, the kernel goes on to report
/// its events. Failed when the server closed a descriptor without deregistering it.
#[test]
fn a_duplicated_descriptor_makes_no_ghost_events() {
    let mut server = Server::start(&["-v", "--idle-timeout", "200ms"]);
    let before = descriptors(&server);
    let stream = server.connect();
    expect_echo(&stream, b"established");
    let held = duplicate_newest(&server, &before);
    server.expect_line("closed: idle");
    assert_eq!(descriptors(&server), before);
    assert!(watched(&server).is_subset(&before), "a closed descriptor is still registered");
    // The duplicate keeps the connection open, and bytes on it would wake the server.
    let sleeps = server.status_kib("voluntary_ctxt_switches");
    for byte in 0..20 {
        (&stream).write_all(&[byte]).unwrap();
        thread::sleep(Duration::from_millis(10)); // The server must not wake up in this time.
    }
    assert_eq!(ioctl_fionread(&held).unwrap(), 20);
    let woken = server.status_kib("voluntary_ctxt_switches") - sleeps;
    assert!(woken < 10, "20 bytes on a closed connection have woken the server {woken} times");
    expect_echo(server.connect(), b"another is served");
}

fn descriptors(server: &Server) -> BTreeSet<i32> {
    let names = fs::read_dir(proc(server).join("fd")).unwrap().map(|fd| fd.unwrap().file_name());
    names.map(|name| name.to_str().unwrap().parse().unwrap()).collect()
}

/// Duplicates the one descriptor of the server that is not in `before`.
fn duplicate_newest(server: &Server, before: &BTreeSet<i32>) -> TcpStream {
    let now = descriptors(server);
    let newest: Vec<_> = now.difference(before).collect();
    assert_eq!(newest.len(), 1);
    let process = pidfd_open(server.pid(), PidfdFlags::empty()).unwrap();
    let stream = pidfd_getfd(process, *newest[0], PidfdGetfdFlags::empty()).unwrap().into();
    assert!(TcpStream::peer_addr(&stream).is_ok(), "the descriptor is not a connection");
    stream
}

/// The descriptors that are registered with the server's epoll: proc_pid_fdinfo(5).
fn watched(server: &Server) -> BTreeSet<i32> {
    let infos = fs::read_dir(proc(server).join("fdinfo")).unwrap();
    let infos = infos.map(|info| fs::read_to_string(info.unwrap().path()).unwrap());
    let lines: Vec<_> =
        infos.flat_map(|i| i.lines().map(str::to_string).collect::<Vec<_>>()).collect();
    let targets = lines.iter().filter_map(|line| line.strip_prefix("tfd:"));
    let watched: BTreeSet<_> =
        targets.map(|t| t.split_whitespace().next().unwrap().parse().unwrap()).collect();
    assert!(!watched.is_empty(), "not even the listener is registered");
    watched
}

fn proc(server: &Server) -> PathBuf {
    format!("/proc/{}", server.pid().as_raw_nonzero()).into()
}

/// The peer has lost its address, and no packet is answered any more. The kernel probes the peer; the test checks the
/// times between probes and then shortens them. Failed without `SO_KEEPALIVE`, for an idle connection, and without
/// `TCP_USER_TIMEOUT`, for one with an echo in flight.
#[test]
fn a_peer_that_vanishes_is_closed() {
    let mut peers = Vanishing::start(&[]);
    peers.connect(Probes::Keepalive);
    peers.connect(Probes::Retransmissions);
    peers.vanish();
    peers.expect_closed(2);
}

/// With this option a stalled peer may stay for an hour, but a vanished one may not. Failed when `TCP_USER_TIMEOUT`
/// was an hour too: if it is set, Linux uses it instead of the number of probes.
#[test]
fn a_long_stall_timeout_does_not_keep_a_vanished_peer() {
    let mut peers = Vanishing::start(&["--stall-timeout", "1h"]);
    peers.connect(Probes::Keepalive);
    peers.vanish();
    peers.expect_closed(1);
}

/// What detects that a peer has vanished.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probes {
    Keepalive,
    Retransmissions,
}

/// A server and its peers in two network namespaces. The namespace of the peers loses its address.
struct Vanishing {
    under: Under,
    peer: Server,
    connections: Vec<(TcpStream, Probes)>,
}

impl Vanishing {
    fn start(args: &[&str]) -> Self {
        const LINK: &str = "ip link add here type veth peer name there && \
                            ip addr add 10.255.0.1/24 dev here && ip link set here up && exec \"$@\"";
        let words = ["-n", "sh", "-c", LINK, "sh"];
        let under =
            Under::start_at("10.255.0.1:7007", "unshare", &words, &[&["-v"], args].concat());
        let peer = Server::spawn(program("unshare").args(["-n", "sleep", "60"]));
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
        let addr = self.under.server.addr();
        let stream = within(&self.peer, || connect(addr));
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
    fn expect_closed(mut self, peers: usize) {
        let server = &mut self.under.server;
        (0..peers).for_each(|_| drop(server.expect_line("closed: ")));
        server.signal(Signal::TERM);
        assert!(server.wait().success());
        let last = server.log().last().unwrap();
        assert!(last.contains(&format!("{peers} timed out")), "{:#?}", server.log());
    }
}

/// Runs a script in the network namespace of a process.
fn run_in(process: &Server, script: &str) {
    let number = process.pid().as_raw_nonzero().to_string();
    let status = program("nsenter").args(["-n", "-t", &number, "sh", "-c", script]).status();
    assert!(status.unwrap().success(), "{script}");
}

/// Checks how long the kernel waits for a peer: two minutes. Shortens that to seconds.
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
    // If a user timeout is set, it counts instead of the number of probes. A longer one stays as it is.
    if socket.tcp_user_timeout().unwrap() == Some(Duration::from_secs(120)) {
        socket.set_tcp_user_timeout(Some(Duration::from_secs(2))).unwrap();
    }
}

/// The kernel delivers no signal to the first process of a namespace unless the process has a handler for it. Failed
/// when the server had no handlers.
#[test]
fn the_first_process_of_a_namespace_stops_on_signals() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Under::start("unshare", &["-pf", "--mount-proc", "--kill-child"], &[]);
        let stream = server.connect();
        expect_echo(&stream, b"hello");
        kill_process(first_of_namespace(&server.server), signal).unwrap();
        expect_end(&stream);
        // unshare ends with the exit code of its child.
        assert_eq!(server.server.wait().code(), Some(0), "{:#?}", server.server.log());
    }
}

/// Failed when the server set the permissions through /proc.
#[test]
fn a_unix_socket_gets_its_permissions_without_proc() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let addr = format!("unix:{}", path.display());
    let script = "umount -l /proc && umask 077 && exec \"$@\"";
    let words = ["-m", "sh", "-c", script, "sh"];
    let _server = Under::start_at(&addr, "unshare", &words, &["--unix-mode", "0666"]);
    let found = fs::symlink_metadata(&path).unwrap().permissions().mode();
    assert_eq!(found & 0o777, 0o666);
}

/// Runs the server as a user who is not root, since root opens any file. Failed when the error called the lock file no
/// file of this user, and advised to remove it.
#[test]
fn a_lock_file_that_its_owner_cannot_open_is_reported_with_the_reason() {
    let nobody = Some(65_534);
    let socket = SocketPath::new();
    let lock = socket.path.with_extension("lock");
    fs::write(&lock, "").unwrap();
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o400)).unwrap();
    chown(&lock, nobody, nobody).unwrap();
    chown(socket.dir.path(), nobody, nobody).unwrap();
    let mut as_nobody = Command::new("setpriv");
    as_nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let output = output(&mut run_by(as_nobody, &command(&[&socket.addr], &[])));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains(&format!("cannot open {}: permission denied", lock.display())),
        "{error}"
    );
    assert_eq!(output.status.code(), Some(1));
}

/// The child of `unshare`, which is the first process of the new namespace.
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
