//! Each rule has a run that makes its mistake, and runs that come close to it and are right.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::mistake::Confidence;
use crate::trace::record::{Header, write_line};

/// A trace from steps such as `read #1 4096 40`. `at 500` sets the time, in milliseconds. A step `2: wait` is of thread 2.
fn trace(vantage: Vantage, script: &str) -> Vec<u8> {
    let mut lines = Vec::new();
    write_line(&mut lines, &Header::new(vantage, "a server")).unwrap();
    let mut time = 0.0;
    for step in script.split(['\n', ';']).map(str::trim).filter(|step| !step.is_empty()) {
        if let Some(millis) = step.strip_prefix("at ") {
            time = millis.parse::<f64>().unwrap() * 1000.0;
            continue;
        }
        let (thread, step) = match step.split_once(": ") {
            Some((thread, step)) => (thread.parse().ok(), step),
            None => (None, step),
        };
        let mut record = step_of(step);
        record.time = time;
        record.thread = thread;
        write_line(&mut lines, &record).unwrap();
    }
    lines
}

fn step_of(step: &str) -> Record {
    let words: Vec<_> = step.split(' ').collect();
    let word = |at: usize| words.get(at).copied().unwrap_or("");
    let value = |text: &str| text.parse::<u64>().map_or_else(|_| json!(text), |n| json!(n));
    let (name, data) = match word(0) {
        "listen" => (name::LISTENING, json!({})),
        "edge" => (name::REGISTERED, json!({"mode": "edge", "interest": words[2..].join(" ")})),
        "level" => (name::REGISTERED, json!({"mode": "level", "interest": words[2..].join(" ")})),
        "wait" => (name::WAITS, json!({"timeout": null})),
        "poll" => (name::WAITS, json!({"timeout": 0})),
        "doze" => (name::WAITS, json!({"timeout": 100_000})),
        "woke" => (name::WOKE, json!({"events": value(word(1)), "waited": value(word(2))})),
        "interrupted" => (name::WOKE, json!({"events": 0, "is_interrupted": true})),
        "ready" | "queued" => (
            name::READY,
            words[2..]
                .iter()
                .map(|flag| ((*flag).into(), true.into()))
                .collect::<Map<_, _>>()
                .into(),
        ),
        "accept" => (name::ACCEPT, json!({"result": words[2..].join(" ")})),
        "to" => (name::CONNECTED, json!({"peer": "127.0.0.1:8"})),
        "new" => (name::ACCEPTED, json!({"peer": "127.0.0.1:9"})),
        "read" => (name::READ, json!({"asked": value(word(2)), "result": value(word(3))})),
        "write" => (name::WRITE, json!({"asked": value(word(2)), "result": value(word(3))})),
        "blocked" => (
            name::READ,
            json!({"asked": 9, "result": 1, "is_blocking": true, "took": value(word(2))}),
        ),
        "shut" => (name::SHUTDOWN, json!({})),
        "close" => (name::CLOSED, json!({"why": words[2..].join(" ")})),
        "failed" => (name::SERVER_FAILED, json!({"error": "exited with 1"})),
        _ => panic!("no such step: {step}"),
    };
    let mut record = Record::new(0.0, name);
    record.group_id = word(1).starts_with(['#', 'l']).then(|| word(1).into());
    record.trigger = (word(0) == "queued").then(|| "queue".into());
    record.data = data.as_object().cloned().unwrap();
    record
}

fn report(script: &str) -> Report {
    lint(Reader::new(&*trace(Vantage::SystemCalls, script)).unwrap()).unwrap()
}

/// The specimens, or the mistakes themselves, that a script is found to make, with the numbers of the records.
fn found(script: &str) -> Vec<(&'static str, u64)> {
    let name = |finding: &Finding| finding.mistake.specimen.unwrap_or(finding.mistake.what);
    report(script).findings.iter().map(|finding| (name(finding), finding.record)).collect()
}

#[track_caller]
fn check(script: &str, specimen: &str, record: u64) {
    assert_eq!(found(script), [(specimen, record)], "{script}");
}

#[track_caller]
fn check_right(scripts: &[&str]) {
    for script in scripts {
        assert_eq!(found(script), [], "{script}");
    }
}

