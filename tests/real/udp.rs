//! Datagrams: those that must not be answered, which take rights and namespaces to send, and how fast the others are.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;

use crate::accuracy::at_high_priority;
use crate::cost::figure;
use crate::programs::{Under, program, within};
use crate::server::{Server, TIMEOUT};

/// An interface with an IPv4 and an IPv6 network, whose other end takes no multicast; and a network of each family that
/// belongs to this machine as a whole, as load balancers that pass datagrams through have it.
const LINK: &str = "ip link set lo up && ip link add one type veth peer name other && \
                    ip route add local 192.0.2.0/24 dev lo && ip route add local 2001:db8::/64 dev lo && \
                    ip addr add 10.9.9.1/24 brd + dev one && ip addr add fe80::1/64 dev one nodad && \
                    echo 1 > /proc/sys/net/ipv6/conf/other/disable_ipv6 && \
                    ip link set one up && ip link set other up && exec \"$@\"";

/// Starts a server that has all addresses of its own network namespace.
fn start(args: &[&str]) -> Under {
    Under::start_at("udp:[::]:7007", "unshare", &["-n", "sh", "-c", LINK, "sh"], args)
}

fn client(at: &str) -> UdpSocket {
    let client = UdpSocket::bind(at).unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    client
}

#[track_caller]
fn expect_answer(client: &UdpSocket, to: &str) {
    client.send_to(b"hello", to).unwrap();
    let (len, from) = client.recv_from(&mut [0; 10]).unwrap();
    assert_eq!((len, from), (5, to.parse().unwrap()));
}

/// Sends a datagram from an address with this port, which another socket can have.
fn send_from(from: SocketAddr, to: SocketAddr) {
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).unwrap();
    raw.bind(&from.into()).unwrap();
    let port = from.port();
    let [source, target, len] = [port, to.port(), 13].map(u16::to_be_bytes);
    // 0 means that there is no checksum: RFC 768.
    let datagram = [&source[..], &target, &len, &[0, 0], b"hello"].concat();
    raw.send_to(&datagram, &to.into()).unwrap();
}

/// Fault 32. Failed with each of the guards broken: the server answered itself without an end from its own port.
#[test]
fn datagrams_that_could_start_a_loop_or_a_flood_are_not_answered() {
    let under = start(&["-v"]);
    within(&under.server, || {
        let to = SocketAddr::from(([127, 0, 0, 1], 7007));
        // Datagrams that an echo, a time or a name server sends, and one with no port.
        for port in [0, 7, 37, 53, 1023] {
            send_from(([127, 0, 0, 1], port).into(), to);
        }
        // From the server to itself, and from another server of its kind.
        send_from(to, to);
        send_from(([127, 0, 0, 2], 7007).into(), to);
        // To all hosts of a network.
        let one = client("10.9.9.1:0");
        one.set_broadcast(true).unwrap();
        one.send_to(b"hello", "10.9.9.255:7007").unwrap();
        one.send_to(b"hello", "255.255.255.255:7007").unwrap();
        let scope = nix::net::if_::if_nametoindex("one").unwrap();
        let six = client(&format!("[fe80::1%{scope}]:0"));
        six.send_to(b"hello", format!("[ff02::1%{scope}]:7007")).unwrap();
        for socket in [&one, &six] {
            socket.set_nonblocking(true).unwrap();
        }
        // These are answered, each from the address that it asked.
        expect_answer(&client("127.0.0.1:1024"), "127.0.0.1:7007");
        expect_answer(&client("127.0.0.1:0"), "127.0.0.2:7007");
        expect_answer(&client("[::1]:0"), "[::1]:7007");
        expect_answer(&client("10.9.9.1:0"), "10.9.9.1:7007");
        expect_answer(&client(&format!("[fe80::1%{scope}]:0")), &format!("[fe80::1%{scope}]:7007"));
        expect_answer(&client("127.0.0.1:0"), "192.0.2.7:7007");
        // Failed when the kernel did not take such an address as the source of an answer.
        expect_answer(&client("[::1]:0"), "[2001:db8::7]:7007");
        for socket in [&one, &six] {
            assert!(socket.recv_from(&mut [0; 10]).is_err());
        }
    });
    let said = under.server.stop();
    let expected = "7 datagrams of 35 bytes echoed, 10 dropped (5 low_port, 2 own_port, 3 sent_to_many), \
                    0 dropped by the kernel";
    assert!(said.ends_with(expected), "{said}");
}

/// Datagrams in flight, enough to keep a server busy, and fewer than a receive queue holds.
const IN_FLIGHT: usize = 32;
const PER_ROUND: usize = 5_000;
const ROUNDS: usize = 201;

/// The rate, relative to the least server in C.
const LEAST_RATIO: f64 = 0.95;

/// The reference in C, compiled.
fn reference(dir: &TempDir) -> Server {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/c/udp.c");
    let binary = dir.path().join("udp");
    let compiled =
        program("cc").args(["-std=gnu11", "-O2", "-o"]).arg(&binary).arg(source).status();
    assert!(compiled.unwrap().success());
    let mut command = std::process::Command::new(binary);
    Server::start_command(command.arg("127.0.0.1:0"), 1)
}

/// Seconds and seconds of the server's processor time for each datagram of one round.
fn round(server: &Server) -> [f64; 2] {
    let client = client("127.0.0.1:0");
    client.connect(server.addr().trim_start_matches("udp:")).unwrap();
    let (message, mut buffer) = ([7; 64], [0; 65]);
    let (start, cpu) = (Instant::now(), server.cpu_time());
    for _ in 0..IN_FLIGHT {
        client.send(&message).unwrap();
    }
    for received in 1..=PER_ROUND {
        assert_eq!(client.recv(&mut buffer).unwrap(), message.len());
        if received + IN_FLIGHT <= PER_ROUND {
            client.send(&message).unwrap();
        }
    }
    let each = |time: Duration| time.as_secs_f64() / PER_ROUND as f64;
    [each(start.elapsed()), each(server.cpu_time() - cpu)]
}

fn pin(process: Option<Pid>, processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(process, &set).unwrap();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Both servers on one processor and the client on the other, in turns.
#[test]
fn datagrams_are_echoed_as_fast_as_by_the_least_server_in_c() {
    at_high_priority(|| {
        let dir = tempfile::tempdir().unwrap();
        let servers =
            [Server::start_at(&["udp:127.0.0.1:0"], &["--udp-rate", "100m"]), reference(&dir)];
        servers.iter().for_each(|server| pin(Some(server.pid()), 0));
        pin(None, 1);
        let mut times = [(); 2].map(|()| [Vec::new(), Vec::new()]);
        for _ in 0..ROUNDS {
            for (server, times) in servers.iter().zip(&mut times) {
                let [wall, cpu] = round(server);
                times[0].push(wall);
                times[1].push(cpu);
            }
        }
        // Round by round: what slows the machine down for a while slows both servers down.
        let [[own, _], [other, _]] = &times;
        let ratio = median(own.iter().zip(other).map(|(own, other)| other / own).collect());
        let [[own, own_cpu], [other, other_cpu]] = times.map(|times| times.map(median));
        figure(
            "datagrams of 64 B",
            format_args!(
                "{:.0}/s, {ratio:.3} of the rate in C ({:.0}/s), at {:.3} of its processor time",
                1.0 / own,
                1.0 / other,
                own_cpu / other_cpu,
            ),
        );
        assert!(ratio >= LEAST_RATIO);
    });
}
