//! How the server starts, or refuses to start, and what it then says.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Output};

use rustix::process::Signal;

use crate::command::{after_script, output, resound, run_by};
use crate::server::{Server, command};
use crate::unix::{SocketPath, connect_unix, unix_addr};
use crate::wire::{expect_echo, pattern};

/// A server that is killed at the end of its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Expects that the command fails with this exit code and says exactly this line.
#[track_caller]
fn expect_failure(args: &[&str], code: i32, line: &str) {
    let output = resound(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.trim_end(), format!("resound: {line}"), "{args:?}");
    assert_eq!(output.status.code(), Some(code), "{args:?}");
    assert!(output.stdout.is_empty());
}

#[cfg(feature = "clients")]
#[test]
fn invalid_values_are_refused_in_one_line() {
    let invalid = |option: &str, value: &str, name: &str, why: &str| {
        let line = format!("invalid value '{value}' for '{option} <{name}>': {why}; try --help");
        expect_failure(&["serve", option, value], 2, &line);
    };
    let size = "write something from 1 to 64m";
    invalid("--buffer", "0", "SIZE", size);
    invalid("--buffer", "10g", "SIZE", size);
    let size = "write a number of bytes, such as 64, 16k or 1m (1k is 1024)";
    invalid("--buffer", "much", "SIZE", size);
    let time = "write a number and its unit, such as 50us, 250ms, 5s, 2m or 1h";
    invalid("--idle-timeout", "5", "DURATION", "write its unit too, such as 5s");
    invalid("--idle-timeout", "soon", "DURATION", time);
    invalid("--idle-timeout", "0s", "DURATION", "write something from 1ms to 8760h");
    expect_failure(
        &["connect"],
        2,
        "the following required arguments were not provided: <ADDR>; try --help",
    );
    invalid("--drain-timeout", "9999h", "DURATION", "that is more than a year");
    invalid("--max-connections", "0", "N", "write something from 1 to 100m");
    let port = "there is no port; write HOST:PORT, such as localhost:7007";
    invalid("--listen", "localhost", "ADDR", port);
    let host = "there is no host; write HOST:PORT, such as 127.0.0.1:7107";
    invalid("--listen", "7107", "ADDR", host);
    let each = "give each by itself: --listen a:1 --listen [::1]:2";
    invalid("--listen", "a:1,[::1]:2", "ADDR", each);
    let one = "a host cannot contain ','; write HOST:PORT, such as 127.0.0.1:7007";
    invalid("--listen", "a,b:1", "ADDR", one);
    let number = "write a whole number, such as 500 or 10k (1k is 1000)";
    invalid("--backlog", "-1", "N", number);
    let udp = "there is no port; write udp:HOST:PORT, such as udp:127.0.0.1:7007";
    invalid("--listen", "udp:127.0.0.1", "ADDR", udp);
    let rate = "write a number a second, such as 500, 10k or 0.5; or 30/m, or 2/h";
    invalid("--udp-rate", "off", "RATE", rate);
    invalid("--udp-rate", "0", "RATE", "write something from 1/h to 100m");
    let long = format!("unix:/{}", "x".repeat(200));
    invalid("--listen", &long, "ADDR", "the path after unix: has 201 bytes; the system allows 107");
    expect_failure(&["serve", "--frob"], 2, "unexpected argument '--frob' found; try --help");
    expect_failure(
        &["serve", "--pending-limit", "1k", "--max-connections", "1000"],
        2,
        "--pending-limit is too small for 1000 connections: give at least 2000 bytes, or a smaller \
         --max-connections",
    );
    let octal = "write permissions in octal, such as 0600 or 0660";
    for mode in ["", "8", "1000", "00600", "rw", "+600", "-1"] {
        invalid("--unix-mode", mode, "MODE", octal);
    }
    let port = "\"ecko\" is neither a port up to 65535 nor a service of /etc/services; write HOST:PORT, such \
                as 127.0.0.1:7007";
    invalid("--listen", "127.0.0.1:ecko", "ADDR", port);
}

