//! The headers that the clients send with `--send-proxy`.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::command::resound;
use crate::deadline::end_in_time;
use crate::proxy::proxied;
use crate::server::Server;

/// Runs a client with these arguments and this input, and expects it to succeed.
#[track_caller]
fn run_client(args: &[&str], input: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    end_in_time(&child);
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Each connection begins with a header, also one that replaces another, and the header is no part of any message.
#[test]
fn clients_send_the_header_first_on_each_connection() {
    let dir = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", dir.path().join("echo").display());
    for version in ["v1", "v2"] {
        let addrs = ["proxy+127.0.0.1:0", &format!("proxy+{unix}")];
        let server = Server::start_at(&addrs, &["--proxy-from", "127.0.0.1"]);
        let tcp = proxied(server.addr());
        for addr in [&tcp, &unix] {
            let send = ["--send-proxy", version, addr];
            run_client(&[&["ping", "-c", "3", "-i", "10ms", "-s", "10"], &send[..]].concat(), "");
            let load = ["load", "-c", "4", "-n", "40", "-s", "10", "--reconnect-every", "5"];
            run_client(&[&load[..], &send].concat(), "");
            run_client(&[&["connect"], &send[..]].concat(), "a stream\n");
            run_client(&[&["connect", "--reconnect"], &send[..]].concat(), "one\ntwo\n");
        }
        let said = server.stop();
        // 3 and 40 messages of 10 bytes, and the lines, twice.
        let bytes = 2 * (30 + 400 + 9 + 8);
        assert!(
            said.contains(&format!("{bytes} bytes in, {bytes} bytes out, 0 refused")),
            "{said}"
        );
    }
}

/// Over IPv6 too, the server sees the client's own address in the header, and not only at the other end.
#[test]
fn the_header_of_a_client_names_its_own_address() {
    let args = ["--proxy-from", "::1", "-v"];
    let mut server = Server::start_at(&["proxy+[::1]:0"], &args);
    let addr = proxied(server.addr());
    run_client(&["ping", "-c", "1", "--send-proxy", "v1", &addr], "");
    let line = server.expect_line(": comes through the proxy [::1]:");
    let (before, proxy) = line.split_once(": comes through the proxy ").unwrap();
    assert!(before.ends_with(proxy), "{line}");
}

/// Failed when the JSON of ping did not say that it sends a header.
#[test]
fn the_json_of_a_ping_has_the_version_of_its_header() {
    let server = Server::start_at(&["proxy+127.0.0.1:0"], &["--proxy-from", "127.0.0.1"]);
    let addr = proxied(server.addr());
    for (version, number) in [("v1", 1), ("v2", 2)] {
        let output = resound(&["ping", "--json", "-c", "1", "--send-proxy", version, &addr]);
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["send_proxy_version"], number);
    }
}

#[test]
fn a_version_of_the_header_that_is_none_is_explained() {
    for client in ["ping", "load", "connect"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
        let output = command.args([client, "127.0.0.1:7", "--send-proxy", "3"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("write v1 or v2"), "{said}");
    }
}
