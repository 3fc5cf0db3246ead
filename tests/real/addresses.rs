//! Names, addresses and ports of the server, in network namespaces of the tests' own.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use resound::net::{Endpoint, Socket};
use rustix::process::Signal;

use crate::command::run_by;
use crate::programs::{Under, program, within};
use crate::server::{Server, command, connect, eventually};
use crate::wire::expect_echo;

/// Starts a server in its own network namespace, after a script has run there.
#[track_caller]
fn start(script: &str, addr: &str, args: &[&str]) -> Under {
    let script = format!("ip link set lo up && {script} && exec \"$@\"");
    Under::start_at(addr, "unshare", &["-n", "-m", "sh", "-c", &script, "sh"], args)
}

/// `bindv6only` is the system default. Failed when the server set the socket option only to leave IPv4 to another
/// listener.
#[test]
fn listening_on_all_addresses_includes_ipv4_for_either_system_default() {
    for default in ["0", "1"] {
        let script = format!("echo {default} > /proc/sys/net/ipv6/bindv6only");
        let under = start(&script, "[::]:7007", &["-v"]);
        within(&under.server, || {
            expect_echo(connect("127.0.0.1:7007"), b"four");
            expect_echo(connect("[::1]:7007"), b"six");
        });
        // If the same server also listens on 0.0.0.0, [::] leaves IPv4 to that listener.
        let both = start(&script, "[::]:7007", &["--listen", "0.0.0.0:7007"]);
        within(&both.server, || {
            expect_echo(connect("127.0.0.1:7007"), b"four");
            expect_echo(connect("[::1]:7007"), b"six");
        });
    }
}

/// Failed when the server knew only one of the error codes that mean "this machine does not have the address".
#[test]
fn a_name_is_listened_on_at_the_addresses_that_exist() {
    const NO_IPV6: &str = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
    const HOSTS: &str = "echo '::1 both.test\n127.0.0.1 both.test' > {hosts} && \
                         mount --bind {hosts} /etc/hosts";
    let dir = tempfile::tempdir().unwrap();
    let hosts = HOSTS.replace("{hosts}", dir.path().join("hosts").to_str().unwrap());
    let under = start(&format!("{NO_IPV6} && {hosts}"), "both.test:7007", &[]);
    assert_eq!(under.server.addr(), "127.0.0.1:7007");
    within(&under.server, || expect_echo(connect("127.0.0.1:7007"), b"hello"));
    let skipped = "cannot listen on [::1]:7007: cannot assign requested address";
    assert!(under.server.log().iter().any(|line| line.contains("WARN") && line.contains(skipped)));
}

/// Every `setsockopt` fails, as on a kernel that knows neither the protocol nor the option.
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

/// Failed when signal handlers were installed before the lookup: it went on for 10 s after the signal.
#[test]
fn a_signal_ends_a_lookup() {
    const NO_ANSWER: &str = "ip link add void type veth peer name gone && ip link set gone up && \
                             ip addr add 10.255.0.1/24 dev void && ip link set void up && \
                             ip neigh add 10.255.0.9 lladdr 02:00:00:00:00:09 dev void && echo nameserver 10.255.0.9 > {resolv} && \
                             mount --bind {resolv} /etc/resolv.conf && exec \"$@\"";
    let dir = tempfile::tempdir().unwrap();
    let script = NO_ANSWER.replace("{resolv}", dir.path().join("resolv").to_str().unwrap());
    let mut outer = program("unshare");
    outer.args(["-n", "-m", "sh", "-c", &script, "sh"]);
    let mut server = Server::spawn(&mut run_by(outer, &command(&["slow.test:7007"], &[])));
    // Wait until it has sent its query and waits for the answer.
    let sockets = format!("/proc/{}/net/udp", server.pid().as_raw_nonzero());
    eventually(|| fs::read_to_string(&sockets).ok()?.contains(":0035 ").then_some(()));
    let since = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().signal(), Some(Signal::TERM.as_raw()));
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
}

/// Failed when bind(2) chose the source port: there were ten ports for all servers together. For ports that are used
/// up, the system reports that the machine does not have the address; the error must say what it means.
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
        // Another source address has its own ports. Those of the address that the system chooses can run out too.
        for _ in 0..10 {
            connections.push(Socket::connect(&servers[0]).unwrap());
        }
        let error = Socket::connect(&servers[0]).unwrap_err();
        assert_eq!(error.to_string(), "the ports of 127.0.0.1 are used up");
    });
}

/// Failed when the server looked only at the limit: peers waited forever for descriptors that the server's parent had
/// left open.
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

/// A link-local address is complete only with its interface, the scope.
#[test]
fn a_scoped_link_local_address_can_be_listened_on_and_connected_from() {
    const LINK: &str = "ip link add one type veth peer name other && \
                        ip addr add fe80::1/64 dev one nodad && ip link set one up && \
                        ip link set other up && ip addr add fe80::2/64 dev other nodad";
    let mut under = start(LINK, "[fe80::1%one]:7007", &["-v"]);
    let at: SocketAddr = under.server.addr().parse().unwrap();
    within(&under.server, || {
        let mut source = at;
        source.set_port(0);
        let client = Socket::connect_from(source, &at.into()).unwrap();
        eventually(|| client.connected().unwrap());
        expect_echo(connect(&at.to_string()), b"hello");
    });
    under.server.expect_line("[fe80::1%");
}