/// Failed when the error asked for a smaller --max-connections although that option was not given.
#[test]
fn a_pending_limit_too_small_for_the_default_names_its_origin() {
    let output = limited("-n 2000", &["--pending-limit", "2k"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let said = numbers(
        &stderr,
        "resound: --pending-limit is too small for ",
        " connections, the default under \
        this limit of descriptors: give at least ",
        " bytes, or --max-connections 1024 or less\n",
    );
    assert_eq!(said[0] * 2, said[1], "{stderr}");
    assert!((1900..2000).contains(&said[0]), "{stderr}");
    assert_eq!(output.status.code(), Some(2));
}

/// The two numbers in `said`, which must consist of three texts with a number between each.
#[track_caller]
fn numbers(said: &str, first: &str, second: &str, third: &str) -> [usize; 2] {
    let rest = said.strip_prefix(first).and_then(|rest| rest.strip_suffix(third));
    let (one, other) =
        rest.and_then(|rest| rest.split_once(second)).unwrap_or_else(|| panic!("{said}"));
    [one, other].map(|number| number.parse().unwrap())
}

/// Runs `resound serve` on a free port to its end, under a limit that ulimit(1) sets.
fn limited(limit: &str, args: &[&str]) -> Output {
    output(&mut under_limit(limit, &["127.0.0.1:0"], args))
}

/// The command `resound serve` under a limit that ulimit(1) sets.
fn under_limit(limit: &str, addrs: &[&str], args: &[&str]) -> Command {
    after_script(&format!("ulimit {limit}"), &command(addrs, args))
}

/// Failed when 22 connections were served and the others waited forever.
#[test]
fn descriptors_of_listeners_are_reserved_before_connections() {
    let mut limited = under_limit("-n 128", &["127.0.0.1:0"; 100], &[]);
    let server = Server::start_command(&mut limited, 100);
    let streams: Vec<_> = (0..40)
        .map(|_| {
            let stream = server.connect();
            // A refused connection may be reset because of these bytes.
            let _ = (&stream).write_all(b"hello");
            stream
        })
        .collect();
    let is_served = |mut stream: &TcpStream| match stream.read(&mut [0; 5]) {
        Ok(n) => n == 5,
        Err(e) => {
            assert_eq!(
                e.kind(),
                ErrorKind::ConnectionReset,
                "a connection is neither served nor refused"
            );
            false
        }
    };
    let served = streams.iter().filter(|stream| is_served(stream)).count();
    assert!((10..=25).contains(&served), "{served} served");
    drop(streams);
    assert!(server.stop().contains(&format!("{} refused", 40 - served)));
}

/// Failed when the server listened although it could accept no connection.
#[test]
fn a_limit_that_leaves_no_descriptor_for_a_connection_is_refused() {
    for limit in [6, 7, 8] {
        let output = limited(&format!("-n {limit}"), &[]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let start = format!(
            "resound: the limit of {limit} descriptors leaves none for connections beside 1 \
                             listener: raise ulimit -n to at least "
        );
        let least = stderr.strip_prefix(&start).and_then(|rest| rest.strip_suffix("\n"));
        let least = least.unwrap_or_else(|| panic!("{stderr}"));
        assert_eq!(output.status.code(), Some(1));
        // The limit that the error asks for is enough.
        let mut limited = under_limit(&format!("-n {least}"), &["127.0.0.1:0"], &[]);
        expect_echo(Server::start_command(&mut limited, 1).connect(), b"hello");
    }
}

/// Failed when the error called the port unexpected, or said that the host has no port.
#[cfg(feature = "clients")]
#[test]
fn a_host_and_a_port_given_apart_are_joined_in_the_advice() {
    for (host, together) in
        [("127.0.0.1", "127.0.0.1:7107"), ("localhost", "localhost:7107"), ("::1", "[::1]:7107")]
    {
        for command in [&["connect"][..], &["ping", "-c", "1"], &["load"], &["serve", "-l"]] {
            let args = [command, &[host, "7107"]].concat();
            let line = format!("write {together} instead of {host} 7107; try --help");
            expect_failure(&args, 2, &line);
        }
    }
    let line = "unexpected argument '7107' found; try --help";
    expect_failure(&["ping", "localhost:7107", "7107"], 2, line);
}

/// Failed when there was no command `help`, when only the first page explained units, when the first page did not
/// list `load`, and when it listed `load` before `ping`.
#[cfg(feature = "clients")]
#[test]
fn help_lists_every_command_and_each_page_explains_units() {
    let help = |args: &[&str]| {
        let output = resound(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let all = help(&["help"]);
    let names = ["serve", "connect", "ping", "load"];
    let places = names.map(|name| all.find(&format!("\n  {name} ")).unwrap());
    assert!(places.is_sorted(), "{all}");
    // Line breaks do not matter.
    let long = help(&["--help"]).split_whitespace().collect::<Vec<_>>().join(" ");
    for name in names {
        assert!(long.contains(&format!("`resound {name}`")), "{name} is missing:\n{long}");
        let page = help(&["help", name]);
        assert_eq!(page, help(&[name, "--help"]));
        assert!(page.contains("Durations are written") && page.contains("Exit codes"), "{page}");
    }
}

#[test]
fn what_the_system_refuses_is_reported_in_one_line() {
    let taken = Server::start(&[]);
    expect_failure(
        &["serve", "-l", taken.addr()],
        1,
        &format!(
            "cannot listen on {}: address already in use; choose another, or \
             port 0 for any free one",
            taken.addr()
        ),
    );
    expect_failure(
        &["serve", "-l", "192.0.2.1:7"],
        1,
        "cannot listen on 192.0.2.1:7: cannot assign requested address; use one of this machine's, \
         such as 127.0.0.1",
    );
    let output = resound(&["serve", "-l", "nosuch.invalid:7"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("resound: cannot resolve nosuch.invalid:7: "), "{stderr}");
    assert!(stderr.trim_end().ends_with("; check the spelling, or write the host's IP address"));
    assert_eq!((stderr.lines().count(), output.status.code()), (1, Some(1)));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let version = resound(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert!(version.stdout.starts_with(b"resound "), "{version:?}");
    let help = resound(&["serve", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for option in ["--listen", "--max-connections", "--stall-timeout", "--spin", "[default: 256k]"]
    {
        assert!(help.contains(option), "{option} is missing:\n{help}");
    }
}

/// Failed when `[::]` took IPv4 although the same command listens on 0.0.0.0, in either order.
#[test]
fn all_addresses_of_both_protocols_can_share_one_port() {
    let free = Server::start_at(&["[::]:0"], &[]);
    let (_, port) = free.addr().rsplit_once(':').unwrap();
    let at = |host: &str| format!("{host}:{port}");
    // Alone, [::] takes IPv4 too.
    expect_echo(TcpStream::connect(at("127.0.0.1")).unwrap(), b"hello");
    let (v4, v6) = (at("0.0.0.0"), at("[::]"));
    expect_failure(
        &["serve", "-l", &v4],
        1,
        &format!(
            "cannot listen on {v4}: address already in use; choose another, or port 0 for any free one"
        ),
    );
    let port = port.to_string();
    let at = |host: &str| format!("{host}:{port}");
    free.stop();
    for both in [[&*v4, &v6], [&v6, &v4]] {
        let server = Server::start_at(&both, &[]);
        for client in ["127.0.0.1", "[::1]"] {
            expect_echo(TcpStream::connect(at(client)).unwrap(), client.as_bytes());
        }
        server.stop();
    }
}

#[test]
fn a_name_is_listened_on_at_all_its_addresses() {
    use std::net::ToSocketAddrs;
    let resolved: Vec<_> = ("localhost", 0).to_socket_addrs().unwrap().collect();
    let mut serve = command(&["localhost:0"], &[]);
    let server = Server::start_command(&mut serve, resolved.len());
    for (addr, expected) in server.addrs().iter().zip(resolved) {
        assert!(addr.starts_with(expected.to_string().trim_end_matches('0')), "{addr}");
        expect_echo(TcpStream::connect(addr).unwrap(), b"hello");
    }
}

/// Connections that the killed server had open still hold its port for a while. Failed without `SO_REUSEADDR`.
#[test]
fn a_killed_server_can_be_started_again_at_once() {
    let mut server = Server::start(&[]);
    let addr = server.addr().to_string();
    let mut streams = Vec::new();
    for _ in 0..100 {
        let stream = TcpStream::connect(&addr).unwrap();
        expect_echo(&stream, b"hello");
        streams.push(stream);
        server.signal(Signal::KILL);
        server.wait();
        server = Server::start_at(&[&addr], &[]);
    }
}

#[test]
fn a_port_is_shared_only_if_both_servers_ask() {
    let first = Server::start(&["--reuse-port"]);
    let second = Server::start_at(&[first.addr()], &["--reuse-port"]);
    assert_eq!(first.addr(), second.addr());
    drop(first);
    expect_echo(second.connect(), b"hello");
    assert_eq!(resound(&["serve", "-l", second.addr()]).status.code(), Some(1));
}

/// Failed when a stale socket prevented the start, and when the socket of a running server counted as stale.
#[test]
fn a_socket_file_is_replaced_only_when_it_is_stale() {
    let SocketPath { dir: _dir, path, addr } = SocketPath::new();
    drop(UnixListener::bind(&path).unwrap());
    let mut server = Server::start_at(&[&addr], &[]);
    for _ in 0..3 {
        expect_echo(UnixStream::connect(&path).unwrap(), b"hello");
        let why = "a program is listening there; stop it, or choose another path";
        expect_failure(&["serve", "-l", &addr], 1, &format!("cannot listen on {addr}: {why}"));
        expect_echo(UnixStream::connect(&path).unwrap(), b"hello again");
        // A killed server leaves its file behind.
        server.signal(Signal::KILL);
        server.wait();
        assert!(path.exists());
        server = Server::start_at(&[&addr], &[]);
    }
    server.stop();
    assert!(!path.exists(), "the socket file was left behind");
}

/// Failed when the server took any file for a socket, and when it followed a symbolic link.
#[test]
fn a_file_that_is_not_a_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("file"), "precious").unwrap();
    std::fs::create_dir(at("directory")).unwrap();
    drop(UnixListener::bind(at("stale")).unwrap());
    symlink(at("file"), at("link to a file")).unwrap();
    symlink(at("stale"), at("link to a stale socket")).unwrap();
    symlink(at("nothing"), at("link to nothing")).unwrap();
    let state = || {
        let entries = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
        let mut state: Vec<_> = entries
            .map(|entry| {
                let metadata = entry.metadata().unwrap();
                (entry.file_name(), metadata.ino(), metadata.file_type(), metadata.len())
            })
            .collect();
        state.sort_by(|a, b| a.0.cmp(&b.0));
        state
    };
    let before = state();
    for (name, ..) in before.iter().filter(|(name, ..)| name != "stale") {
        let addr = unix_addr(&dir.path().join(name));
        let why = "there is something that is not a socket; remove it, or choose another path";
        expect_failure(&["serve", "-l", &addr], 1, &format!("cannot listen on {addr}: {why}"));
        assert_eq!(state(), before);
    }
    assert_eq!(std::fs::read_to_string(at("file")).unwrap(), "precious");
}

/// A connection must not get descriptor 0, 1 or 2: the log would be written to a peer. Failed when the program
/// closed these descriptors again after it had started.
#[test]
fn closed_standard_descriptors_are_not_reused_for_connections() {
    let socket = SocketPath::new();
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"exec "$@" <&- >&- 2>&-"#, "sh"]);
    let mut shell = run_by(shell, &command(&[&socket.addr], &["-vv"]));
    let server = Killed(shell.spawn().unwrap());
    let streams: Vec<_> = (0..5).map(|_| connect_unix(&socket.path)).collect();
    for (i, stream) in streams.iter().enumerate() {
        expect_echo(stream, &pattern(i, 1000));
    }
    for number in 0..=2 {
        let file = std::fs::read_link(format!("/proc/{}/fd/{number}", server.0.id())).unwrap();
        assert_eq!(file.to_str(), Some("/dev/null"));
    }
}

/// A client of a Unix socket can bind any name, and a server can listen on any path. Failed when the log showed
/// names unescaped.
#[test]
fn control_characters_in_names_are_escaped_in_the_log() {
    let listener = SocketPath::named("echo\x1b]0;\x07");
    let mut server = Server::start_at(&[&listener.addr], &["-v"]);
    assert!(server.addr().ends_with(r"echo\u{1b}]0;\u{7}"), "{}", server.addr());
    let name = listener.dir.path().join("a\x1b[31m\r\nb");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(name).unwrap()).unwrap();
    socket.connect(&socket2::SockAddr::unix(&listener.path).unwrap()).unwrap();
    let line = server.expect_line("accepted");
    assert!(line.contains(r"a\u{1b}[31m\r\nb: accepted"), "{line}");
}

#[test]
fn quiet_logs_nothing_and_verbose_logs_every_step() {
    let socket = SocketPath::new();
    let log = socket.dir.path().join("log");
    let mut quiet = command(&[&socket.addr], &["-q"]);
    let mut child = quiet.stderr(File::create(&log).unwrap()).spawn().unwrap();
    expect_echo(connect_unix(&socket.path), b"hello");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "");

    let mut server = Server::start(&["-vv"]);
    expect_echo(server.connect(), b"hello");
    for step in ["accepted", "read 5 bytes", "wrote 5 bytes", "closed: all echoed"] {
        server.expect_line(step);
    }
}
