//! Starting, and not starting; and what is said about it.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::Signal;

use crate::deadline::end_in_time;
use crate::server::{PATIENCE, Server, command, connect_unix};
use crate::wire::{expect_echo, pattern};

/// Runs it to its end. If it has none, it is killed, and has no exit code.
fn resound(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    end_in_time(&child);
    child.wait_with_output().unwrap()
}

/// A server whose log goes elsewhere, which does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Expects that it fails with this exit code and this one line.
#[track_caller]
fn expect_failure(args: &[&str], code: i32, line: &str) {
    let output = resound(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.trim_end(), format!("resound: {line}"), "{args:?}");
    assert_eq!(output.status.code(), Some(code), "{args:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn nonsense_is_refused_in_a_line() {
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
    let udp = "udp: is not supported yet; write HOST:PORT for TCP, or unix:PATH";
    invalid("--listen", "udp:127.0.0.1:7", "ADDR", udp);
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

/// Failed when it was said that --max-connections should be smaller, to somebody who had not given any.
#[test]
fn a_pending_limit_that_is_too_small_for_the_default_says_where_that_comes_from() {
    let output = limited("-n 2000", &["--pending-limit", "2k"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let said = numbers(
        &stderr,
        "resound: --pending-limit is too small for ",
        " connections, as many as the limit \
        of descriptors allows: give at least ",
        " bytes, or --max-connections 1024 at the most\n",
    );
    assert_eq!(said[0] * 2, said[1], "{stderr}");
    assert!((1900..2000).contains(&said[0]), "{stderr}");
    assert_eq!(output.status.code(), Some(2));
}

/// The two numbers between three texts that must make up all of `said`.
#[track_caller]
fn numbers(said: &str, first: &str, second: &str, third: &str) -> [usize; 2] {
    let rest = said.strip_prefix(first).and_then(|rest| rest.strip_suffix(third));
    let (one, other) =
        rest.and_then(|rest| rest.split_once(second)).unwrap_or_else(|| panic!("{said}"));
    [one, other].map(|number| number.parse().unwrap())
}

/// Runs `resound serve` on a free port to its end, with a limit of ulimit(1).
fn limited(limit: &str, args: &[&str]) -> Output {
    let child = under_limit(limit, &["127.0.0.1:0"], args).stderr(Stdio::piped()).spawn().unwrap();
    end_in_time(&child);
    child.wait_with_output().unwrap()
}

/// `resound serve` with a limit of ulimit(1).
fn under_limit(limit: &str, addrs: &[&str], args: &[&str]) -> Command {
    let serve = command(addrs, args);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh"]);
    shell.arg(serve.get_program()).args(serve.get_args());
    shell
}

/// Failed when 22 were served and the others waited for ever.
#[test]
fn listeners_are_counted_before_connections() {
    let mut server = Server::spawn(&mut under_limit("-n 128", &["127.0.0.1:0"; 100], &[]));
    let line = server.expect_line("listening on ");
    let addr = line.rsplit_once(' ').unwrap().1;
    let streams: Vec<_> = (0..40)
        .map(|_| {
            let stream = TcpStream::connect(addr).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // One that is refused may be reset by what it sends.
            let _ = (&stream).write_all(b"hello");
            stream
        })
        .collect();
    let is_served = |mut stream: &TcpStream| match stream.read(&mut [0; 5]) {
        Ok(n) => n == 5,
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::ConnectionReset, "it is neither served nor refused");
            false
        }
    };
    let served = streams.iter().filter(|stream| is_served(stream)).count();
    assert!((10..=25).contains(&served), "{served} served");
    drop(streams);
    assert!(server.stop().contains(&format!("{} refused", 40 - served)));
}

/// Failed when it said that it was listening, and could accept nobody.
#[test]
fn a_limit_that_leaves_no_descriptor_for_a_connection_is_refused() {
    for limit in [6, 7, 8] {
        let output = limited(&format!("-n {limit}"), &[]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let start = format!(
            "resound: the limit of {limit} descriptors leaves none for connections beside 1 \
                             listener: raise ulimit -n to "
        );
        let least = stderr.strip_prefix(&start).and_then(|rest| rest.strip_suffix(" at least\n"));
        let least = least.unwrap_or_else(|| panic!("{stderr}"));
        assert_eq!(output.status.code(), Some(1));
        // And what it asks for is enough.
        let mut server =
            Server::spawn(&mut under_limit(&format!("-n {least}"), &["127.0.0.1:0"], &[]));
        let line = server.expect_line("listening on ");
        expect_echo(TcpStream::connect(line.rsplit_once(' ').unwrap().1).unwrap(), b"hello");
    }
}

/// Failed when the port was called unexpected, or the host to have no port.
#[test]
fn a_host_and_a_port_that_are_apart_are_put_together() {
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

/// Failed when there was no such command, when only the first page knew the units, when it did not know
/// load, and when load came before ping there.
#[test]
fn help_tells_of_every_command_and_of_the_units_in_each() {
    let help = |args: &[&str]| {
        let output = resound(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let all = help(&["help"]);
    let names = ["serve", "connect", "ping", "load"];
    let places = names.map(|name| all.find(&format!("\n  {name} ")).unwrap());
    assert!(places.is_sorted(), "{all}");
    // Wherever its lines are broken.
    let long = help(&["--help"]).split_whitespace().collect::<Vec<_>>().join(" ");
    for name in names {
        assert!(long.contains(&format!("`resound {name}`")), "{name} is not told of:\n{long}");
        let page = help(&["help", name]);
        assert_eq!(page, help(&[name, "--help"]));
        assert!(page.contains("Durations are written") && page.contains("Exit codes"), "{page}");
    }
}

#[test]
fn what_the_world_refuses_is_said_in_a_line() {
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
    assert_eq!(version.stdout, format!("resound {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    let help = resound(&["serve", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for option in ["--listen", "--max-connections", "--stall-timeout", "--spin", "[default: 256k]"]
    {
        assert!(help.contains(option), "{option} is missing:\n{help}");
    }
}

/// Failed when `[::]` took IPv4 even from a listener of the same command, in whichever order they came.
#[test]
fn every_address_of_both_protocols_can_be_listened_on_at_one_port() {
    let free = Server::start_at(&["[::]:0"], &[]);
    let (_, port) = free.addr().rsplit_once(':').unwrap();
    let at = |host: &str| format!("{host}:{port}");
    // Alone it takes IPv4 too.
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

/// A name may stand for several addresses: all of them are listened on.
#[test]
fn a_name_is_every_address_that_it_stands_for() {
    use std::net::ToSocketAddrs;
    let mut server = Server::spawn(&mut command(&["localhost:0"], &[]));
    for addr in ("localhost", 0).to_socket_addrs().unwrap() {
        let line = server.expect_line("listening on ");
        let (_, at) = line.rsplit_once(' ').unwrap();
        assert!(at.starts_with(addr.to_string().trim_end_matches('0')), "{line}");
        expect_echo(TcpStream::connect(at).unwrap(), b"hello");
    }
}

/// FAULTS 36. The connections that its end has closed go on for a while, at the server's end. Failed without
/// `SO_REUSEADDR`.
#[test]
fn a_killed_server_can_be_started_again_at_once() {
    let mut server = Server::start(&[]);
    let addr = server.addr().to_string();
    let mut outlast_it = Vec::new();
    for _ in 0..100 {
        let stream = TcpStream::connect(&addr).unwrap();
        expect_echo(&stream, b"hello");
        outlast_it.push(stream);
        server.signal(Signal::KILL);
        server.wait();
        server = Server::start_at(&[&addr], &[]);
    }
}

#[test]
fn a_port_is_shared_only_where_both_want_to() {
    let first = Server::start(&["--reuse-port"]);
    let second = Server::start_at(&[first.addr()], &["--reuse-port"]);
    assert_eq!(first.addr(), second.addr());
    drop(first);
    expect_echo(second.connect(), b"hello");
    assert_eq!(resound(&["serve", "-l", second.addr()]).status.code(), Some(1));
}

/// FAULTS 34. Failed when a stale socket was left, and when a live server's was taken for one.
#[test]
fn a_socket_file_is_replaced_only_when_it_is_stale() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let addr = format!("unix:{}", path.display());
    drop(UnixListener::bind(&path).unwrap());
    let mut server = Server::start_at(&[&addr], &[]);
    for _ in 0..3 {
        expect_echo(UnixStream::connect(&path).unwrap(), b"hello");
        let why = "a program is listening there; stop it, or choose another path";
        expect_failure(&["serve", "-l", &addr], 1, &format!("cannot listen on {addr}: {why}"));
        expect_echo(UnixStream::connect(&path).unwrap(), b"hello again");
        // Killed, it leaves its file behind.
        server.signal(Signal::KILL);
        server.wait();
        assert!(path.exists());
        server = Server::start_at(&[&addr], &[]);
    }
    server.stop();
    assert!(!path.exists(), "the socket file was left behind");
}

/// FAULTS 34. Failed when whatever was at the path was taken for a socket, and when a link was followed.
#[test]
fn what_is_not_a_socket_is_left_alone() {
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
        let addr = format!("unix:{}", dir.path().join(name).display());
        let why = "there is something that is not a socket; remove it, or choose another path";
        expect_failure(&["serve", "-l", &addr], 1, &format!("cannot listen on {addr}: {why}"));
        assert_eq!(state(), before);
    }
    assert_eq!(std::fs::read_to_string(at("file")).unwrap(), "precious");
}

/// FAULTS 38. The numbers 0 to 2 must not become those of connections: the log would be written to a peer.
/// Failed when they were closed once more when the program had started.
#[test]
fn closed_standard_descriptors_are_nobodys_connection() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let resound = command(&[&format!("unix:{}", path.display())], &["-vv"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"exec "$@" <&- >&- 2>&-"#, "sh"]);
    shell.arg(resound.get_program()).args(resound.get_args());
    let server = Killed(shell.spawn().unwrap());
    let streams: Vec<_> = (0..5).map(|_| connect_unix(&path)).collect();
    for (i, stream) in streams.iter().enumerate() {
        expect_echo(stream, &pattern(i, 1000));
    }
    for number in 0..=2 {
        let file = std::fs::read_link(format!("/proc/{}/fd/{number}", server.0.id())).unwrap();
        assert_eq!(file.to_str(), Some("/dev/null"));
    }
}

/// FAULTS 35. A client of a Unix socket may give itself any name, and whoever starts a server any path. Failed
/// when names were logged as they are.
#[test]
fn what_a_peer_calls_itself_cannot_act_on_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo\x1b]0;\x07");
    let mut server = Server::spawn(&mut command(&[&format!("unix:{}", path.display())], &["-v"]));
    let line = server.expect_line("listening on");
    assert!(line.ends_with(r"echo\u{1b}]0;\u{7}"), "{line}");
    let name = dir.path().join("a\x1b[31m\r\nb");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(name).unwrap()).unwrap();
    socket.connect(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    let line = server.expect_line("accepted");
    assert!(line.contains(r"a\u{1b}[31m\r\nb: accepted"), "{line}");
}

#[test]
fn quiet_says_nothing_and_verbose_names_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let (path, log) = (dir.path().join("echo"), dir.path().join("log"));
    let addr = format!("unix:{}", path.display());
    let mut child = command(&[&addr], &["-q"]).stderr(File::create(&log).unwrap()).spawn().unwrap();
    expect_echo(connect_unix(&path), b"hello");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "");

    let mut server = Server::start(&["-vv"]);
    expect_echo(server.connect(), b"hello");
    for step in ["accepted", "read 5 bytes", "wrote 5 bytes", "closed: all echoed"] {
        server.expect_line(step);
    }
}