/// A connection that has been accepted, on an edge-triggered poll, and has echoed.
const EDGE: &str = "listen l; new #9; read #9 64 5; write #9 5 5; read #9 64 end; close #9; new #1; edge #1 readable writable;";

#[test]
fn a_full_read_and_a_sleep_leave_an_edge_undrained() {
    let with = |rest: &str| {
        format!("{EDGE} wait; woke 1; ready #1 readable; read #1 64 64; write #1 64 64; {rest}")
    };
    check(&with("wait; at 2000; woke 1; ready #1 readable; read #1 64 3"), "undrained-edge", 14);
    // The client never sends again, and the trace ends.
    check(&with("wait; at 2000; woke 0"), "undrained-edge", 14);
    check_right(&[
        &with(
            "read #1 64 would_block; wait; at 2000; woke 1; ready #1 readable; read #1 64 3; read #1 64 would_block",
        ),
        &with("read #1 64 3; wait; at 2000; woke 1; ready #1 readable; read #1 64 end"),
        // It has a list of those that it must come back to.
        &with("poll; woke 0; read #1 64 3; wait; at 2000; woke 0"),
        &with("wait; woke 1; read #1 64 3; wait; at 2000; woke 0"),
        &with("wait; woke 1; ready #1 writable; read #1 64 3; wait; at 2000; woke 0"),
        // Registered anew, the poll reports what is there.
        &with("edge #1 readable; wait; at 2000; woke 1; ready #1 readable; read #1 64 3"),
        // It sleeps for too short a time, at the end, to know.
        &with("wait"),
        // A proxy may wait for another connection.
        &with("to #2; wait; at 2000; woke 1; ready #1 readable; read #1 64 3"),
        // Its peer is gone.
        &with("read #1 64 Connection reset by peer; wait; at 2000; woke 0"),
    ]);
    check_right(&[
        &with("wait; at 2000; woke 1; ready #1 readable; read #1 64 3").replace("edge", "level")
    ]);
}

#[test]
fn a_short_read_after_an_event_with_an_end_does_not_drain() {
    let with = |flags: &str| {
        format!(
            "{EDGE} wait; woke 1; ready #1 {flags}; read #1 64 5; write #1 5 5; wait; at 2000; woke 0"
        )
    };
    check(&with("readable read_closed"), "undrained-edge", 14);
    check_right(&[&with("readable")]);
}

#[test]
fn threads_may_sleep_while_others_work() {
    let with = |rest: &str| {
        format!("{EDGE} wait; woke 1; ready #1 readable; 2: read #1 64 64; wait; {rest}")
    };
    check_right(&[
        &with("at 5; woke 1; ready #1 readable; 2: read #1 64 would_block"),
        &with("at 2000; 2: read #1 64 would_block"),
    ]);
    check(
        &with("at 2000; woke 1; ready #1 readable; 2: read #1 64 would_block"),
        "undrained-edge",
        13,
    );
}

#[test]
fn reading_must_resume_when_the_pending_bytes_are_gone() {
    let blocked = "wait; woke 1; ready #1 readable writable; read #1 64 64; write #1 64 9; write #1 55 would_block;";
    let with = |rest: &str| {
        format!("{EDGE} {blocked} wait; woke 1; ready #1 readable writable; write #1 55 55; {rest}")
    };
    check(&with("wait; at 2000; woke 0"), "stuck-back-pressure", 19);
    check_right(&[
        &with("read #1 64 would_block; wait; at 2000; woke 0"),
        &format!("{EDGE} {blocked} wait; at 2000; woke 0"),
    ]);
    // The same without edges: the poll is not asked for readable events again.
    let level = |interest: &str| {
        format!(
            "{EDGE} level #1 readable; {blocked} level #1 writable; wait; woke 1; ready #1 writable; write #1 55 55; \
                 level #1 {interest}; wait; at 2000; woke 0"
        )
    };
    check(&level("priority"), "stuck-back-pressure", 22);
    check_right(&[&level("readable")]);
}

