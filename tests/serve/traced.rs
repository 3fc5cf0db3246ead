//! `serve --trace`: what is recorded is what happened, and recording never harms the server.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use resound::trace::reader::{Ending, Reader};
use resound::trace::record::{Outcome, Record, Vantage, name};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::command::finish;
use crate::deadline::end_in_time;
use crate::server::{Server, command, connect, eventually};
use crate::wire::{
    connect_with_little_room, echo_of, expect_bytes, expect_closed, expect_echo, expect_end,
    pattern, read_to_end, send_until_stuck,
};

/// A server that writes a trace.
struct TracedServer {
    server: Server,
    directory: TempDir,
}

impl TracedServer {
    #[track_caller]
    fn start(args: &[&str]) -> Self {
        Self::start_at(&["127.0.0.1:0"], args)
    }

    #[track_caller]
    fn start_at(addrs: &[&str], args: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace.jsonl");
        let args = [&["--trace", path.to_str().unwrap()], args].concat();
        Self { server: Server::start_at(addrs, &args), directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("trace.jsonl")
    }

    /// Stops the server, and reads what it has recorded.
    #[track_caller]
    fn stop(self) -> Vec<Record> {
        self.server.stop();
        let (records, ending) = read(&self.directory.path().join("trace.jsonl"));
        assert_eq!(ending, Ending::Complete { why: "stopped".into() });
        records
    }
}

#[track_caller]
fn read(path: &Path) -> (Vec<Record>, Ending) {
    let mut reader = Reader::open(path).unwrap();
    assert_eq!((reader.header.vantage, &*reader.header.program), (Vantage::Server, "resound"));
    let records = (&mut reader).map(Result::unwrap).collect();
    (records, reader.ending().clone())
}

/// The records of one name.
fn named<'a>(records: &'a [Record], name: &str) -> Vec<&'a Record> {
    records.iter().filter(|record| record.name == name).collect()
}

/// The connection with the peer that has this address.
#[track_caller]
fn of_peer<'a>(records: &'a [Record], peer: &str) -> Vec<&'a Record> {
    let accepted = named(records, name::ACCEPTED);
    let accepted = accepted.iter().find(|record| record.text("peer") == Some(peer)).unwrap();
    records.iter().filter(|record| record.group_id == accepted.group_id).collect()
}

fn bytes(record: &Record) -> u64 {
    match record.outcome() {
        Some(Outcome::Bytes(n)) => n,
        _ => 0,
    }
}

/// What is true of each trace of this server, whatever its peers did.
#[track_caller]
fn expect_sound(records: &[Record]) {
    expect_turns(records);
    expect_places(records);
    let mut connections: HashMap<&str, Vec<&Record>> = HashMap::new();
    for record in records {
        let id = record.group_id.as_deref().filter(|id| id.starts_with('#'));
        id.into_iter().for_each(|id| connections.entry(id).or_default().push(record));
    }
    connections.values().for_each(|records| expect_sound_connection(records));
    let accepts = named(records, name::ACCEPT);
    let accepts = accepts.iter().filter(|record| record.outcome() == Some(Outcome::Connection));
    assert_eq!(accepts.count(), connections.len());
}

/// Each turn begins with a wait that ended, and time does not go back.
#[track_caller]
fn expect_turns(records: &[Record]) {
    let mut turn = 0;
    for pair in records.windows(2) {
        assert!(pair[0].time <= pair[1].time, "{pair:?}");
    }
    for record in records {
        if record.name == name::WOKE {
            turn += 1;
        }
        assert_eq!(record.turn, turn, "{record:?}");
    }
}

/// Each place names a line of a source that came before.
#[track_caller]
fn expect_places(records: &[Record]) {
    let mut sources = HashMap::new();
    for record in records {
        if record.name == name::SOURCE {
            let lines: Vec<_> = record.text("text").unwrap().lines().collect();
            sources.insert(record.text("file").unwrap(), lines);
        }
        let calls = [name::READ, name::WRITE, name::ACCEPT, name::SHUTDOWN];
        let Some(place) = &record.place else {
            assert!(!calls.contains(&&*record.name), "it has no place: {record:?}");
            continue;
        };
        let (file, line) = place.rsplit_once(':').unwrap();
        let line = sources[file][line.parse::<usize>().unwrap() - 1];
        let expected = match &*record.name {
            name::READ => "read(io, scratch)",
            name::WRITE => "write(io, ",
            name::ACCEPT => "listener.accept()",
            name::SHUTDOWN => "shutdown_write()",
            name::YIELDED => "Event::Yielded",
            _ => "",
        };
        assert!(line.contains(expected), "{record:?}: {line}");
    }
}

