//! `deploy/haproxy.cfg` and `deploy/nginx.conf` as they stand, before the two servers whose commands they begin with. All
//! three programs have a network namespace of their own, in which port 7 is free.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::command::{resound, run_by};
use crate::programs::{made, program, run, within};
use crate::server::{Server, TIMEOUT, connect, eventually};
use crate::wire::{echo_of, expect_echo, pattern};

const ADDRS: [&str; 2] = ["127.0.0.1:7", "[::1]:7"];

/// More than nginx gives a datagram by default.
const DATAGRAM_BYTES: usize = 60_000;

/// The arguments of the servers: a configuration begins with their commands.
fn commands(config: &Path) -> [Vec<String>; 2] {
    let text = fs::read_to_string(config).unwrap();
    let commands = text.lines().filter_map(|line| line.strip_prefix("#   resound "));
    let commands = commands.map(|line| line.split(' ').map(str::to_string).collect());
    let commands: Vec<_> = commands.collect();
    commands.try_into().expect("two commands")
}

struct Balanced {
    servers: [Server; 2],
    _balancer: Server,
}

impl Balanced {
    /// Starts both servers, and then `NAME WORDS CONFIG`. Returns when an echo has come through.
    #[track_caller]
    fn start(name: &str, words: &[&str], config: &str) -> Self {
        const OWN: &str = "ip link set lo up && mount -t tmpfs own /run && exec \"$@\"";
        let config = made(config);
        let mut own = program("unshare");
        own.args(["-n", "-m", "sh", "-c", OWN, "sh"]);
        let [one, two] = commands(&config);
        let first = start(own, &one);
        let target = first.pid().as_raw_nonzero().to_string();
        let beside = || {
            let mut beside = program("nsenter");
            beside.args(["-n", "-m", "-t", &target]);
            beside
        };
        let second = start(beside(), &two);
        let mut balancer = program(name);
        balancer.args(words).arg(config);
        let balancer = Server::spawn(&mut run_by(beside(), &balancer));
        let balanced = Self { servers: [first, second], _balancer: balancer };
        let ping = ["ping", "-q", "-c", "1", "--wait", "30s", ADDRS[0]];
        let output = balanced.within(|| resound(&ping));
        assert!(output.status.success(), "{output:?}");
        balanced
    }

    fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        within(&self.servers[1], act)
    }

    /// Long echoes over both versions of IP. Their clients say that they have sent everything before they have all of it.
    fn expect_echoes(&mut self) {
        self.within(|| {
            for addr in ADDRS.iter().cycle().take(6) {
                let bytes = pattern(1, 1 << 20);
                assert!(echo_of(connect(addr), bytes.clone()) == bytes);
            }
        });
        for server in &mut self.servers {
            server.expect_line(": comes through the proxy 127.0.0.1:");
            server.expect_line(": closed: all echoed; 1,048,576 bytes in");
        }
    }

    /// Stops the first server. Until it has ended, and after that, each new client has its echo.
    fn expect_no_loss_without_the_first(&mut self) {
        self.servers[0].signal(Signal::TERM);
        let expect_echo = || self.within(|| expect_echo(connect(ADDRS[0]), b"still there"));
        let first = &self.servers[0];
        eventually(|| {
            expect_echo();
            first.state().starts_with('Z').then_some(())
        });
        (0..10).for_each(|_| expect_echo());
        assert_eq!(self.servers[0].wait().code(), Some(0));
    }
}

/// Starts a server by way of another program, with a log of its connections.
#[track_caller]
fn start(outer: Command, args: &[String]) -> Server {
    let mut inner = Command::new(env!("CARGO_BIN_EXE_resound"));
    inner.args(args).arg("-v");
    let listeners = args.iter().filter(|arg| *arg == "--listen").count();
    Server::start_command(&mut run_by(outer, &inner), listeners)
}

/// Failed when the configuration asked for more descriptors than the system allowed: HAProxy did not start.
#[test]
fn haproxy_balances_two_servers_as_its_configuration_says() {
    const CONFIG: &str = "deploy/haproxy.cfg";
    run(program("haproxy").args(["-c", "-q", "-f"]).arg(made(CONFIG)));
    let mut balanced = Balanced::start("haproxy", &["-db", "-f"], CONFIG);
    balanced.expect_echoes();
    balanced.expect_no_loss_without_the_first();
}

/// Failed when nginx had less room than a datagram can have.
#[test]
fn nginx_balances_two_servers_as_its_configuration_says() {
    const CONFIG: &str = "deploy/nginx.conf";
    run(program("nginx").args(["-t", "-q", "-c"]).arg(made(CONFIG)));
    // Its workers would outlive a master that is killed, but not the first process of their namespace.
    let words = ["-p", "-f", "--kill-child", "nginx", "-g", "daemon off;", "-c"];
    let mut balanced = Balanced::start("unshare", &words, CONFIG);
    balanced.expect_echoes();
    balanced.within(|| {
        for [from, to] in [["127.0.0.1:0", ADDRS[0]], ["[::1]:0", ADDRS[1]]] {
            let socket = UdpSocket::bind(from).unwrap();
            socket.set_read_timeout(Some(TIMEOUT)).unwrap();
            let (sent, mut echo) = (pattern(2, DATAGRAM_BYTES), vec![0; DATAGRAM_BYTES + 1]);
            socket.send_to(&sent, to).unwrap();
            let bytes = socket.recv(&mut echo).unwrap();
            assert!(echo[..bytes] == sent, "{bytes} bytes came back to {from}");
        }
    });
    balanced.expect_no_loss_without_the_first();
}
