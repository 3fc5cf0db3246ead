//! Every available peer echoes and loses nothing.
//!
//! Peers that are not available are skipped, with the reason. With `RESOUND_PEERS=all`, a peer that is not available is a
//! failure.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in their helpers")]

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use resound::client::probe::Pattern;
use resound_peers::{ALL, Found, Missing, Peer, Places, Running, raise_descriptor_limit};

/// How long a test waits for something that must happen, even on a busy machine, before it fails.
const TIMEOUT: Duration = Duration::from_secs(30);

const MIB: usize = 1 << 20;

/// The most bytes that are sent or checked at once.
const PIECE_BYTES: usize = 128 << 10;

static PATTERN: LazyLock<Pattern> = LazyLock::new(|| Pattern::new(PIECE_BYTES));

#[test]
fn a_small_message_comes_back() {
    for_each_peer(|peer, running| {
        let mut stream = connect(running);
        for (offset, len) in [(0, 1), (1, 64), (65, 1024)] {
            send(&mut stream, 0, offset, len);
            expect(&mut stream, 0, offset, len);
        }
        if peer.limits.half_close {
            stream.shutdown(Shutdown::Write).unwrap();
        }
    });
}

#[test]
fn a_mebibyte_comes_back_and_then_the_end() {
    for_each_peer(|peer, running| {
        let mut stream = connect(running);
        if !peer.limits.half_close {
            for offset in (0..MIB).step_by(peer.limits.message_bytes) {
                send(&mut stream, 1, offset, peer.limits.message_bytes);
                expect(&mut stream, 1, offset, peer.limits.message_bytes);
            }
            return;
        }
        let mut writer = stream.try_clone().unwrap();
        let sender = thread::spawn(move || {
            send(&mut writer, 1, 0, MIB);
            writer.shutdown(Shutdown::Write).unwrap();
        });
        expect(&mut stream, 1, 0, MIB);
        expect_end(&mut stream);
        sender.join().unwrap();
    });
}

/// The message does not fit into all buffers on the way, so the peer must keep a part of it.
#[test]
fn a_late_reader_gets_its_whole_echo() {
    for_each_peer(|peer, running| {
        if !peer.limits.half_close {
            return;
        }
        let mut stream = connect(running);
        let len = send_until_stuck(&mut stream, 64 * MIB);
        let mut writer = stream.try_clone().unwrap();
        let sender = thread::spawn(move || {
            send(&mut writer, 2, len, MIB);
            writer.shutdown(Shutdown::Write).unwrap();
        });
        expect(&mut stream, 2, 0, len + MIB);
        expect_end(&mut stream);
        sender.join().unwrap();
    });
}

#[test]
fn fifty_connections_each_get_their_own_echo() {
    for_each_peer(|_, running| {
        let mut streams: Vec<_> = (0..50).map(|_| connect(running)).collect();
        for offset in [0, 1000, 2000] {
            let numbered = || 0..streams.len();
            numbered().for_each(|i| send(&mut &streams[i], i, offset, 1000));
            numbered().rev().for_each(|i| expect(&mut &streams[i], i, offset, 1000));
        }
        // One client leaves in the middle of a message, and the others are still served.
        let mut leaver = streams.swap_remove(0);
        send(&mut leaver, 0, 3000, 10);
        drop(leaver);
        send(&mut streams[0], 49, 3000, 1000);
        expect(&mut streams[0], 49, 3000, 1000);
    });
}

/// Go's copy needs a pipe for each connection, and accept fails if there are no descriptors left for it.
#[test]
fn the_limit_of_connections_follows_from_the_descriptors() {
    let limits = |name| resound_peers::peer(name).unwrap().limits;
    assert_eq!(limits("tokio").connections_with(20_000), 19_900);
    assert_eq!(limits("go").connections_with(20_000), 6_633);
    assert_eq!(limits("ncat").connections_with(20_000), 900);
    assert_eq!(limits("tokio").connections_with(10), 0);
}

#[test]
fn a_peer_that_cannot_listen_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    for found in here() {
        let output = found.command(addr, &[]).unwrap().output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let name = found.peer.name;
        assert!(!output.status.success(), "{name} listens on an address that is taken");
        assert!(error.to_lowercase().contains("in use"), "{name}: {error}");
        assert!(!error.contains("panicked"), "{name}: {error}");
    }
}

