//! Signals end a run in order, whatever it is doing, or ask how it gets on.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

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

/// Starts a run that writes all kinds of files, waits for the first line of an interval, and does something.
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
    // Nothing else is left beside them.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "{ended:?}");
    let text = |path: &String| fs::read_to_string(path).unwrap();
    assert!(text(&hdr).starts_with('#') && text(&page).ends_with("</html>\n"), "{ended:?}");
    (ended, json_in(json.as_ref()))
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

/// Echoes a hundred messages, and keeps the next.
fn keep_the_101st(mut stream: TcpStream) -> io::Result<()> {
    let mut message = [0; 64];
    for _ in 0..100 {
        stream.read_exact(&mut message)?;
        io::Write::write_all(&mut stream, &message)?;
    }
    loop {
        thread::park();
    }
}

/// A message is in flight for ever: the first signal waits for it, and the second does not.
#[test]
fn signals_that_come_together_ask_once_and_a_later_one_ends_it_at_once() {
    let addr = peers::serve(keep_the_101st);
    let args = [&*addr, "-c", "1", "-d", "1h", "-W", "1h"];
    let (ended, report) = interrupted_while_measuring(&args, |child| {
        // While it is stopped, they cannot be told apart in time.
        send(child, Signal::STOP);
        send(child, Signal::TERM);
        send(child, Signal::HUP);
        send(child, Signal::CONT);
        thread::sleep(Duration::from_millis(300)); // In which it would have ended.
        let pid = Pid::from_child(child);
        assert!(rustix::process::test_kill_process(pid).is_ok(), "it has ended");
        assert!(is_running(pid), "two that came together were taken for two requests");
        send(child, Signal::INT);
    });
    assert_eq!((ended.code, &report["end"]), (Some(130), &"interrupted".into()), "{ended:?}");
}

/// Failed when an interrupted run waited for as long as an echo may take, and did not count what had not come.
#[test]
fn an_interrupted_run_does_not_wait_long_for_a_server_that_has_stopped_answering() {
    let addr = peers::serve(keep_the_101st);
    let args = [&*addr, "-c", "1", "-d", "1h", "-W", "1h"];
    let (ended, report) = interrupted_while_measuring(&args, |child| send(child, Signal::INT));
    assert_eq!((ended.code, &report["end"]), (Some(130), &"interrupted".into()), "{ended:?}");
    assert_eq!(report["lost_messages"], 1, "{report:#}");
}

/// Whether it has not ended and become a zombie, proc_pid_stat(5).
fn is_running(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z')
}

/// Failed when each of the messages that are due was looked at one by one: there are a hundred million a second.
#[test]
fn a_rate_that_nothing_can_send_delays_neither_the_end_nor_an_interrupt() {
    let server = Server::start(&[]);
    let began = Instant::now();
    let report = fine(&[server.addr(), "-c", "1", "-d", "1s", "-r", "100m"]);
    let count = |key: &str| report[key].as_u64().unwrap();
    assert_eq!(count("messages") + count("unsent_messages"), 100_000_000, "{report:#}");
    assert_eq!(report["unanswered_wait_nanoseconds"]["count"], report["unsent_messages"]);
    let lag = &report["lag_nanoseconds"];
    assert_eq!(lag["count"], 100_000_000, "{report:#}");
    // It does not fall behind its schedule: half of them would be half a second late.
    assert!(lag["p50"].as_u64().unwrap() < 250_000_000, "{report:#}");
    assert_eq!(report["has_missed_rate"], true);
    let args = [server.addr(), "-c", "1", "-d", "1h", "-r", "100m"];
    let (ended, report) = interrupted_while_measuring(&args, |child| send(child, Signal::INT));
    assert_eq!((ended.code, &report["end"]), (Some(130), &"interrupted".into()), "{ended:?}");
    // Ten seconds or more, if they are looked at one by one.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    server.stop();
}

#[test]
fn before_and_after_the_measured_part_a_run_is_interrupted_too() {
    let server = Server::start(&[]);
    let addr = peers::serve(peers::silent);
    // It warms up; it waits for the only echo, in vain.
    for args in [
        &[server.addr(), "-c", "1", "--warmup", "1h"][..],
        &[&addr, "-c", "1", "-d", "1ms", "-W", "1h"],
    ] {
        let mut command = command(&[args, &["--json", "-"]].concat());
        let mut child = spawn(&mut command);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut String::new()).unwrap(); // The plan.
        thread::sleep(Duration::from_millis(200)); // Until it does what it is to be interrupted in.
        send(&child, Signal::INT);
        send(&child, Signal::QUIT); // Tells one batch from the next: an answer comes after it.
        if args.contains(&"1h") {
            stderr.read_line(&mut String::new()).unwrap();
            send(&child, Signal::INT);
        }
        let ended = Client::collect(child).end();
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!((ended.code, &report["end"]), (Some(130), &"interrupted".into()), "{ended:?}");
    }
    server.stop();
}

#[test]
fn a_status_is_shown_when_it_is_asked_for_and_the_run_goes_on() {
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

/// The reader of the lines takes the first, and leaves.
#[test]
fn a_reader_that_leaves_ends_the_run_as_other_filters_and_files_are_written_first() {
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
