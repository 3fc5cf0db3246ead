//! A report never replaces a file that must stay.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::Value;

use crate::loader::{command, run};
use crate::piped::{Client, spawn, wait_until_asleep};
use crate::server::Server;

fn is_report(text: &[u8]) -> bool {
    serde_json::from_slice::<Value>(text).is_ok_and(|report| report["end"] == "complete")
}

fn appending(path: &Path) -> File {
    File::options().append(true).create(true).open(path).unwrap()
}

/// By its own name, by another name and by a link, for each kind of report.
#[test]
fn the_file_that_standard_output_goes_to_is_refused_and_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("out"), "earlier\n").unwrap();
    fs::hard_link(path("out"), path("other")).unwrap();
    std::os::unix::fs::symlink("out", path("link")).unwrap();
    for (option, name) in [("--json", "out"), ("--hdr", "other"), ("--report", "link")] {
        for is_stderr in [false, true] {
            let named = path(name);
            let mut command = command(&["127.0.0.1:9", "-n", "1", option, named.to_str().unwrap()]);
            let out = appending(&path("out"));
            let stream = if is_stderr { command.stderr(out) } else { command.stdout(out) };
            let ended = Client::start(stream).end();
            assert_eq!(ended.code, Some(2), "{ended:?}");
            let text = fs::read_to_string(path("out")).unwrap();
            let said =
                if is_stderr { text.strip_prefix("earlier\n").unwrap() } else { &ended.stderr };
            let which = if is_stderr { "standard error" } else { "standard output" };
            assert!(said.contains(&format!("{which} goes there already")), "{said}");
            assert_eq!((said.lines().count(), text.starts_with("earlier\n")), (1, true), "{text}");
            fs::write(path("out"), "earlier\n").unwrap();
        }
    }
}

/// By each of its names. If standard output is a file, the report is appended.
#[test]
fn standard_output_may_be_named_as_a_device() {
    let server = Server::start(&[]);
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "-"] {
        let ended = run(&[server.addr(), "-n", "10", "--json", name]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(is_report(&ended.stdout), "{name}: {ended:?}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, "earlier\n").unwrap();
        let mut command = command(&[server.addr(), "-n", "10", "--json", name]);
        Client::start(command.stdout(appending(&path))).end();
        let text = fs::read(&path).unwrap();
        assert!(is_report(text.strip_prefix(b"earlier\n").unwrap()), "{name}");
    }
    server.stop();
}

/// Failed when /dev/fd/+1 was taken for /dev/fd/1.
#[test]
fn a_descriptor_has_no_sign_and_no_zeros_before_it() {
    for name in ["/dev/fd/+1", "/dev/fd/01"] {
        let ended = run(&["127.0.0.1:1", "-n", "1", "--json", name]);
        assert!(ended.code == Some(1) && ended.stdout.is_empty(), "{ended:?}");
        assert!(ended.stderr.contains(&format!("cannot write {name}: no such file")), "{ended:?}");
    }
}

#[test]
fn a_named_pipe_and_a_device_are_written_to_and_stay() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    mkfifoat(CWD, &fifo, Mode::from_raw_mode(0o600)).unwrap();
    let name = fifo.clone();
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        File::open(name).unwrap().read_to_end(&mut text).map(|_| text)
    });
    let json = fifo.to_str().unwrap();
    let ended = run(&[server.addr(), "-n", "10", "--json", json, "--report", "/dev/null"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(is_report(&reader.join().unwrap().unwrap()));
    assert!(
        !fs::metadata("/dev/null").unwrap().is_file() && !fs::metadata(&fifo).unwrap().is_file()
    );
    server.stop();
}

/// Names of reports, and arguments in the command line that is part of a report.
#[test]
fn names_need_not_be_utf_8() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &[u8]| dir.path().join(OsStr::from_bytes(name));
    let (json, hdr, page) = (path(b"caf\xe9.json"), path(b"\xff"), path(b"\xfe.html"));
    let run = |baseline: Option<&Path>| {
        let mut command = command(&[server.addr(), "-n", "10"]);
        command.arg("--json").arg(&json).arg("--hdr").arg(&hdr).arg("--report").arg(&page);
        baseline.map(|path| command.arg("--baseline").arg(path));
        let ended = Client::start(&mut command).end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let text = fs::read(&json).unwrap();
        assert!(is_report(&text));
        String::from_utf8(text).unwrap()
    };
    assert!(run(None).contains("caf\u{fffd}.json"));
    run(Some(&json));
    assert!(fs::read_to_string(&page).unwrap().contains("Beside the baseline"));
    assert!(fs::read(&hdr).unwrap().starts_with(b"#"));
    let mut command = command(&[server.addr()]);
    let ended = Client::start(command.arg("-n").arg(OsStr::from_bytes(b"\xff"))).end();
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(2), 1), "{ended:?}");
    server.stop();
}

/// A failed run has a report too. A wrong command line has none.
#[test]
fn an_earlier_report_is_replaced_by_a_whole_one_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    fs::write(&json, "earlier").unwrap();
    let name = json.to_str().unwrap();
    assert_eq!(run(&["127.0.0.1:9", "-c", "0", "--json", name]).code, Some(2));
    assert_eq!(run(&["127.0.0.1:9", "--json", name, "--hdr", "/nowhere/at/all"]).code, Some(1));
    assert_eq!(fs::read_to_string(&json).unwrap(), "earlier");
    assert_eq!(run(&["127.0.0.1:9", "--json", name]).code, Some(1));
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["end"], "failed");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Failed when the client began the draft of the JSON before it waited for the reader of the pipe.
#[test]
fn a_client_that_is_killed_while_it_waits_for_the_reader_of_a_pipe_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (pipe, json) = (path("pipe"), path("run.json"));
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let args = ["127.0.0.1:9", "-n", "1", "--json", &json, "--hdr", &pipe];
    let mut child = spawn(&mut command(&args));
    wait_until_asleep(&child);
    child.kill().unwrap();
    child.wait().unwrap();
    let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["pipe"]);
}

/// Failed when both reports went to one file: the draft of the first had the descriptor that the second named.
#[test]
fn a_descriptor_that_the_caller_has_not_opened_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let json = json.to_str().unwrap();
    for number in 3..9 {
        let fd = format!("/dev/fd/{number}");
        let ended = run(&["127.0.0.1:9", "-n", "1", "--json", json, "--hdr", &fd]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(&format!("cannot write {fd}: no such file")), "{ended:?}");
    }
}
