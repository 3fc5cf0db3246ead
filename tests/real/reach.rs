//! Clients, and addresses that exist only in namespaces: silent ones, names with several addresses, a name server
//! that does not answer.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::piped::{Client, Ended, spawn};
use crate::programs::program;

/// Much longer than a run that works takes.
const LONG: Duration = Duration::from_secs(30);

/// A command that runs a shell script in its own namespaces. `$RESOUND` is the program.
fn isolated(spaces: &[&str], script: &str, args: &[&str]) -> Command {
    let mut command = program("unshare");
    command.args(spaces).args(["sh", "-c", &format!("ip link set lo up; {script}"), "sh"]);
    command.args(args).env("RESOUND", env!("CARGO_BIN_EXE_resound"));
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

/// Runs a script to its end in its own namespaces. Processes that it started end with it.
fn run_isolated(script: &str, args: &[&str]) -> Ended {
    let spaces = ["-mnpf", "--mount-proc", "--kill-child"];
    Client::start(&mut isolated(&spaces, script, args)).end()
}

/// The kernel has one source port for clients, and it is the port that the client connects to. Failed when the client
/// got an echo from itself, under every name but the first.
#[test]
fn a_connection_to_itself_is_an_error_and_not_an_echo() {
    // The kernel adds the route to fe80::7 some time after the address.
    const ONE_PORT: &str = "\
        ip addr add fe80::7/64 dev lo nodad; \
        until ip -6 route get fe80::7 oif lo > /dev/null 2>&1; do :; done; \
        echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range; exec \"$RESOUND\" \"$@\"";
    for host in ["127.0.0.1", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[fe80::7%lo]"] {
        let addr = format!("{host}:40000");
        for args in [
            &["ping", "-c", "1", "-W", "5s"][..],
            &["connect", "-W", "5s"],
            &["load", "-c", "1", "-n", "5", "-W", "5s"],
        ] {
            let ended = run_isolated(ONE_PORT, &[args, &[&addr]].concat());
            let stdout = String::from_utf8_lossy(&ended.stdout);
            let output = format!("{stdout}{}", ended.stderr);
            assert!(
                output.contains("the system connected the socket to itself"),
                "{args:?} {ended:?}"
            );
            assert_eq!(ended.code, Some(1), "{args:?} {ended:?}");
        }
    }
}

/// Sets up names, and an interface that takes every packet and answers none.
const NAMES: &str = "\
    ip link add void type veth peer name end && ip link set void up && ip link set end up && \
    ip addr add 2001:db8::1/64 dev void nodad && ip addr add 10.9.9.1/24 dev void && \
    ip neigh add 2001:db8::2 lladdr 02:00:00:00:00:99 dev void && \
    ip neigh add 10.9.9.2 lladdr 02:00:00:00:00:99 dev void && \
    dir=$(mktemp -d) && mount -t tmpfs none $dir && \
    printf '2001:db8::2 half\\n127.0.0.1 half\\n::1 six\\n127.0.0.1 six\\n2001:db8::2 none\\n10.9.9.2 none\\n' \
        > $dir/hosts && mount --bind $dir/hosts /etc/hosts && \
    echo nameserver 10.9.9.2 > $dir/resolv.conf && mount --bind $dir/resolv.conf /etc/resolv.conf && ";

/// Starts a server on 127.0.0.1:7007, waits for it, and then runs the program.
const SERVED: &str = "\
    { \"$RESOUND\" -q serve -l 127.0.0.1:7007 >/dev/null 2>&1 & } && \"$RESOUND\" ping --wait 20s -q -c 1 127.0.0.1:7007 >&2 && \
    exec \"$RESOUND\" \"$@\"";

/// Failed when the client waited for the silent address until the timeout and never tried the other one.
#[test]
fn a_silent_address_does_not_keep_another_from_answering() {
    for args in [
        &["ping", "-c", "1", "-W", "20s", "half:7007"][..],
        &["connect", "-W", "20s", "half:7007"],
        &["load", "-c", "1", "-n", "5", "-W", "20s", "half:7007"],
    ] {
        let began = Instant::now();
        let ended = run_isolated(&format!("{NAMES}{SERVED}"), args);
        assert_eq!(ended.code, Some(0), "{args:?} {ended:?}");
        assert!(began.elapsed() < Duration::from_secs(15), "{args:?} {:?}", began.elapsed());
    }
}

#[test]
fn an_address_of_a_missing_protocol_is_passed_over() {
    const NO_IPV6: &str = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ";
    let ended =
        run_isolated(&format!("{NAMES}{NO_IPV6}{SERVED}"), &["ping", "-c", "1", "six:7007"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended =
        run_isolated(&format!("{NAMES}{NO_IPV6}exec \"$RESOUND\" \"$@\""), &["ping", "six:7007"]);
    ended.assert_failed("cannot connect to 127.0.0.1:7007: connection refused; ");
}

#[test]
fn silent_addresses_share_one_timeout() {
    let began = Instant::now();
    let args = ["ping", "-W", "1s", "none:7007"];
    let ended = run_isolated(&format!("{NAMES}exec \"$RESOUND\" \"$@\""), &args);
    let line = "cannot connect to [2001:db8::2]:7007 or 10.9.9.2:7007: no answer within 1 s; ";
    ended.assert_failed(line);
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
}

/// The name server does not answer. Failed when nothing could end the lookup, not even the timeout.
#[test]
fn a_lookup_without_an_answer_ends_at_the_timeout() {
    let script = format!("{NAMES}exec \"$RESOUND\" \"$@\"");
    for server in ["slow.example:7", "udp:slow.example:7"] {
        for command in [&["ping", "--json"][..], &["ping"]] {
            let ended = run_isolated(&script, &[command, &["-W", "500ms", server]].concat());
            ended.assert_failed(&format!("cannot resolve {server}: no answer within 500 ms; "));
        }
    }
}

#[test]
fn a_lookup_is_reported_and_can_be_interrupted() {
    ["slow.example:7", "udp:slow.example:7"].into_iter().for_each(interrupt_a_lookup_of);
}

#[track_caller]
fn interrupt_a_lookup_of(server: &str) {
    use std::io::{BufRead, BufReader};
    let script = format!("{NAMES}echo $$; exec \"$RESOUND\" \"$@\"");
    let args = ["ping", "-W", "1h", server];
    let mut child = spawn(&mut isolated(&["-mn"], &script, &args));
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let pid: i32 = stdout.next().unwrap().unwrap().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    let caught = format!("/proc/{}/status", pid.as_raw_nonzero());
    // SIGQUIT is signal 3, so its bit in the mask of handled signals is bit 2.
    let is_caught = |status: String| {
        let mask =
            status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().to_string();
        u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << 2) != 0
    };
    while !is_caught(std::fs::read_to_string(&caught).unwrap()) {
        std::thread::yield_now();
    }
    kill_process(pid, Signal::QUIT).unwrap();
    let line = stderr.next().unwrap().unwrap();
    assert!(
        line.ends_with(&format!("; looking up {server}")) || line.starts_with("0 sent"),
        "{line}"
    );
    let began = Instant::now();
    kill_process(pid, Signal::INT).unwrap();
    assert!(stdout.any(|line| line.unwrap().contains(" sent, 0 received")));
    let ended = Client::collect(child).end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