#[test]
fn a_listener_must_be_tried_until_it_would_block() {
    let with = |rest: &str| {
        format!(
            "listen l; edge l readable; wait; woke 1; ready l readable; accept l connection; new #1; {rest}"
        )
    };
    check(
        &with("wait; at 2000; woke 1; ready l readable; accept l connection"),
        "undrained-listener",
        8,
    );
    check_right(&[
        &with("accept l would_block; wait; at 2000; woke 0"),
        &with("wait; woke 1; accept l would_block; wait; at 2000; woke 0"),
        &with(
            "edge l readable; wait; at 2000; woke 1; ready l readable; accept l connection; accept l would_block",
        ),
        &with("wait; at 2000; woke 1; ready l readable; accept l connection")
            .replace("edge", "level"),
    ]);
}

const EMFILE: &str = "accept l Too many open files (EMFILE)";

#[test]
fn a_listener_that_failed_must_be_tried_again() {
    let with = |rest: &str| {
        format!(
            "listen l; edge l readable; new #1; wait; woke 1; ready l readable; {EMFILE}; {rest}"
        )
    };
    check(&with("wait; woke 1; close #1; wait; at 2000; woke 0"), "deaf-listener", 8);
    let findings = report(&with("wait; woke 1; close #1; wait; at 2000; woke 0")).findings;
    assert_eq!(findings[0].confidence, Confidence::Sure);
    check_right(&[
        &with(
            "doze; at 100; woke 0; accept l connection; accept l would_block; wait; at 2000; woke 0",
        ),
        &with(
            "wait; woke 1; close #1; accept l connection; accept l would_block; wait; at 2000; woke 0",
        ),
        &with("wait; at 2000; woke 0").replace("edge", "level"),
    ]);
}

#[test]
fn a_listener_must_not_be_tried_without_a_pause() {
    let times = |step: &str| {
        format!(
            "listen l; edge l readable; new #1; wait; woke 1; ready l readable; {}",
            step.repeat(12)
        )
    };
    check(&times(&format!("{EMFILE}; poll; woke 0;")), "emfile-spin", 10);
    check(&times(&format!("{}; poll; woke 0;", EMFILE.to_lowercase())), "emfile-spin", 10);
    check_right(&[
        &times(&format!("{EMFILE}; doze; woke 0 100000;")),
        &times(&format!("{EMFILE}; doze; woke 1; ready l readable;")),
        &times("accept l Software caused connection abort; poll; woke 0;"),
    ]);
    let level =
        times(&format!("{EMFILE}; wait; woke 1; ready l readable;")).replace("edge", "level");
    check(&level, "emfile-spin", 7);
}

#[test]
fn errors_that_end_the_program() {
    check(
        &format!("listen l; wait; woke 1; ready l readable; {EMFILE}; failed"),
        "accept-error-ends",
        6,
    );
    check("listen l; wait; interrupted; failed", "a signal that interrupts a wait ends it", 4);
    check_right(&[
        &format!("listen l; wait; woke 1; ready l readable; {EMFILE}; doze; woke 0; failed"),
        "listen l; wait; interrupted; wait; woke 0; failed",
        "listen l; new #1; wait; interrupted; close #1; failed",
    ]);
}

#[test]
fn an_end_of_file_is_read_once() {
    let with =
        |rest: &str| format!("{EDGE} wait; woke 1; ready #1 readable; read #1 64 end; {rest}");
    check(&with("poll; woke 0; read #1 64 end; poll; woke 0; read #1 64 end"), "end-ignored", 18);
    check_right(&[
        &with("close #1 closed"),
        &with("read #1 64 end; close #1 closed"),
        // It has bytes to write, and looks for more each time.
        &with(
            "write #1 9 1; read #1 64 end; write #1 8 1; read #1 64 end; write #1 7 1; read #1 64 end",
        ),
    ]);
}

#[test]
fn what_a_write_did_not_take_comes_next() {
    let with = |rest: &str| format!("{EDGE} read #1 64 64; write #1 64 24; {rest}");
    check(&with("read #1 64 30; write #1 30 30; read #1 64 end; close #1"), "lost-tail", 12);
    check(&with("read #1 64 30; write #1 30 30; wait; at 2000; woke 0"), "lost-tail", 12);
    check(&with("write #1 64 would_block"), "sent-twice", 11);
    check_right(&[
        &with("write #1 40 40; read #1 64 end; close #1"),
        // In parts as large as its buffer, so that a part can look like a read.
        &with("read #1 64 30; write #1 30 30; write #1 40 40; read #1 64 end; close #1"),
        // It was reset, so that nothing can be written.
        &with("read #1 64 30; write #1 30 Broken pipe (EPIPE); close #1"),
    ]);
}

