//! What cannot be checked is said in a line.

use std::net::TcpListener;

use crate::checker::serving;
use crate::command::resound;

#[track_caller]
fn refused(args: &[&str], code: i32, line: &str) {
    let output = resound(&[&["check"], args].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((said.as_str(), output.status.code()), (&*format!("resound: {line}\n"), Some(code)));
}

#[test]
fn what_is_no_server_or_no_case_is_refused() {
    let id = "there is no case \"bytes/all-value\": did you mean bytes/all-values? see resound check --list";
    refused(&["127.0.0.1:7", "--only", "bytes/all-value"], 2, id);
    refused(
        &["--only", "bytes/one", "--skip", "bytes/", "127.0.0.1:7"],
        2,
        "no case is left: see resound check --list",
    );
    refused(
        &["--", "/nonexistent/server"],
        1,
        "cannot start /nonexistent/server: there is no such program",
    );
    let early = "the server ended before it listened: exit code 3";
    refused(&["--", "sh", "-c", "exit 3"], 1, early);
    refused(&["--pid", "999999999", "127.0.0.1:7"], 1, "there is no process 999999999");
}

#[test]
fn a_closed_port_fails_and_leaves_the_rest_untried() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = resound(&["check", &closed]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("no connection could be made: connection refused"), "{said}");
    assert!(said.contains("bytes/one                  not run: sanity/first failed"), "{said}");
}

/// Whatever a server sends, nothing of it reaches the terminal as it is.
#[test]
fn bytes_of_a_server_are_never_printed() {
    use std::io::Write;
    let addr = serving(|mut stream| {
        let _ = stream.write_all(b"\x1b]0;title\x07\x1b[31m<script>");
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
    });
    let output = resound(&["check", &addr]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.contains(&0x1b) && !output.stdout.windows(7).any(|w| w == b"<script"));
}

#[test]
fn the_list_names_each_case_once() {
    let output = resound(&["check", "--list"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let mut ids: Vec<_> =
        said.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(all == ids.len() && all > 45, "{said}");
    let documented = include_str!("../../docs/check.md");
    for id in ids {
        assert!(documented.contains(&format!("`{id}`")), "{id} is not in docs/check.md");
    }
}

#[test]
fn a_signal_ends_the_wait_for_a_server_that_never_listens() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    let began = Instant::now();
    let mut check = Command::new(env!("CARGO_BIN_EXE_resound"))
        .args(["check", "--", "sleep", "100"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let pid = nix::unistd::Pid::from_raw(check.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(check.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}