#[track_caller]
fn expect_sound_connection(records: &[&Record]) {
    let (mut read, mut wrote, mut pending) = (0, 0, 0);
    for record in records {
        match &*record.name {
            name::READ => {
                assert_eq!(pending, 0, "it reads while bytes are pending: {record:?}");
                read += bytes(record);
            }
            name::WRITE => wrote += bytes(record),
            name::BLOCKED => assert_eq!(record.number("pending"), Some(read - wrote)),
            name::PENDING => {
                pending = record.number("bytes").unwrap();
                assert_eq!(pending, read - wrote, "{record:?}");
            }
            name::CLOSED => {
                let totals = (record.number("read"), record.number("wrote"));
                assert_eq!(totals, (Some(read), Some(wrote)));
                assert_eq!(record.flag("is_cut"), read > wrote, "{record:?}");
            }
            _ => {}
        }
    }
    let ends = [name::CLOSED, name::REFUSED];
    let ended = records.iter().filter(|record| ends.contains(&&*record.name)).count();
    assert_eq!(ended, 1, "{records:?}");
    assert!(ends.contains(&&*records.last().unwrap().name), "{:?}", records.last());
}

#[test]
fn an_echo_is_a_wait_an_event_a_read_and_a_write() {
    let traced = TracedServer::start(&[]);
    let stream = traced.server.connect();
    expect_echo(&stream, b"hello");
    stream.shutdown(Shutdown::Write).unwrap();
    expect_end(&stream);
    let peer = stream.local_addr().unwrap().to_string();
    let records = traced.stop();
    expect_sound(&records);
    let of_peer = of_peer(&records, &peer);
    let steps = of_peer.iter().map(|record| (&*record.name, record.outcome()));
    let calls: Vec<_> = steps.filter(|(name, _)| *name != name::READY).collect();
    assert_eq!(calls[..2], [(name::REGISTERED, None), (name::ACCEPTED, None)]);
    let moved = calls.iter().filter(|(_, outcome)| matches!(outcome, Some(Outcome::Bytes(_))));
    let five = Some(Outcome::Bytes(5));
    assert_eq!(moved.copied().collect::<Vec<_>>(), [(name::READ, five), (name::WRITE, five)]);
    let last: Vec<_> = calls[calls.len() - 4..].iter().map(|(name, _)| *name).collect();
    assert_eq!(last, [name::READ, name::SHUTDOWN, name::DEREGISTERED, name::CLOSED]);
    assert_eq!(calls[calls.len() - 4].1, Some(Outcome::End));
    assert_eq!(of_peer.last().unwrap().text("why"), Some("finished"));
    assert!(of_peer.iter().any(|record| record.name == name::READY && record.flag("readable")));
    let waits = named(&records, name::WAITS);
    assert!(waits.iter().any(|record| record.trigger.as_deref() == Some("no_limit")));
    assert!(records.iter().all(|record| record.kernel("receive_queue").is_none()));
    assert_eq!(named(&records, name::DRAINING).len(), 1);
}

/// Partial writes, a half-close with bytes pending, a timeout, a refusal, a reset and a drain.
#[test]
fn the_records_of_an_eventful_run_add_up() {
    let traced =
        TracedServer::start(&["--trace-kernel", "--idle-timeout", "3s", "--max-connections", "3"]);
    let slow = connect_with_little_room(traced.server.addr());
    let sent = send_until_stuck(&slow, &pattern(1, 32 << 20)) as u64;
    slow.shutdown(Shutdown::Write).unwrap();
    let idle = traced.server.connect();
    expect_echo(&idle, b"then silence");
    let third = traced.server.connect();
    expect_echo(&third, b"x");
    expect_closed(traced.server.connect()); // One too many.
    assert_eq!(read_to_end(&slow).len() as u64, sent);
    expect_closed(&idle);
    expect_closed(&third);
    let large = echo_of(traced.server.connect(), pattern(2, 1 << 20));
    assert!(large == pattern(2, 1 << 20));
    let peer = slow.local_addr().unwrap().to_string();
    let records = traced.stop();
    expect_sound(&records);
    let slow = of_peer(&records, &peer);
    for name in [name::BLOCKED, name::PENDING, name::YIELDED, name::SHUTDOWN] {
        assert!(slow.iter().any(|record| record.name == name), "{name}");
    }
    let partial = |record: &&&Record| {
        record.name == name::WRITE && (1..record.number("asked").unwrap()).contains(&bytes(record))
    };
    assert!(slow.iter().filter(partial).count() > 0);
    assert_eq!(slow.last().unwrap().number("wrote"), Some(sent));
    let why = |records: Vec<&Record>, key: &str| -> Vec<String> {
        records.iter().map(|record| record.text(key).unwrap().into()).collect()
    };
    assert_eq!(why(named(&records, name::REFUSED), "why"), ["max_connections"]);
    let expired = why(named(&records, name::EXPIRED), "timeout");
    assert_eq!(expired.iter().filter(|timeout| *timeout == "idle").count(), 2, "{expired:?}");
    let reads = named(&records, name::READ).into_iter();
    let empty = reads.filter(|record| record.outcome() == Some(Outcome::WouldBlock));
    let held: Vec<_> = empty.map(|record| record.kernel("receive_queue")).collect();
    assert!(!held.is_empty() && held.iter().all(|held| *held == Some(0)), "{held:?}");
    let writes = named(&records, name::WRITE);
    assert!(writes.iter().any(|record| record.kernel("send_queue") > Some(0)));
}

