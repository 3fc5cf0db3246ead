//! The options that the environment gives.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::command::output;
use crate::server::Server;
use crate::wire::{expect_echo, expect_end};

fn serve(variables: &[(&str, &str)], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    command.arg("serve").args(args).envs(variables.iter().copied());
    command
}

/// The links that Kubernetes makes for a Service of the same name do not disturb.
#[test]
fn a_server_takes_its_options_from_the_environment() {
    let variables = [
        ("RESOUND_LISTEN", "127.0.0.1:0, 127.0.0.2:0"),
        ("RESOUND_LOG_LEVEL", "debug"),
        ("RESOUND_ONCE", "yes"),
        ("RESOUND_MAX_CONNECTIONS", ""),
        ("RESOUND_PORT", "tcp://10.0.0.1:7007"),
        ("RESOUND_SERVICE_HOST", "10.0.0.1"),
    ];
    let mut server = Server::start_command(&mut serve(&variables, &[]), 2);
    assert!(server.addrs()[1].starts_with("127.0.0.2:"));
    let stream = server.connect();
    expect_echo(&stream, b"hello");
    expect_end(&stream);
    server.expect_line("closed: finished by the server");
}

#[test]
fn a_wrong_variable_is_one_line_and_exit_code_2() {
    for (name, value) in [
        ("RESOUND_LISTEN", &b"localhost"[..]),
        ("RESOUND_ONCE", b"perhaps"),
        ("RESOUND_LOG_FORMAT", b"xml"),
        ("RESOUND_IDLE_TIMEOUT", b"\x1b[2J"),
        ("RESOUND_ALLOW", b" ,"),
        // Failed when the line did not say which variable it is.
        ("RESOUND_LISTEN", b"127.0.0.1:0,unix:/\xff"),
        ("RESOUND_BACKLOG", b"\xff"),
        ("RESOUND_ONCE", b"\xff"),
    ] {
        let output = output(serve(&[], &[]).env(name, OsStr::from_bytes(value)));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("resound: {name}: ")), "{said}");
        assert!(said.lines().count() == 1 && !said.contains('\u{1b}'), "{said}");
    }
}
