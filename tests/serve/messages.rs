//! What the server logs about connections, and what it says about its arguments.

use rustix::process::Signal;

use crate::command::resound;
use crate::server::Server;
use crate::wire::{expect_closed, expect_echo, expect_end, pattern, reset, send_until_stuck};

const LIMITS: [(&str, &str); 2] = [
    ("--max-connections", "max connections reached"),
    ("--max-per-ip", "max connections per IP address reached"),
];

#[test]
fn verbose_names_the_limit_that_refused_a_connection() {
    for (limit, reason) in LIMITS {
        let mut server = Server::start(&["-v", limit, "1"]);
        let served = server.connect();
        expect_echo(&served, b"hello");
        expect_closed(server.connect());
        server.expect_line(&format!("refused: {reason}"));
    }
}

/// Without `-v` the first refusal is logged, and not each one. Failed when refusals were logged only with `-v`.
#[test]
fn warnings_of_refusals_are_rate_limited() {
    for (limit, reason) in LIMITS {
        let mut server = Server::start(&[limit, "1"]);
        let served = server.connect();
        expect_echo(&served, b"hello");
        (0..20).for_each(|_| expect_closed(server.connect()));
        let line = server.expect_line("refused: ");
        assert!(line.contains("WARN") && line.contains(reason), "{line}");
        drop(served);
        server.signal(Signal::TERM);
        assert!(server.wait().success());
        let warnings = server.log().iter().filter(|line| line.contains("refused: ")).count();
        let last = server.log().last().unwrap();
        assert!(warnings <= 2 && last.contains("20 refused"), "{:#?}", server.log());
    }
}

#[test]
fn verbose_logs_why_a_connection_ended() {
    let mut server = Server::start(&["-v", "--once"]);
    let stream = server.connect();
    expect_echo(&stream, b"hello");
    expect_end(&stream);
    // The peer does not close.
    server.expect_line("closed: finished by the server");

    let mut server = Server::start(&["-v", "--idle-timeout", "200ms"]);
    let idle = server.connect();
    expect_end(&idle);
    server.expect_line("closed: idle timeout");

    let mut server = Server::start(&["-v", "--drain-timeout", "200ms"]);
    let lost = server.connect();
    expect_echo(&lost, b"hello");
    reset(lost);
    server.expect_line("closed: connection reset by peer");
    let stuck = server.connect();
    send_until_stuck(&stuck, &pattern(1, 32 << 20));
    server.signal(Signal::TERM);
    server.expect_line("closed: aborted as the server stops");
}

#[test]
fn the_log_level_can_be_named() {
    let mut server = Server::start(&["--log-level", "debug"]);
    expect_echo(server.connect(), b"hello");
    server.expect_line("accepted");
    // No server listens there, so a client that accepted the bad level would end soon, with exit code 1.
    let (code, said) = refused(&["connect", "127.0.0.1:1", "--log-level", "loud"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("write off, error, warn, info, debug or trace"), "{said}");
}

#[test]
fn without_arguments_usage_is_shown() {
    let (code, said) = refused(&[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("Usage: resound") && said.contains("serve"), "{said}");
}

/// The exit code and the standard error of a command that must be refused.
#[track_caller]
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let output = resound(args);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}
