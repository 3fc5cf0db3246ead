//! What the server tells the service manager that started it: sd_notify(3).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use rustix::process::Signal;

use crate::server::{Server, TIMEOUT, command};
use crate::unix::SocketPath;
use crate::wire::expect_echo;

/// A server whose manager is at `addr`.
fn managed(addr: &str, args: &[&str]) -> Command {
    let mut command = command(&["127.0.0.1:0"], args);
    command.env("NOTIFY_SOCKET", addr);
    command
}

/// The next message that the manager gets.
#[track_caller]
fn heard(manager: &UnixDatagram) -> String {
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut buffer = [0; 256];
    let n = manager.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..n].to_vec()).unwrap()
}

const READY: &str = "READY=1\nSTATUS=serving 0 connections\n";

/// Failed for abstract sockets when their name was taken for a path.
#[test]
fn the_manager_hears_that_the_server_is_ready_and_that_it_stops() {
    let path = SocketPath::new();
    let name = format!("resound-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    for (manager, addr) in [
        (UnixDatagram::bind(&path.path).unwrap(), path.path.to_str().unwrap()),
        (UnixDatagram::bind_addr(&address).unwrap(), &format!("@{name}")),
    ] {
        let mut server = Server::start_command(&mut managed(addr, &["--drain-delay", "1h"]), 1);
        assert_eq!(heard(&manager), READY);
        let stream = server.connect();
        expect_echo(&stream, b"hello");
        server.signal(Signal::TERM);
        let expected = "STOPPING=1\nSTATUS=stopping soon: still accepting, 1 connection\n";
        assert_eq!(heard(&manager), expected);
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(1));
    }
}

#[test]
fn the_manager_hears_only_after_the_server_listens_everywhere() {
    let path = SocketPath::new();
    let manager = UnixDatagram::bind(&path.path).unwrap();
    let taken = Server::start(&[]);
    let mut command = managed(path.path.to_str().unwrap(), &["--listen", taken.addr()]);
    assert_eq!(Server::spawn(&mut command).wait().code(), Some(1));
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0]).is_err(), "the server was never ready");
}

#[test]
fn signs_of_life_come_if_the_manager_wants_them() {
    let path = SocketPath::new();
    let manager = UnixDatagram::bind(&path.path).unwrap();
    let mut command = managed(path.path.to_str().unwrap(), &[]);
    let _server = Server::start_command(command.env("WATCHDOG_USEC", "100000"), 1);
    assert_eq!(heard(&manager), READY);
    (0..3).for_each(|_| assert_eq!(heard(&manager), "WATCHDOG=1\n"));
}

/// Failed when the server took the interval of another process for its own, and when it slept for too long a time.
#[test]
fn signs_of_life_for_others_and_at_unlikely_times_change_nothing() {
    let path = SocketPath::new();
    let manager = UnixDatagram::bind(&path.path).unwrap();
    for (usec, pid) in [("1000", "1"), ("18446744073709551615", ""), ("0", ""), ("soon", "")] {
        let mut command = managed(path.path.to_str().unwrap(), &[]);
        command.env("WATCHDOG_USEC", usec).env("WATCHDOG_PID", pid);
        let server = Server::start_command(&mut command, 1);
        assert_eq!(heard(&manager), READY);
        expect_echo(server.connect(), b"hello");
        server.stop();
        assert!(heard(&manager).starts_with("STOPPING=1\n"), "{usec} {pid}");
    }
}

/// The server is no worse without its manager.
#[test]
fn a_manager_that_cannot_be_reached_is_warned_of_once() {
    let nowhere = SocketPath::new();
    for (addr, why) in [
        (nowhere.path.to_str().unwrap(), "at NOTIFY_SOCKET: no such file or directory"),
        (
            "relative",
            ": NOTIFY_SOCKET is \"relative\": it must be a path from / on, or @ and a name",
        ),
        ("vsock:2:1234", ": NOTIFY_SOCKET is \"vsock:2:1234\": it must be a path"),
        ("/\u{1b}", "at NOTIFY_SOCKET: no such file or directory"),
        (&format!("/{}", "x".repeat(200)), ": path must be shorter than SUN_LEN"),
    ] {
        let mut server = Server::start_command(managed(addr, &[]).env("WATCHDOG_USEC", "20000"), 1);
        let line = server.expect_line("WARN");
        assert!(line.contains("cannot notify the service manager") && line.contains(why), "{line}");
        expect_echo(server.connect(), b"hello");
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
        let warnings = server.log().iter().filter(|line| line.contains("WARN")).count();
        assert_eq!(warnings, 1, "{:#?}", server.log());
    }
}
