//! What the server logs about connections, and what it says about its arguments.

use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::command::resound;
use crate::server::{Server, command, connect};
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
        server.expect_line(&format!("refused: {reason} (1 of 1)"));
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

/// A connection is called by the same number and address in each line. What only programs want is in JSON alone.
#[test]
fn a_connection_is_logged_with_its_number_and_what_became_of_it() {
    let mut server = Server::start(&["-v"]);
    for number in 1..=2 {
        let stream = server.connect();
        let who = format!("#{number} {}: ", stream.local_addr().unwrap());
        expect_echo(&stream, &pattern(number, 1000 * number));
        drop(stream);
        let line = server.expect_line("closed");
        let figures =
            format!("{who}closed: all echoed; {number},000 bytes in, {number},000 bytes out in ");
        assert!(line.contains(&figures), "{line}");
        let accepted = server.log().iter().rev().nth(1).unwrap();
        assert!(accepted.ends_with(&format!("{who}accepted")), "{accepted}");
    }
}

/// The next line of a JSON log about this event. It must have these fields.
#[track_caller]
fn expect_event(server: &mut Server, event: &str, fields: Json) -> Json {
    let line = server.expect_line(&format!(r#""event":"{event}""#));
    let line: Json = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
    for (key, value) in fields.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key} of {line}");
    }
    line
}

#[test]
fn json_has_the_figures_of_each_event() {
    let args = ["--log-format", "json", "-v", "--max-connections", "1", "--drain-timeout", "3s"];
    let mut server = Server::spawn(&mut command(&["127.0.0.1:0"], &args));
    let listening = expect_event(&mut server, "listening", json!({"level": "info"}));
    let addr = listening["listener"].as_str().unwrap();
    assert_eq!(listening["message"], format!("listening on {addr}"));
    let stream = connect(addr);
    let peer = stream.local_addr().unwrap().to_string();
    expect_echo(&stream, b"hello");
    expect_event(&mut server, "accepted", json!({"level": "debug", "conn": 1, "peer": peer}));
    expect_closed(connect(addr));
    let refusal = json!({"conn": 2, "reason": "max_connections", "limit": 1, "count": 1});
    expect_event(&mut server, "refused", refusal);
    server.signal(Signal::TERM);
    expect_event(&mut server, "draining", json!({"connections": 1, "seconds": 3}));
    let end =
        json!({"conn": 1, "reason": "by_server", "bytes_in": 5, "bytes_out": 5, "is_cut": false});
    let closed = expect_event(&mut server, "closed", end);
    assert!(closed["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{closed}");
    let sums = json!({"accepted": 1, "refused": 1, "bytes_in": 5, "bytes_out": 5, "cut": 0});
    expect_event(&mut server, "stopped", sums);
    assert!(server.wait().success());
    for line in server.log() {
        let line: Json = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["time"].is_string() && line["event"].is_string(), "{line}");
    }
}

#[cfg(feature = "clients")]
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
