//! A wrong command line is refused at once, in one line that says what would be right.

use crate::loader::{fine, run};
use crate::server::Server;

#[track_caller]
fn expect_usage(args: &[&str], words: &[&str]) {
    let ended = run(&[&["127.0.0.1:9"], args].concat());
    assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
    assert!(ended.stdout.is_empty() && ended.stderr.lines().count() == 1, "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{args:?}: {word} is not in {}", ended.stderr);
    }
}

#[test]
fn impossible_options_are_refused_with_what_would_be_right() {
    for (args, words) in [
        (&["-r", "0"][..], &["--rate", "from 1"][..]),
        (&["-r", "max@p99"], &["--rate", "max@p99=1ms"]),
        (&["-p", "0"], &["--pipeline", "from 1"]),
        (&["-s", "0"], &["--size", "from 1"]),
        (&["-s", "4k-64"], &["--size", "smaller size comes first"]),
        (&["-c", "0"], &["--connections", "from 1"]),
        (&["-n", "0"], &["--count", "1 or more"]),
        (&["-d", "0s"], &["--duration", "from 1ms"]),
        (&["-d", "1s", "-n", "5"], &["--duration", "cannot be used with", "--count"]),
        (&["-r", "max@p99=0"], &["--rate", "no time", "max@p99=1ms"]),
        (&["--spin", "1ms"], &["--rate"]),
        (&["-r", "max@p99=1ms", "-n", "5"], &["max@", "--duration"]),
        (&["--fail-if", "p99"], &["--fail-if", "p99>1ms"]),
        (&["--source-ip", "nowhere"], &["--source-ip"]),
        (&["--source-ip", "127.0.0.1,192.0.2.1"], &["--source-ip 192.0.2.1", "this machine"]),
        (&["--source-ip", "::1"], &["--source-ip ::1", "127.0.0.1:9 has no IPv6 address"]),
        (&["--source-ip", "127.0.0.1", "--source-ip", "::1"], &["--source-ip ::1", "family"]),
        (&["--fail-if", "p99>=1ms"], &["--fail-if", "write > or <"]),
        (&["--fail-if", "lag>1ms"], &["--fail-if 'lag>1ms'", "--rate"]),
        (&["--hdr", "-"], &["--hdr", "name of a file"]),
        (&["--report", "-"], &["--report", "name of a file"]),
    ] {
        expect_usage(args, words);
    }
}

#[test]
fn a_unix_socket_has_no_address_to_connect_from() {
    let ended = run(&["unix:/nowhere", "--source-ip", "127.0.0.1"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--source-ip 127.0.0.1"), "{ended:?}");
}

#[test]
fn sources_do_not_swallow_the_server() {
    let server = Server::start(&[]);
    for sources in [&["--source-ip", "127.0.0.2,127.0.0.3"][..], &["--source-ip", "127.0.0.2"]] {
        let args = ["-c", "4", "-n", "8", "--source-ip", "127.0.0.4", server.addr()];
        fine(&[sources, &args].concat());
    }
    server.stop();
}

#[test]
fn two_reports_in_one_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let one = dir.path().join("one");
    let one = one.to_str().unwrap();
    expect_usage(&["--json", one, "--hdr", one], &[one, "another report goes there"]);
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

/// No server listens on that port, so the run would fail with another line.
#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_run() {
    for option in ["--json", "--hdr", "--report"] {
        let ended = run(&["127.0.0.1:9", "-n", "1", option, "/nowhere/at/all"]);
        ended.assert_failed("cannot write /nowhere/at/all: no such file or directory");
    }
}