#[test]
fn bytes_that_were_not_read_are_not_written() {
    check(
        &format!("{EDGE} read #1 64 6; write #1 64 64; read #1 64 2; write #1 64 64"),
        "whole-buffer",
        10,
    );
    check(&format!("{EDGE} read #1 64 6; write #1 18 18"), "text-only", 10);
    check_right(&[
        // It answers, and does not echo.
        "listen l; new #1; read #1 64 6; write #1 18 18; close #1",
        "listen l; new #1; read #1 64 6; write #1 64 64; write #1 20 20; close #1",
        "listen l; new #1; read #1 64 6; write #1 64 24; write #1 64 40; close #1",
        // What it reads here, it writes there.
        &format!("{EDGE} to #2; read #1 64 6; write #1 18 18; close #1"),
    ]);
}

#[test]
fn a_connection_closes_with_all_bytes_written() {
    let with = |rest: &str| format!("{EDGE} read #1 64 64; write #1 64 24; {rest}");
    check(&with("read #1 64 end; close #1"), "half-close-drops-tail", 12);
    check(&with("write #1 40 would_block; read #1 64 end; close #1"), "half-close-drops-tail", 13);
    // It writes in parts of one size.
    let parts = "read #1 64 64; write #1 64 would_block; read #1 64 64; write #1 64 64; read #1 64 end; close #1";
    check(&with(parts), "half-close-drops-tail", 16);
    check_right(&[
        &with("read #1 64 end; write #1 40 40; close #1"),
        &with("read #1 64 end; write #1 40 Connection reset by peer; close #1"),
        &with("read #1 64 end; close #1 the process ended"),
        // It gives up on a peer that does not read.
        &with("close #1"),
    ]);
}

#[test]
fn a_hang_up_comes_after_the_bytes() {
    let with =
        |flags: &str, rest: &str| format!("{EDGE} wait; woke 1; ready #1 {flags}; {rest} close #1");
    check(&with("readable read_closed", ""), "hang-up-first", 12);
    check(
        &with(
            "readable read_closed",
            "read #1 64 64; wait; woke 1; ready #1 readable read_closed;",
        ),
        "hang-up-first",
        16,
    );
    check_right(&[
        &with("readable read_closed", "read #1 64 end;"),
        &with("readable read_closed error", ""),
        &with("readable read_closed", "shut #1;"),
        &with(
            "readable",
            "read #1 64 5; write #1 5 5; wait; woke 1; ready #1 readable read_closed;",
        ),
        &with("readable", ""),
    ]);
}

#[test]
fn a_short_read_is_no_end() {
    let with = |rest: &str| {
        format!(
            "{EDGE} wait; woke 1; ready #1 readable; read #1 64 5; write #1 5 5; {rest} close #1"
        )
    };
    check(&with(""), "short-read-ends", 14);
    // Later, it has a reason of its own: a timeout.
    check_right(&[&with("wait; at 2000; woke 0;")]);
    let served = trace(Vantage::Server, &with(""));
    assert!(lint(Reader::new(&*served).unwrap()).unwrap().findings.is_empty(), "serve --once");
}

#[test]
fn wake_ups_achieve_something() {
    let times = |step: &str| format!("{EDGE} {} wait", step.repeat(40));
    check(
        &times("wait; woke 1; ready #1 writable; read #1 64 would_block;"),
        "always-writable",
        13,
    );
    let mistake = Mistake::WOKEN_FOR_NOTHING.what;
    check(&times("wait; woke 1; ready #1 readable;").replace("edge", "level"), mistake, 12);
    check_right(&[
        &times("wait; woke 1; ready #1 writable; write #1 1 1;")
            .replace("read #9 64 5", "read #1 64 64; read #9 64 5"),
        // A timer, or something else that the trace does not know.
        &times("doze; woke 0; read #1 64 would_block;"),
        &times("wait; woke 1;"),
        &times("wait; woke 2; ready #1 writable;"),
        // Another process took the connection.
        &times("wait; woke 1; ready l readable; accept l would_block;"),
    ]);
}