#[test]
fn what_a_stopping_server_cuts_off_is_recorded() {
    let traced = TracedServer::start(&["--drain-timeout", "200ms"]);
    let stuck = connect_with_little_room(traced.server.addr());
    send_until_stuck(&stuck, &pattern(1, 32 << 20));
    let records = traced.stop();
    expect_sound(&records);
    let closed = named(&records, name::CLOSED);
    assert!(closed[0].flag("is_cut") && closed[0].text("why") == Some("aborted"), "{closed:?}");
    assert!(closed[0].number("read") > closed[0].number("wrote"));
}

#[test]
fn the_header_of_a_proxy_is_no_part_of_the_echo() {
    let traced = TracedServer::start_at(&["proxy+127.0.0.1:0"], &["--proxy-from", "127.0.0.0/8"]);
    let stream = connect(traced.server.addr().trim_start_matches("proxy+"));
    (&stream).write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 7\r\nhello").unwrap();
    expect_bytes(&stream, b"hello");
    stream.shutdown(Shutdown::Write).unwrap();
    expect_end(&stream);
    let records = traced.stop();
    expect_sound(&records);
    let proxied = named(&records, name::PROXIED);
    assert_eq!(proxied[0].text("peer"), Some("192.0.2.1:1000"), "{proxied:?}");
    assert_eq!(proxied[0].text("by"), Some(&*stream.local_addr().unwrap().to_string()));
    let looks = named(&records, name::HEADER).into_iter();
    let (looks, reads): (Vec<_>, Vec<_>) = looks.partition(|record| record.trigger.is_some());
    assert!(!looks.is_empty());
    assert_eq!(reads.iter().map(|record| bytes(record)).sum::<u64>(), 39);
    let of_client = of_peer(&records, "192.0.2.1:1000");
    assert_eq!(of_client.last().unwrap().number("read"), Some(5));
}

#[test]
fn a_trace_that_has_reached_its_limit_ends_and_the_server_goes_on() {
    let mut traced = TracedServer::start(&["--trace-limit", "256k"]);
    let stream = traced.server.connect();
    (0..1000).for_each(|i| expect_echo(&stream, &pattern(i, 100)));
    traced.server.expect_line("has reached --trace-limit and ends; the server goes on");
    (0..100).for_each(|i| expect_echo(&stream, &pattern(i, 100)));
    let (records, ending) = read(&traced.path());
    assert_eq!(ending, Ending::Complete { why: "limit".into() });
    let len = fs::metadata(traced.path()).unwrap().len();
    assert!((200 << 10..=256 << 10).contains(&len), "{len}");
    expect_turns(&records);
    drop(stream);
    traced.server.signal(Signal::TERM);
    assert_eq!(traced.server.wait().code(), Some(0));
    let warnings = traced.server.log().iter().filter(|line| line.contains("WARN"));
    assert_eq!(warnings.count(), 1);
    assert_eq!(fs::metadata(traced.path()).unwrap().len(), len);
}

#[test]
fn a_server_that_cannot_write_its_trace_any_more_goes_on() {
    let mut server = Server::start(&["--trace", "/dev/full"]);
    server.expect_line(
        "cannot write /dev/full: no space left on device; the trace ends, and the server",
    );
    let stream = server.connect();
    (0..100).for_each(|i| expect_echo(&stream, &pattern(i, 100)));
    drop(stream);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.log().iter().filter(|line| line.contains("WARN")).count(), 1);
}