#[test]
fn dropping_a_running_peer_ends_all_its_processes() {
    for found in here() {
        println!("{}", found.peer.name);
        let running = found.start(&[]).unwrap();
        let mut stream = connect(&running);
        send(&mut stream, 0, 0, 1);
        expect(&mut stream, 0, 0, 1);
        let (addr, pids) = (running.addr(), running.pids());
        assert!(pids.contains(&running.pid()) && pids.iter().all(|pid| is_alive(*pid)));
        drop(running);
        // Dropping waits only for the first process, and io_uring closes sockets some time after the process has ended.
        eventually("its processes end", || !pids.iter().any(|pid| is_alive(*pid)));
        eventually("no process listens any more", || TcpStream::connect(addr).is_err());
    }
}

#[test]
fn a_peer_that_is_not_built_is_left_out_with_a_reason() {
    let dir = env::temp_dir().join("nothing is here");
    let places = Places { binaries: dir.clone(), resound: dir.join("resound"), ..places() };
    for (name, how) in [("threads", "cargo build --profile peers"), ("resound", "cargo build")] {
        match resound_peers::peer(name).unwrap().find(&places) {
            Err(Missing::Absent(why)) => assert!(why.contains(how), "{why}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn the_plain_list_names_the_peers_and_their_limits() {
    let descriptors = raise_descriptor_limit().unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_resound-peers")).args(["list", "--plain"]).output();
    let lines = here().into_iter().map(|found| {
        let Peer { name, limits, .. } = found.peer;
        let connections = limits.connections_with(descriptors);
        format!("{name}\t{connections}\t{}\n", limits.message_bytes)
    });
    let expected: String = lines.collect();
    assert_eq!(String::from_utf8_lossy(&output.unwrap().stdout), expected);
}

/// Starts each available peer, one after another.
#[track_caller]
fn for_each_peer(check: impl Fn(&Peer, &Running)) {
    raise_descriptor_limit().unwrap();
    for found in here() {
        // If a check fails, the last of these lines names the peer.
        println!("{}", found.peer.name);
        let running = found.start(&[]).unwrap();
        check(found.peer, &running);
    }
}

fn here() -> Vec<Found> {
    let all = env::var("RESOUND_PEERS").is_ok_and(|which| which == "all");
    let found = ALL.iter().filter_map(|peer| match peer.find(&places()) {
        Ok(found) => Some(found),
        Err(Missing::Absent(why)) if !all => {
            println!("{} is skipped: {why}", peer.name);
            None
        }
        Err(why) => panic!("{}: {why}", peer.name),
    });
    let found: Vec<_> = found.collect();
    // Peers that need only Rust are always available.
    assert!(found.iter().any(|found| found.peer.name == "threads"));
    found
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "it did not happen that {what}");
        thread::yield_now();
    }
}

/// Whether the process exists and is not a zombie. Init may take some time to reap a zombie.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

fn places() -> Places {
    Places::beside(Path::new(env!("CARGO_BIN_EXE_threads")))
}

fn connect(running: &Running) -> TcpStream {
    let stream = TcpStream::connect(running.addr()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends `len` bytes of the connection's stream, from `offset` on.
fn send(stream: &mut impl Write, connection: usize, offset: usize, len: usize) {
    for (offset, len) in pieces(offset, len) {
        stream.write_all(piece(connection, offset, len)).unwrap();
    }
}

/// Expects exactly these bytes back.
#[track_caller]
fn expect(stream: &mut impl Read, connection: usize, offset: usize, len: usize) {
    let mut echo = vec![0; PIECE_BYTES.min(len)];
    for (offset, len) in pieces(offset, len) {
        stream.read_exact(&mut echo[..len]).unwrap();
        let place = format_args!("{len} bytes at {offset} of connection {connection}");
        assert!(echo[..len] == *piece(connection, offset, len), "wrong echo: {place}");
    }
}

#[track_caller]
fn expect_end(stream: &mut impl Read) {
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "more came than was sent");
}

/// Sends the start of stream 2, up to `most` bytes, until the peer takes no more. Returns how many bytes it took.
fn send_until_stuck(stream: &mut TcpStream, most: usize) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    while sent < most {
        match stream.write(piece(2, sent, PIECE_BYTES.min(most - sent))) {
            Ok(n) => sent += n,
            Err(_) => break,
        }
    }
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    sent
}

/// The bytes of a connection's stream from `offset` on.
fn piece(connection: usize, offset: usize, len: usize) -> &'static [u8] {
    PATTERN.piece(connection, offset as u64, len)
}

/// Offset and length of the pieces in which `len` bytes are sent or checked.
fn pieces(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = offset + len;
    (offset..end).step_by(PIECE_BYTES).map(move |at| (at, PIECE_BYTES.min(end - at)))
}
