//! The pages of traces, in Chromium without a network: `tests/real/page.py` looks at them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::programs::{program, python, run};

/// A trace that was written by hand. It has all kinds of what the page shows.
fn lost_wake_up() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lost-wake-up.jsonl");
    fs::read_to_string(path).unwrap()
}

/// Makes a page of these traces, and lets `check` of `page.py` look at it.
#[track_caller]
fn check(check: &str, traces: &[&str]) {
    program("chromium");
    let dir = TempDir::new().unwrap();
    let page = dir.path().join("page.html");
    let paths = traces.iter().enumerate().map(|(i, trace)| {
        let path = dir.path().join(format!("{i}.jsonl"));
        fs::write(&path, trace).unwrap();
        path
    });
    view(&paths.collect::<Vec<_>>(), &page);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/page.py");
    print!("{}", run(python().arg(script).arg(check).arg(format!("file://{}", page.display()))));
}

fn view(traces: &[PathBuf], page: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resound"));
    run(command.args(["trace", "view"]).args(traces).arg("-o").arg(page));
}

macro_rules! checks_of_one_trace {
    ($($name:ident)*) => { $(#[test] fn $name() { check(stringify!($name), &[&lost_wake_up()]); })* };
}

checks_of_one_trace! {
    loads_offline
    steps_both_ways
    knows_states
    derives_bells
    says_what_happens
    predicts
    links
    fits
    shows_foreign_words_as_text
    is_accessible
    takes_keys_and_mouse
    plays
}

#[test]
fn says_that_it_is_truncated() {
    let whole = lost_wake_up();
    let lines: Vec<_> = whole.lines().take(31).collect();
    let cut = lines.join("\n");
    check("says_that_it_is_truncated", &[&cut[..cut.len() - 9]]);
}

#[test]
fn says_that_it_is_empty() {
    check("says_that_it_is_empty", &[lost_wake_up().lines().next().unwrap()]);
}

/// Each name of the format, with data of all wrong kinds.
#[test]
fn survives_odd_records() {
    let odd = [
        "null",
        "-1",
        "1e300",
        "0",
        "true",
        "[1,[2]]",
        r#"{"toString":null}"#,
        r#""<b>\u0000\u202e""#,
        r#""__proto__""#,
    ];
    let keys = [
        "result", "asked", "kernel", "peer", "why", "bytes", "timeout", "interest", "mode",
        "retry", "error",
    ];
    let places =
        ["src/echo.rs:0", "src/echo.rs:99999999999999999999", ":1", "constructor:2", "no line"];
    let mut trace: Vec<_> = lost_wake_up().lines().take(4).map(str::to_string).collect();
    for (i, name) in resound::trace::record::name::ALL.iter().enumerate() {
        for (j, value) in odd.iter().enumerate() {
            let data: Vec<_> = keys.iter().map(|key| format!(r#""{key}":{value}"#)).collect();
            let group = ["#1", "__proto__", "listener:x", "loop", ""][j % 5];
            trace.push(format!(
                r#"{{"name":"{name}","group_id":"{group}","place":"{}","data":{{{}}}}}"#,
                places[(i + j) % 5],
                data.join(",")
            ));
        }
    }
    trace.retain(|line| !line.contains("trace:end"));
    check("survives_odd_records", &[&trace.join("\n")]);
}

#[test]
fn shows_two() {
    check("shows_two", &[&lost_wake_up(), &lost_wake_up()]);
}

#[test]
fn is_quick_with_ten_thousand_events() {
    check("is_quick", &[&many(100, 10_000)]);
}

#[test]
fn is_quick_with_a_hundred_thousand_events() {
    check("is_quick", &[&many(1_000, 100_000)]);
}

/// A trace with this many connections, and at least this many events. In each turn one connection sends; in every seventh,
/// the write blocks.
fn many(connections: usize, events: usize) -> String {
    let mut trace = lost_wake_up().lines().next().unwrap().to_string() + "\n";
    let mut n = 0;
    let mut add = |time: usize, group: Option<usize>, rest: &str| {
        let group = group.map_or(String::new(), |id| format!(r##""group_id":"#{id}","##));
        writeln!(trace, r#"{{"time":{time},{group}{rest}}}"#).unwrap();
        n += 1;
        n < events
    };
    for id in 0..connections {
        let peer = format!(
            r#""name":"connection:accepted","data":{{"peer":"127.0.0.1:{}"}}"#,
            20_000 + id
        );
        add(id, Some(id), &peer);
        add(
            id,
            Some(id),
            r#""name":"reactor:registered","data":{"interest":"readable writable","mode":"edge"}"#,
        );
    }
    for turn in 1.. {
        let (time, id) = (connections + 100 * turn, turn % connections);
        let took = if turn % 7 == 0 { r#""would_block""# } else { "64" };
        add(time, None, r#""name":"reactor:waits","trigger":"no_limit","data":{"timeout":null}"#);
        add(time + 90, None, r#""name":"reactor:woke","data":{"events":1,"queued":0,"waited":90}"#);
        let ready =
            r#""name":"reactor:ready","trigger":"event","data":{"readable":true,"writable":true}"#;
        add(time + 91, Some(id), ready);
        add(time + 92, Some(id), r#""name":"connection:read","data":{"asked":65536,"result":64}"#);
        let write = format!(r#""name":"connection:write","data":{{"asked":64,"result":{took}}}"#);
        if !add(time + 93, Some(id), &write) {
            break;
        }
    }
    trace
}