#[test]
fn a_trace_that_cannot_be_written_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none/trace.jsonl");
    for (path, expected) in [
        (directory.path().to_str().unwrap(), "is a directory"),
        (missing.to_str().unwrap(), "no such file or directory"),
        ("/dev/null/x", "not a directory"),
        ("", "write"),
    ] {
        let output = finish(&mut piped(&["--trace", path]));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) || path.is_empty(), "{said}");
        assert!(said.contains(expected) && said.lines().count() == 1, "{path}: {said}");
    }
    for (args, expected) in [
        (&["--trace", "t", "--trace-limit", "100k"][..], "256k"),
        (&["--trace-kernel"], "--trace"),
        (&["--trace-limit", "1m"], "--trace"),
        (&["--trace"], "--trace"),
    ] {
        let output = finish(&mut piped(args));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(expected) && said.lines().count() == 1, "{args:?}: {said}");
    }
}

fn piped(args: &[&str]) -> Command {
    let mut command = command(&["127.0.0.1:0"], args);
    command.stderr(Stdio::piped());
    command
}

#[test]
fn an_older_trace_stays_if_the_server_cannot_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.jsonl");
    fs::write(&path, "as it was").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let trace = ["--trace", path.to_str().unwrap()];
    let output = finish(command(&[&addr], &trace).stderr(Stdio::piped()));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&path).unwrap(), "as it was");
    // A server that starts replaces it.
    Server::start(&trace).stop();
    assert!(matches!(read(&path).1, Ending::Complete { .. }));
}

#[test]
fn a_server_that_is_killed_leaves_what_it_did_before_it_slept() {
    let traced = TracedServer::start(&[]);
    let stream = traced.server.connect();
    expect_echo(&stream, &pattern(1, 1000));
    let sleeps = |path: &Path| {
        // Its last line may be half written at this moment.
        let mut reader = Reader::open(path).unwrap();
        let records: Vec<_> = (&mut reader).map_while(Result::ok).collect();
        assert_eq!(*reader.ending(), Ending::Truncated);
        let written = records.iter().position(|record| record.name == name::WRITE)?;
        records[written..].iter().any(|record| record.name == name::WAITS).then_some(())
    };
    // The echo can arrive a moment before the server sleeps.
    eventually(|| sleeps(&traced.path()));
    traced.server.signal(Signal::KILL);
    let path = traced.path();
    let mut server = traced.server;
    assert_eq!(server.wait().code(), None);
    sleeps(&path).unwrap();
}

#[test]
fn what_reads_a_trace_along_sees_it_grow() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_resound"));
    server.args(["serve", "-l", "127.0.0.1:0", "--trace", "-"]);
    server.stdout(Stdio::piped());
    let mut child = server.stderr(Stdio::null()).spawn().unwrap();
    end_in_time(&child);
    let mut out = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"no_limit\"") {
        let mut buffer = [0; 65536];
        let n = out.read(&mut buffer).unwrap();
        assert!(n > 0, "it ended");
        seen.extend_from_slice(&buffer[..n]);
    }
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).unwrap();
    out.read_to_end(&mut seen).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut reader = Reader::new(&seen[..]).unwrap();
    expect_turns(&(&mut reader).map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!(*reader.ending(), Ending::Complete { why: "stopped".into() });
}

#[test]
fn a_server_that_spins_records_only_the_polls_that_find_something() {
    let traced = TracedServer::start(&["--spin", "50ms"]);
    let stream = traced.server.connect();
    for i in 0..20 {
        expect_echo(&stream, &pattern(i, 100));
        thread::sleep(Duration::from_millis(1)); // A pause in which the server polls many times.
    }
    drop(stream);
    let records = traced.stop();
    let spins = records
        .windows(2)
        .filter(|pair| pair[0].name == name::WAITS && pair[0].trigger.as_deref() == Some("spin"));
    let found: Vec<_> = spins.map(|pair| (&*pair[1].name, pair[1].number("events"))).collect();
    assert!(!found.is_empty(), "it did not spin");
    assert!(found.iter().all(|found| found.0 == name::WOKE && found.1 > Some(0)), "{found:?}");
    assert!(records.len() < 2000, "{} records", records.len());
}

#[test]
fn an_awkward_server_is_traced_as_the_server_sees_it() {
    let traced = TracedServer::start(&["--awkward", "7"]);
    let sent = pattern(3, 20_000);
    assert!(echo_of(traced.server.connect(), sent.clone()) == sent);
    let records = traced.stop();
    expect_sound(&records);
    assert!(!named(&records, name::BLOCKED).is_empty());
    assert_eq!(named(&records, name::CLOSED)[0].number("wrote"), Some(20_000));
}