#[test]
fn a_turn_is_bounded() {
    let reads = |n: usize| {
        format!(
            "{EDGE} wait; woke 1; ready #1 readable; {} at 200; {}",
            "read #1 64 64; write #1 64 64;".repeat(n),
            "read #1 64 64; write #1 64 64;".repeat(n)
        )
    };
    assert_eq!(found(&reads(600))[0].0, "greedy-peer");
    check_right(&[&format!("{} read #1 64 would_block", reads(400))]);
    // A thread of its own for each connection.
    check_right(&[&format!(
        "{EDGE} {} at 200; read #1 64 64; read #1 64 would_block",
        "2: read #1 64 64; 2: write #1 64 64;".repeat(2000)
    )]);
}

#[test]
fn a_loop_does_not_block_in_a_call() {
    check("listen l; new #1; wait; woke 1; blocked #1 2000000", "blocking-socket", 5);
    check("listen l; new #1; blocked #1 2000000", "blocking-socket", 3);
    check_right(&[
        "listen l; new #1; wait; woke 1; blocked #1 90",
        "listen l; new #1; wait; woke 1; 2: blocked #1 2000000",
        "listen l; new #1; 2: blocked #1 2000000",
    ]);
}

#[test]
fn reading_stops_at_some_number_of_pending_bytes() {
    let reads = |n: usize| {
        format!(
            "{EDGE} read #1 1048576 64; write #1 64 9; {}",
            "read #1 1048576 1048576;".repeat(n)
        )
    };
    assert_eq!(found(&reads(10))[0].0, "unbounded-output");
    check_right(&[&format!("{} read #1 64 would_block", reads(4))]);
}

#[test]
fn findings_of_a_mistake_are_one() {
    let script = format!("{EDGE} {}", "wait; woke 1; ready #1 readable; read #1 64 64; wait; at 2000; woke 1; ready #1 readable; read #1 64 64;".repeat(9));
    let findings = report(&script).findings;
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].times, findings[0].others.len()), (17, 4), "{findings:?}");
    assert!(findings[0].because.contains("for 2000.000 ms"), "{findings:?}");
}

#[test]
fn a_trace_that_breaks_off_is_used_as_far_as_it_goes() {
    let mut lines =
        trace(Vantage::SystemCalls, "listen l; new #1; wait; woke 1; blocked #1 2000000; close #1");
    lines.truncate(lines.len() - 9);
    let report = lint(Reader::new(&*lines).unwrap()).unwrap();
    assert_eq!((report.findings.len(), report.records, report.connections), (1, 5, 1));
    assert_eq!(report.breaks_off.as_deref(), Some("line 7 breaks off"));
}

#[test]
fn the_trace_of_a_client_is_refused() {
    let lines = trace(Vantage::Client, "");
    assert!(lint(Reader::new(&*lines).unwrap()).unwrap_err().contains("of a client"));
}

fn any_step() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "listen l",
        "edge l readable",
        "edge #1 readable writable",
        "level #1 readable",
        "level #1 writable",
        "wait",
        "poll",
        "doze",
        "woke 1 10",
        "woke 0 900000",
        "interrupted",
        "ready #1 readable",
        "ready #1 readable read_closed",
        "ready #1 writable",
        "ready l readable",
        "queued #1",
        "accept l connection",
        "accept l would_block",
        EMFILE,
        "new #1",
        "read #1 64 64",
        "read #1 64 5",
        "read #1 64 would_block",
        "read #1 64 end",
        "read #1 0 18446744073709551615",
        "write #1 64 64",
        "write #1 64 5",
        "write #1 5 would_block",
        "write #1 18446744073709551615 18446744073709551615",
        "write #1 5 Broken pipe",
        "blocked #1 18446744073709551615",
        "shut #1",
        "close #1",
        "failed",
        "2: wait",
        "2: read #1 64 64",
        "at 1000",
        "at 9000",
    ])
}

proptest! {
    #[test]
    fn no_trace_panics(steps in prop::collection::vec(any_step(), 0..120)) {
        report(&steps.join(";"));
    }
}
