//! Names, addresses and ports in network namespaces of their own. The numbers are those of the project's list of
//! faults.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use resound::net::{Endpoint, Socket};
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::programs::{Under, connect, part};
use crate::server::{Server, command, eventually};
use crate::wire::expect_echo;

/// Starts a server in a network namespace of its own, in which this script has run.
#[track_caller]
fn start(script: &str, addr: &str, args: &[&str]) -> Under {
    let script = format!("ip link set lo up && {script} && exec \"$@\"");
    Under::start_at(addr, "unshare", &["-n", "-m", "sh", "-c", &script, "sh"], args)
}

/// Does something in the network of that server. A thread goes, since it does not come back.
fn within<T: Send>(server: &Server, act: impl FnOnce() -> T + Send) -> T {
    let net = format!("/proc/{}/ns/net", server.pid().as_raw_nonzero());
    let net = fs::File::open(net).unwrap();
    thread::scope(|scope| {
        let act = || {
            move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            act()
        };
        scope.spawn(act).join().unwrap()
    })
}

/// FAULTS 54. Failed when the option was set only where IPv4 was to be left to another listener.
#[test]
fn listening_on_all_addresses_includes_ipv4_for_either_system_default() {
    for default in ["0", "1"] {
        let script = format!("echo {default} > /proc/sys/net/ipv6/bindv6only");
        let under = start(&script, "[::]:7007", &["-v"]);
        within(&under.server, || {
            expect_echo(connect("127.0.0.1:7007"), b"four");
            expect_echo(connect("[::1]:7007"), b"six");
        });
        // With one of its own beside it, it leaves IPv4 to that.
        let both = start(&script, "[::]:7007", &["--listen", "0.0.0.0:7007"]);
        within(&both.server, || {
            expect_echo(connect("127.0.0.1:7007"), b"four");
            expect_echo(connect("[::1]:7007"), b"six");
        });
    }
}

/// FAULTS 53. Failed when an address that the machine does not have had to be said by one errno.
#[test]
fn a_name_is_listened_on_at_the_addresses_that_exist() {
    const NO_IPV6: &str = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
    const HOSTS: &str = "echo '::1 both.test\n127.0.0.1 both.test' > {hosts} && \
                         mount --bind {hosts} /etc/hosts";
    let dir = tempfile::tempdir().unwrap();
    let hosts = HOSTS.replace("{hosts}", dir.path().join("hosts").to_str().unwrap());
    let under = start(&format!("{NO_IPV6} && {hosts}"), "both.test:7007", &[]);
    assert_eq!(under.addr, "127.0.0.1:7007");
    within(&under.server, || expect_echo(connect("127.0.0.1:7007"), b"hello"));
    let skipped = "cannot listen on [::1]:7007: cannot assign requested address";
    assert!(under.server.log().iter().any(|line| line.contains("WARN") && line.contains(skipped)));
}

/// The kernel knows neither the protocol nor an option, in other words than usual: every such call fails.
#[test]
fn unsupported_socket_options_are_skipped() {
    for errno in ["ENOPROTOOPT", "EINVAL"] {
        let inject = format!("inject=setsockopt:error={errno}");
        let under = Under::strace(&["-e", "trace=setsockopt", "-e", &inject], &[]);
        expect_echo(under.connect(), b"hello");
        let (trace, _) = under.stop();
        assert!(trace.matches("(INJECTED)").count() >= 5, "{trace}");
    }
}

/// Failed when handlers were installed before: the signal was remembered, and the look-up went on for 10 s.
#[test]
fn a_signal_ends_a_lookup() {
    const NO_ANSWER: &str = "ip link add void type veth peer name gone && ip link set gone up && \
                             ip addr add 10.255.0.1/24 dev void && ip link set void up && \
                             ip neigh add 10.255.0.9 lladdr 02:00:00:00:00:09 dev void && echo nameserver 10.255.0.9 > {resolv} && \
                             mount --bind {resolv} /etc/resolv.conf && exec \"$@\"";
    let dir = tempfile::tempdir().unwrap();
    let script = NO_ANSWER.replace("{resolv}", dir.path().join("resolv").to_str().unwrap());
    let serve = command(&["slow.test:7007"], &[]);
    let mut outer = part("unshare");
    outer.args(["-n", "-m", "sh", "-c", &script, "sh"]);
    let mut server = Server::spawn(outer.arg(serve.get_program()).args(serve.get_args()));
    // It has asked, and waits for the answer.
    let sockets = format!("/proc/{}/net/udp", server.pid().as_raw_nonzero());
    eventually(|| fs::read_to_string(&sockets).ok()?.contains(":0035 ").then_some(()));
    let since = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().signal(), Some(Signal::TERM.as_raw()));
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
}

/// Failed when bind(2) chose the port: ten for all servers together. And what the system says of it is that the
/// address is not this machine's.
#[test]
fn each_source_address_can_use_all_its_ports_for_each_server() {
    const TEN: &str = "echo 40000 40009 > /proc/sys/net/ipv4/ip_local_port_range";
    let under = start(TEN, "127.0.0.1:7007", &["--listen", "127.0.0.1:7008"]);
    within(&under.server, || {
        let servers =
            [7007, 7008].map(|port| Endpoint::from(SocketAddr::from(([127, 0, 0, 1], port))));
        let source = ([127, 0, 0, 2], 0).into();
        let mut connections = Vec::new();
        for server in &servers {
            for _ in 0..10 {
                connections.push(Socket::connect_from(source, server).unwrap());
            }
        }
        let error = Socket::connect_from(source, &servers[0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert_eq!(error.to_string(), "the ports of 127.0.0.2 are used up");
        // Another address has its own; and the system's choice can be used up too.
        for _ in 0..10 {
            connections.push(Socket::connect(&servers[0]).unwrap());
        }
        let error = Socket::connect(&servers[0]).unwrap_err();
        assert_eq!(error.to_string(), "the ports of 127.0.0.1 are used up");
    });
}

/// Failed when only the limit counted, and peers waited in vain for descriptors that the server's parent had left
/// open.
#[test]
fn descriptors_inherited_from_a_parent_are_not_counted_as_free() {
    const LEFT_OPEN: &str =
        "for i in {20..49}; do eval \"exec $i</dev/null\"; done; ulimit -n 64; exec \"$@\"";
    let under = Under::start("bash", &["-c", LEFT_OPEN, "bash"], &[]);
    let streams: Vec<_> = (0..40).map(|_| under.connect()).collect();
    let served = streams.iter().filter(|stream| {
        let _ = (&mut &**stream).write_all(b"hello");
        match (&mut &**stream).read(&mut [0; 5]) {
            Ok(n) => n == 5,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::ConnectionReset, "neither served nor refused");
                false
            }
        }
    });
    let served = served.count();
    assert!((10..=30).contains(&served), "{served} served");
}

/// A link-local address is one only with its interface.
#[test]
fn a_scoped_link_local_address_can_be_listened_on_and_connected_from() {
    const LINK: &str = "ip link add one type veth peer name other && \
                        ip addr add fe80::1/64 dev one nodad && ip link set one up && \
                        ip link set other up && ip addr add fe80::2/64 dev other nodad";
    let mut under = start(LINK, "[fe80::1%one]:7007", &["-v"]);
    let at: SocketAddr = under.addr.parse().unwrap();
    within(&under.server, || {
        let mut source = at;
        source.set_port(0);
        let client = Socket::connect_from(source, &at.into()).unwrap();
        eventually(|| client.connected().unwrap());
        expect_echo(connect(&at.to_string()), b"hello");
    });
    under.server.expect_line("[fe80::1%");
}
