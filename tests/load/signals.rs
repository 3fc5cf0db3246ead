//! Signals end a run, or show its progress.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::loader::{command, fine};
use crate::peers;
use crate::piped::{Client, Ended, spawn};
use crate::server::Server;

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn json_in(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Starts a run that writes all kinds of files, waits for the first line of an interval, and calls `act`.
fn interrupted_while_measuring(args: &[&str], act: impl FnOnce(&Child)) -> (Ended, Value) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (json, hdr, page) = (path("run.json"), path("run.hlog"), path("run.html"));
    let files = ["-i", "20ms", "--json", &json, "--hdr", &hdr, "--report", &page];
    let mut child = spawn(&mut command(&[args, &files].concat()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("B/s")), "nothing is measured");
    act(&child);
    lines.for_each(|line| drop(line.unwrap()));
    let ended = Client::collect(child).end();
    // There is no other file.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "{ended:?}");
    let text = |path: &String| fs::read_to_string(path).unwrap();
    assert!(text(&hdr).starts_with('#') && text(&page).ends_with("</html>\n"), "{ended:?}");
    (ended, json_in(json.as_ref()))
}

/// A server that echoes a hundred messages, and keeps the next until it may go on. Returns its address, and what reports
/// that it keeps that one.
fn keeping_the_101st(may_go_on: Receiver<()>) -> (String, Receiver<()>) {
    let (has_come, kept) = channel();
    let addr = peers::serve(move |stream| {
        peers::acting_at(&stream, 101, || {
            has_come.send(()).unwrap();
            let _ = may_go_on.recv(); // An error means that the test is over.
        })
    });
    (addr, kept)
}

/// SIGQUIT comes with them, so its line shows that all of them are handled.
#[test]
fn signals_that_come_together_ask_once_and_the_last_echo_is_waited_for() {
    let (go_on, may_go_on) = channel();
    let (addr, kept) = keeping_the_101st(may_go_on);
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let args = [&*addr, "-c", "1", "-d", "1h", "--json", json.to_str().unwrap()];
    let mut child = spawn(&mut command(&args));
    let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    kept.recv().unwrap();
    // The client handles signals one by one while it runs.
    for signal in [Signal::STOP, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::CONT] {
        send(&child, signal);
    }
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut String::new()).unwrap();
    go_on.send(()).unwrap();
    stdout.for_each(|line| drop(line.unwrap()));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report = json_in(&json);
    assert_eq!((&report["end"], &report["lost_messages"]), (&"interrupted".into(), &0.into()));
    assert_eq!(report["messages"], 101, "{report:#}");
}

/// The status line that SIGQUIT asks for shows that the first signal is handled.
#[test]
fn a_second_signal_ends_the_wait_for_the_last_echo_and_the_run_still_reports() {
    let (_go_on, may_go_on) = channel();
    let (addr, kept) = keeping_the_101st(may_go_on);
    let mut child = spawn(&mut command(&[&*addr, "-c", "1", "-d", "1h", "--json", "-"]));
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    kept.recv().unwrap();
    send(&child, Signal::INT);
    let mut status = String::new();
    while !status.contains("waiting for the last echoes") {
        send(&child, Signal::QUIT);
        if stderr.read_line(&mut status).unwrap() == 0 {
            break; // This test was held up for a second, and the run has ended by itself.
        }
    }
    send(&child, Signal::INT);
    let mut report = String::new();
    child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report: Value = serde_json::from_str(&report).unwrap();
    let counts = [&report["messages"], &report["lost_messages"]].map(|n| n.as_u64().unwrap());
    assert_eq!((&report["end"], counts), (&"interrupted".into(), [100, 1]), "{report:#}");
}

#[test]
fn each_signal_to_stop_ends_a_run_with_its_figures_and_its_files() {
    let server = Server::start(&[]);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let args = [server.addr(), "-c", "2", "-d", "1h"];
        let (ended, report) = interrupted_while_measuring(&args, |child| send(child, signal));
        assert_eq!((ended.code, &report["end"]), (Some(130), &"interrupted".into()), "{ended:?}");
        assert!(report["messages"].as_u64().unwrap() > 0, "{report:#}");
        assert_eq!(ended.stderr, "resound: interrupted before it was done\n");
    }
    server.stop();
}

/// Failed when the run looked at each message that is due: there are a hundred million a second.
#[test]
fn a_rate_that_no_client_can_send_delays_neither_the_end_nor_an_interrupt() {
    let server = Server::start(&[]);
    let run = |rate| fine(&[server.addr(), "-c", "1", "-d", "1s", "-r", rate]);
    let began = Instant::now();
    run("1k");
    let usual = began.elapsed();
    let began = Instant::now();
    let report = run("100m");
    let count = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(count("messages") + count("unsent_messages"), 100_000_000, "{report:#}");
    assert_eq!(report["unanswered_wait_nanoseconds"]["count"], report["unsent_messages"]);
    let lag = &report["lag_nanoseconds"];
    assert_eq!(lag["count"], 100_000_000, "{report:#}");
    // The run does not fall behind its schedule, or half of the messages would be half a second late.
    assert!(lag["p50"].as_u64().unwrap() < 250_000_000, "{report:#}");
    assert_eq!(report["has_missed_rate"], true);
    let args = [server.addr(), "-c", "1", "-d", "1h", "-r", "100m"];
    let (ended, report) = interrupted_while_measuring(&args, |child| send(child, Signal::INT));
    assert_eq!((ended.code, &report["end"]), (Some(130), &"interrupted".into()), "{ended:?}");
    // If it looked at each message, this would take ten times as long or more.
    assert!(began.elapsed() < 6 * usual, "{:?}, and usually {usual:?}", began.elapsed());
    server.stop();
}

#[test]
fn sigquit_shows_the_progress_and_the_run_goes_on() {
    let server = Server::start(&[]);
    let (ended, report) =
        interrupted_while_measuring(&[server.addr(), "-c", "2", "-d", "500ms"], |child| {
            send(child, Signal::QUIT);
        });
    assert_eq!((ended.code, &report["end"]), (Some(0), &"complete".into()), "{ended:?}");
    let [status] = &ended.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{ended:?}") };
    assert!(status.contains(" messages, ") && status.ends_with("2 connections, 0 failures"));
    server.stop();
}

/// The reader takes the first line, and leaves.
#[test]
fn a_run_whose_reader_leaves_writes_its_files_and_ends_by_sigpipe() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let args = [server.addr(), "-d", "1h", "-i", "20ms", "--json", json.to_str().unwrap()];
    let mut child = spawn(&mut command(&args));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.signal(), &*stderr), (Some(Signal::PIPE.as_raw()), ""));
    assert_eq!(json_in(&json)["end"], "interrupted");
    server.stop();
}
